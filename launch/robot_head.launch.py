"""A robot whose head is a screen: camera, microphone and TTS are the robot's own topics; the face goes to the screen.

    ros2 launch avatar_forcing_ros robot_head.launch.py camera:=/head/image_raw microphone:=/audio/audio_stamped \
        microphone_info:=/audio/audio_info speech:=/tts/audio_stamped speech_info:=/tts/audio_info
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

DEFAULTS = PathJoinSubstitution([FindPackageShare("avatar_forcing_ros"), "config", "avatar.yaml"])
ARGUMENTS = (
    ("namespace", "robot_head", "namespace of the face's nodes and topics"),
    ("camera", "/camera/image_raw", "topic of the robot's camera (sensor_msgs/Image)"),
    ("camera_compressed", "", "true: read <camera>/compressed instead of the raw images"),
    ("camera_reliable", "", "true: ask the camera for reliable transport (its writer must offer it)"),
    ("microphone", "/audio/audio_stamped", "topic of the robot's microphone"),
    ("microphone_info", "/audio/audio_info", "topic that describes the microphone's sound"),
    ("speech", "/tts/audio_stamped", "topic of the robot's speech; it may come faster than real time"),
    ("speech_info", "/tts/audio_info", "topic that describes the robot's speech"),
    ("avatar", "screen_face", "the face: screen_face (a drawn face) or portrait (an animated photo)"),
    ("portrait", "", "image file of a face, with avatar:=portrait; empty: as params_file says, else the one in the box"),
    ("theme", "", "theme of the screen face"),
    ("size", "", "side of the images in pixels"),
    ("generator", "", "back end of the motion generator: embedded (the network in the box), reflex (rules), published (with avatar:=neural)"),
    ("weights", "", "of the network: a file of `avatar-forcing train`, or the folder of the published one (docs/weights.md)"),
    ("device", "", "where the network runs: auto, cpu, cuda"),
    ("use_sim_time", "false", "follow /clock"),
    ("params_file", DEFAULTS, "parameters of the nodes (YAML); arguments that are empty leave them as they are there"),
)


def generate_launch_description() -> LaunchDescription:
    core = PathJoinSubstitution([FindPackageShare("avatar_forcing_ros"), "launch", "avatar.launch.py"])
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(core),
                launch_arguments=[(name, LaunchConfiguration(name)) for name, _, _ in ARGUMENTS],
            ),
        ]
    )
