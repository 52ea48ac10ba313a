"""A kiosk: this machine's webcam and microphone see and hear the visitor; the distant person's voice moves the face.

ros2 launch avatar_forcing_ros telepresence_kiosk.launch.py portrait:=/path/face.jpg speech:=/call/audio_stamped

With page:=true the visitor sits before a browser: the node `kiosk` serves the page, whose camera and microphone they are (docs/kiosk.md).

ros2 launch avatar_forcing_ros telepresence_kiosk.launch.py page:=true
"""

from launch.actions import GroupAction, OpaqueFunction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace

from avatar_forcing_ros.ros.graph import launching
from avatar_forcing_ros.ros.setting import settings_in
from avatar_forcing_ros.ros.settings import KioskSettings
from launch import LaunchDescription

OWN = {
    "webcam": ("webcam:0", "the visitor's camera: webcam:N, or a video file to try"),
    "mic": ("mic:", "the visitor's microphone: mic: or mic:NAME, or a sound file to try"),
    "viewer": ("false", "open rqt_image_view on the face"),
    "page": ("false", "true: serve the page; webcam and mic are then the browser's"),
    "display": ("false", "true: show the face on this machine's screen and play its voice, without a browser"),
}
# Parameters of the node that serves the page; empty ones stay as they are. Its face is that of the other nodes.
PAGE = {
    name: ("", f"page: {one.text}")
    for name, one in settings_in(KioskSettings).items()
    if name not in ("autostart", "avatar", "portrait", "theme", "frame_id")
}
# Camera and microphone are this launch file's own.
_TAKEN = ("camera", "camera_compressed", "camera_reliable", "microphone", "microphone_info")
_FACE = launching.arguments(namespace="kiosk", size="720")
ARGUMENTS = {**OWN, **PAGE, **{name: row for name, row in _FACE.items() if name not in _TAKEN}}


def _source(name, media, **parameters):
    parameters = {"source": launching.text(LaunchConfiguration(media)), **parameters}
    return Node(
        package="avatar_forcing_ros", executable="media_source", name=name, namespace="user",
        parameters=[parameters], output="screen", respawn=True, respawn_delay=2.0,
        condition=UnlessCondition(LaunchConfiguration("page")),
    )  # fmt: skip


def _page(context):
    """The node that serves the page, with the parameters that were given."""
    settings = settings_in(KioskSettings)
    values = {name: LaunchConfiguration(name).perform(context) for name in (*PAGE, "avatar", "portrait", "theme")}
    given = {name: settings[name].to_ros(settings[name].parse(text)) for name, text in values.items() if text}
    return [
        Node(
            package="avatar_forcing_ros", executable="kiosk", name="kiosk", parameters=[given], output="screen",
            respawn=True, respawn_delay=2.0,
        )
    ]  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    viewer = Node(
        package="rqt_image_view",
        executable="rqt_image_view",
        arguments=["image_raw"],
        condition=IfCondition(LaunchConfiguration("viewer")),
    )
    nodes = [
        PushRosNamespace(LaunchConfiguration("namespace")),
        _source("camera_source", "webcam", play_audio=False),
        _source("microphone_source", "mic", play_video=False),
        viewer,
        GroupAction([OpaqueFunction(function=_page)], condition=IfCondition(LaunchConfiguration("page")), scoped=False),
        Node(
            package="avatar_forcing_ros", executable="face_display", name="face_display", output="screen",
            respawn=True, respawn_delay=2.0, condition=IfCondition(LaunchConfiguration("display")),
        ),
    ]  # fmt: skip
    face = launching.include_face(ARGUMENTS, camera_reliable="true")
    return LaunchDescription([*launching.declared(ARGUMENTS), face, GroupAction(nodes)])
