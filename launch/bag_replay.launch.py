"""Replays a recorded bag through the face, on the bag's own time, and records the result.

ros2 launch avatar_forcing_ros bag_replay.launch.py bag:=/path/bag camera:=/camera/image_raw out:=/path/face.mp4
"""

from launch.actions import EmitEvent, ExecuteProcess, GroupAction, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace

from avatar_forcing_ros.ros.graph import launching
from launch import LaunchDescription

OWN = {
    "bag": (None, "the rosbag2 to replay (folder, sqlite3 or MCAP)"),
    "out": ("avatar.mp4", "the mp4 to write"),
    "rate": ("1.0", "speed of the replay"),
    "start_delay": ("5.0", "seconds that the nodes get to load before the bag plays"),
}
_FACE = launching.arguments(
    namespace="replay",
    camera="/camera/image_raw",
    microphone="/audio/audio_stamped",
    microphone_info="/audio/audio_info",
    speech="/tts/audio_stamped",
    speech_info="/tts/audio_info",
    use_sim_time="true",
)
ARGUMENTS = {**OWN, **_FACE}


def generate_launch_description() -> LaunchDescription:
    value = {name: LaunchConfiguration(name) for name in OWN}
    player = ExecuteProcess(
        cmd=["ros2", "bag", "play", value["bag"], "--clock", "100", "--rate", value["rate"]], output="screen"
    )
    recorder = Node(
        package="avatar_forcing_ros", executable="recorder", name="recorder", output="screen",
        parameters=[{"out": launching.text(value["out"]), "use_sim_time": True}],
        sigterm_timeout="60", sigkill_timeout="60",  # it finishes its film first
    )  # fmt: skip
    played = EmitEvent(event=Shutdown(reason="the bag has been played"))
    return LaunchDescription(
        [
            *launching.declared(ARGUMENTS),
            launching.include_face(ARGUMENTS),
            GroupAction([PushRosNamespace(LaunchConfiguration("namespace")), recorder]),
            TimerAction(period=value["start_delay"], actions=[player]),
            RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[played])),
        ]
    )
