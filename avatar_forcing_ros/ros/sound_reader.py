"""Reads stamped sound of either package called audio_common_msgs as mono samples with their times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from audio_common_msgs import msg as audio_msgs

from avatar_forcing_ros.audio.decode import AudioDecoder, stamp_of
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.sound import STAMPED, TYPED_FAMILY


class SoundReader:
    """Calls take(samples (n,) float32 in [-1, 1], rate in Hz, stamp in ns) for every message of `<prefix>audio_stamped`.

    Messages that cannot be decoded, or come before their description, are left out; `fault` says why.
    """

    def __init__(self, node: Any, prefix: str, take: Callable[[np.ndarray, int, int], None], depth: int = 100) -> None:
        self._take, self._decoder = take, AudioDecoder()
        self._described = TYPED_FAMILY
        self.fault = ""
        if not TYPED_FAMILY:
            node.create_subscription(audio_msgs.AudioInfo, f"{prefix}audio_info", self._on_info, qos.latched())
        node.create_subscription(STAMPED, f"{prefix}audio_stamped", self._on_sound, qos.reliable(depth))

    def _on_info(self, info: Any) -> None:
        try:
            self._decoder.set_info(info)
            self._described, self.fault = True, ""
        except InputError as error:
            self._described, self.fault = False, str(error)

    def _on_sound(self, message: Any) -> None:
        if not self._described:
            return
        try:
            samples = self._decoder.decode(message)
        except InputError as error:
            self.fault = str(error)
            return
        stamp = stamp_of(message)
        if len(samples) and stamp is not None:
            self._take(samples.mean(axis=1), self._decoder.format.rate, stamp)
