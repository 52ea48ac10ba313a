"""A kiosk: this machine's webcam and microphone see and hear the visitor; the distant person's voice moves the face.

    ros2 launch avatar_forcing_ros telepresence_kiosk.launch.py portrait:=/path/face.jpg speech:=/call/audio_stamped
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

DEFAULTS = PathJoinSubstitution([FindPackageShare("avatar_forcing_ros"), "config", "avatar.yaml"])
ARGUMENTS = (
    ("namespace", "kiosk", "namespace of the kiosk's nodes and topics"),
    ("webcam", "webcam:0", "the visitor's camera: webcam:N, or a video file to try"),
    ("mic", "mic:", "the visitor's microphone: mic: or mic:NAME, or a sound file to try"),
    ("speech", "audio_stamped", "topic of the distant person's voice; a relative name is in <namespace>/speech"),
    ("speech_info", "audio_info", "topic that describes that voice"),
    ("avatar", "", "the face: portrait (an animated photo) or screen_face (a drawn face)"),
    ("portrait", "", "image file of a face; empty: as params_file says, else the one in the box"),
    ("theme", "", "theme of the screen face"),
    ("size", "720", "side of the images in pixels"),
    ("generator", "", "back end of the motion generator: embedded (the network in the box), reflex (rules), published (with avatar:=neural)"),
    ("weights", "", "of the network: a file of `avatar-forcing train`, or the folder of the published one (docs/weights.md)"),
    ("device", "", "where the network runs: auto, cpu, cuda"),
    ("params_file", DEFAULTS, "parameters of the nodes (YAML); arguments that are empty leave them as they are there"),
    ("viewer", "false", "open rqt_image_view on the face"),
)
OWN = ("webcam", "mic", "viewer")


def generate_launch_description() -> LaunchDescription:
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    core = PathJoinSubstitution([FindPackageShare("avatar_forcing_ros"), "launch", "avatar.launch.py"])
    passed_on = [(name, value[name]) for name, _, _ in ARGUMENTS if name not in OWN]

    def source(name, media, **parameters):
        parameters = {"source": ParameterValue(value[media], value_type=str), **parameters}
        return Node(
            package="avatar_forcing_ros", executable="media_source", name=name, namespace="user",
            parameters=[parameters], output="screen", respawn=True, respawn_delay=2.0,
        )  # fmt: skip

    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(core),
                launch_arguments=[*passed_on, ("camera_reliable", "true")],
            ),
            GroupAction(
                [
                    PushRosNamespace(value["namespace"]),
                    source("camera_source", "webcam", play_audio=False),
                    source("microphone_source", "mic", play_video=False),
                    Node(
                        package="rqt_image_view", executable="rqt_image_view", arguments=["image_raw"],
                        condition=IfCondition(value["viewer"]),
                    ),  # fmt: skip
                ]
            ),
        ]
    )
