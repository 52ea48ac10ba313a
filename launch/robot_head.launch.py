"""A robot whose head is a screen: camera, microphone and TTS are the robot's own topics; the face goes to the screen.

    ros2 launch avatar_forcing_ros robot_head.launch.py camera:=/head/image_raw microphone:=/audio/audio_stamped \
        microphone_info:=/audio/audio_info speech:=/tts/audio_stamped speech_info:=/tts/audio_info
"""

from avatar_forcing_ros.ros.graph import launching
from launch import LaunchDescription

ARGUMENTS = launching.arguments(
    namespace="robot_head",
    avatar="screen_face",
    camera="/camera/image_raw",
    microphone="/audio/audio_stamped",
    microphone_info="/audio/audio_info",
    speech="/tts/audio_stamped",
    speech_info="/tts/audio_info",
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*launching.declared(ARGUMENTS), launching.include_face(ARGUMENTS)])
