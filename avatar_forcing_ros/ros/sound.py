"""Sound messages out, in whichever of the two packages called audio_common_msgs this machine has."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from audio_common_msgs import msg as audio_msgs

from avatar_forcing_ros.ros import qos

TYPED_FAMILY = not hasattr(audio_msgs, "AudioDataStamped")  # mgonzs13's; else ros-drivers' (apt)
STAMPED = audio_msgs.AudioStamped if TYPED_FAMILY else audio_msgs.AudioDataStamped
PLAIN = audio_msgs.Audio if TYPED_FAMILY else audio_msgs.AudioData
INFO_PERIOD_S = 5.0
_PORTAUDIO_INT16 = 8


class SoundPublisher:
    """Publishes 16-bit sound on `<prefix>audio_stamped`; for the apt family its description on `<prefix>audio_info` too.

    The description is latched and repeated: a bag that is replayed on an old distribution loses the latch.
    """

    def __init__(self, node: Any, prefix: str = "") -> None:
        self._publisher = node.create_publisher(STAMPED, f"{prefix}audio_stamped", qos.reliable(50))
        self._info_publisher = None
        self._rate = self._channels = 0
        if not TYPED_FAMILY:
            self._info_publisher = node.create_publisher(audio_msgs.AudioInfo, f"{prefix}audio_info", qos.latched())
            node.create_timer(INFO_PERIOD_S, self._publish_info)

    def publish(self, samples: np.ndarray, rate: int, stamp: Any, frame_id: str) -> None:
        """samples (n,) or (n, channels) float32 in [-1, 1]; stamp: builtin_interfaces Time of the first sample."""
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        if (rate, channels) != (self._rate, self._channels):
            self._rate, self._channels = rate, channels
            self._publish_info()
        pcm = np.clip(samples * 32768.0, -32768, 32767).astype("<i2")
        message = STAMPED()
        message.header.stamp, message.header.frame_id = stamp, frame_id
        if TYPED_FAMILY:
            message.audio.info.format = _PORTAUDIO_INT16
            message.audio.info.channels, message.audio.info.rate = channels, rate
            message.audio.info.chunk = len(samples)
            message.audio.audio_data.int16_data = array.array("h", pcm.tobytes())
        else:
            message.audio.data = array.array("B", pcm.tobytes())
        self._publisher.publish(message)

    def _publish_info(self) -> None:
        if self._info_publisher is not None and self._rate:
            info = audio_msgs.AudioInfo(
                channels=self._channels,
                sample_rate=self._rate,
                sample_format="S16LE",
                bitrate=self._rate * self._channels * 16,
                coding_format="wave",
            )
            self._info_publisher.publish(info)
