"""Replays a recorded bag through the face, on the bag's own time, and records the result.

    ros2 launch avatar_forcing_ros bag_replay.launch.py bag:=/path/bag camera:=/camera/image_raw out:=/path/face.mp4
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

DEFAULTS = PathJoinSubstitution([FindPackageShare("avatar_forcing_ros"), "config", "avatar.yaml"])
ARGUMENTS = (
    ("bag", None, "the rosbag2 to replay (folder, sqlite3 or MCAP)"),
    ("out", "avatar.mp4", "the mp4 to write"),
    ("rate", "1.0", "speed of the replay"),
    ("namespace", "replay", "namespace of the nodes"),
    ("camera", "/camera/image_raw", "camera topic in the bag"),
    ("camera_compressed", "", "true: the bag holds <camera>/compressed"),
    ("microphone", "/audio/audio_stamped", "topic of the user's voice in the bag"),
    ("microphone_info", "/audio/audio_info", "topic that describes it"),
    ("speech", "/tts/audio_stamped", "topic of the avatar's speech in the bag"),
    ("speech_info", "/tts/audio_info", "topic that describes it"),
    ("avatar", "", "the face: portrait or screen_face"),
    ("portrait", "", "image file of a face; empty: as params_file says, else the one in the box"),
    ("generator", "", "back end of the motion generator: embedded (the network in the box), reflex (rules), published (with avatar:=neural)"),
    ("weights", "", "of the network: a file of `avatar-forcing train`, or the folder of the published one (docs/weights.md)"),
    ("device", "", "where the network runs: auto, cpu, cuda"),
    ("params_file", DEFAULTS, "parameters of the nodes (YAML); arguments that are empty leave them as they are there"),
    ("start_delay", "5.0", "seconds that the nodes get to load before the bag plays"),
)
OWN = ("bag", "out", "rate", "start_delay")


def generate_launch_description() -> LaunchDescription:
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    core = PathJoinSubstitution([FindPackageShare("avatar_forcing_ros"), "launch", "avatar.launch.py"])
    passed_on = [(name, value[name]) for name, _, _ in ARGUMENTS if name not in OWN]
    player = ExecuteProcess(
        cmd=["ros2", "bag", "play", value["bag"], "--clock", "100", "--rate", value["rate"]], output="screen"
    )
    recorder = Node(
        package="avatar_forcing_ros", executable="recorder", name="recorder", output="screen",
        parameters=[{"out": ParameterValue(value["out"], value_type=str), "use_sim_time": True}],
    )  # fmt: skip
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(core),
                launch_arguments=[*passed_on, ("use_sim_time", "true")],
            ),
            GroupAction([PushRosNamespace(value["namespace"]), recorder]),
            TimerAction(period=value["start_delay"], actions=[player]),
            RegisterEventHandler(
                OnProcessExit(
                    target_action=player,
                    on_exit=[EmitEvent(event=Shutdown(reason="the bag has been played"))],
                )
            ),
        ]
    )
