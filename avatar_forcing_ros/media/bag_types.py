"""The message definitions that bags of images, sound and motion latents need."""

from __future__ import annotations

from functools import cache

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

PACKET = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", PACKET)
SOUNDS = ("AudioDataStamped", "AudioStamped", "AudioData", "Audio")  # the better timed ones first
INFO = "audio_common_msgs/msg/AudioInfo"

# Bags before ROS 2 Iron do not carry definitions: those of the two packages called audio_common_msgs, and ours.
_APT = {
    "AudioData": "uint8[] data",
    "AudioDataStamped": "std_msgs/Header header\naudio_common_msgs/AudioData audio",
    "AudioInfo": "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\nstring coding_format",
}
_TYPED = {
    "AudioData": "float32[] float32_data\nint32[] int32_data\nint16[] int16_data\nint8[] int8_data\nuint8[] uint8_data",
    "AudioInfo": "int32 format\nint32 channels\nint32 rate\nint32 chunk",
    "Audio": "audio_common_msgs/AudioData audio_data\naudio_common_msgs/AudioInfo info",
    "AudioStamped": "std_msgs/Header header\naudio_common_msgs/Audio audio",
}
TYPED_KINDS = ("audio_common_msgs/msg/Audio", "audio_common_msgs/msg/AudioStamped")
BLOCK = "avatar_forcing_ros/msg/MotionLatentBlock"
_BLOCK_DEFINITION = """std_msgs/Header header
uint64 sequence
int64 first_frame
uint32 frame_count
uint32 latent_dim
float32 frame_rate
string space
string model
bool fallback
string[] missing
builtin_interfaces/Time[] camera_stamps
builtin_interfaces/Time[] user_audio_stamps
builtin_interfaces/Duration compute_time
builtin_interfaces/Duration waited
float32[] data
"""
_PACKET_DEFINITION = """std_msgs/Header header
int32 width
int32 height
string encoding
uint64 pts
uint8 flags
bool is_bigendian
uint8[] data
"""


@cache
def known_types(typed_audio: bool = False) -> Typestore:
    """As `message_types`, made once: for readers, who add nothing to it."""
    return message_types(typed_audio)


def message_types(typed_audio: bool = False) -> Typestore:
    """The standard messages, audio_common_msgs (apt's, or the typed family of mgonzs13) and our latents."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, definition in (_TYPED if typed_audio else _APT).items():
        store.register(get_types_from_msg(definition, f"audio_common_msgs/msg/{name}"))
    store.register(get_types_from_msg(_BLOCK_DEFINITION, BLOCK))
    store.register(get_types_from_msg(_PACKET_DEFINITION, PACKET))
    return store
