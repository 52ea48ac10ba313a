"""Nodes as a lifecycle manager and `ros2 param` see them: transitions, parameters, and what cannot be configured."""

import signal

import pytest
from conftest import errors_of

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from sensor_msgs.msg import CompressedImage  # noqa: E402

from avatar_forcing_ros.media.images import to_rgb  # noqa: E402
from avatar_forcing_ros.msg import MotionLatentBlock  # noqa: E402


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"portrait": "/nowhere/face.jpg"}, "/nowhere/face.jpg"),
        ({"avatar": "hologram"}, "hologram"),
        ({"size": 5}, "size"),
    ],
)
def test_a_renderer_that_cannot_start_stays_and_says_why_in_one_line(ros, parameters, words):
    """Its process does not end, so nothing starts it again and again; it exits with status 1 when it is told to end."""
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    process = ros.start_executable("renderer", "renderer", **parameters)
    fault = ros.wait_for(lambda: errors_of(diagnostics, "renderer"), "an error")[0]
    assert words in fault and "\n" not in fault and process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 1
    assert ros.log("renderer").strip().splitlines()[-1] == f"error: {fault}" and "Traceback" not in ros.log("renderer")


def test_a_change_that_cannot_count_is_refused_with_the_reason_and_one_that_can_counts(ros):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from rcl_interfaces.srv import DescribeParameters, SetParameters
    from rclpy.parameter import Parameter

    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    ros.start_executable("renderer", "renderer", avatar="hologram", size=128)
    assert "use one of portrait" in ros.wait_for(lambda: errors_of(diagnostics, "renderer"), "an error")[0]

    def call(kind, name, request):
        client = ros.node.create_client(kind, f"/renderer/{name}")
        assert client.wait_for_service(20)
        future = client.call_async(request)
        ros.wait_for(future.done, f"the answer of {name}")
        return future.result()

    def refusal(**values) -> str:
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        result = call(SetParameters, "set_parameters", SetParameters.Request(parameters=parameters)).results[0]
        return "" if result.successful else result.reason

    def read_only(name: str) -> bool:
        return (
            call(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=[name]))
            .descriptors[0]
            .read_only
        )

    assert "give 128 to 2160 pixels" in refusal(size=64) and "its type is int" in refusal(size=1.5)
    assert "hologram2" in refusal(avatar="hologram2") and not read_only("size")
    assert not refusal(avatar="screen_face") and not refusal(size=160)  # mended, while it is unconfigured
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert call(ChangeState, "change_state", ChangeState.Request(transition=Transition(id=transition))).success
    images = ros.collect(CompressedImage, "/image_raw/compressed")
    ros.wait_for(lambda: images, "an image")
    assert to_rgb(images[-1]).shape == (160, 160, 3)
    assert "read when the node is configured" in refusal(size=256) and read_only("size")
    assert "read when the process starts" in refusal(autostart=False)
    assert not read_only("jpeg_quality") and not refusal(jpeg_quality=10)


def test_nodes_can_be_deactivated_cleaned_up_and_started_again(ros):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    blocks = ros.collect(MotionLatentBlock, "/one/motion_blocks")
    process = ros.start_executable("motion_generator", "motion_generator", "/one", generator="reflex", autostart=False)
    client = ros.node.create_client(ChangeState, "/one/motion_generator/change_state")
    assert client.wait_for_service(30)

    def change(transition: int) -> bool:
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        ros.wait_for(future.done, "a transition")
        return future.result().success

    for _ in range(2):
        count = len(blocks)
        assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
        ros.wait_for(lambda c=count: len(blocks) > c + 1, "blocks while active")
        assert change(Transition.TRANSITION_DEACTIVATE) and change(Transition.TRANSITION_CLEANUP)
        topics = dict(ros.node.get_topic_names_and_types())
        ros.wait_for(lambda: not ros.node.count_publishers("/one/motion_blocks"), "the publisher to go")
        assert topics
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
