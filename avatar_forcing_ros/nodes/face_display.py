"""Node: the face on this machine's own screen, full-screen, and its voice on a sound device, in step by the images' and sound's stamps."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.images import to_rgb
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.presentation.pacing import MILLISECOND, Recent
from avatar_forcing_ros.presentation.screen import Screen
from avatar_forcing_ros.presentation.timed_sound import TimedSound
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.messages import nanoseconds
from avatar_forcing_ros.ros.settings import FaceDisplaySettings
from avatar_forcing_ros.ros.sound_reader import SoundReader
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, seconds_to_ns

_WAITING = 8  # images that are there before their time
_CHUNK = 512  # samples that the sound device asks for at a time
_BUFFERS = 2  # of them lie between the asking and the hearing
_LOOK_NS = 50 * MILLISECOND


class FaceDisplay(AvatarNode):
    """Reads `image_raw` (or `image_raw/compressed`) and `spoken/audio_stamped`; shows and plays both `delay` after their stamps.

    Escape or q ends the node where there is a keyboard. Without a sound device the face is shown all the same.
    """

    SETTINGS = FaceDisplaySettings
    settings: FaceDisplaySettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("face_display", arguments)
        self._lock = threading.Condition()
        self._images: deque[tuple[int, np.ndarray]] = deque(maxlen=_WAITING)
        self._sound: TimedSound | None = None
        self._reopen = False  # the sound has another rate than the device
        self._device: Any = None
        self._late_ms, self._skew_ms = Recent(250), Recent(250)

    def setup(self) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            from pygame._sdl2 import audio, sdl2
        except ImportError as error:
            raise InputError(
                f"face_display needs the extra [kiosk]: pip install 'avatar_forcing_ros[kiosk]' ({error})"
            ) from error
        self._audio, self._sdl = audio, sdl2
        self._no_sound = "" if self.settings.play_sound else "sound is off"

    def start(self) -> None:
        kind, topic = (CompressedImage, "image_raw/compressed") if self.settings.compressed else (Image, "image_raw")
        self.create_subscription(kind, topic, self._on_image, qos.reliable(4))
        self._reader = SoundReader(self, "spoken/", self._on_sound)
        self.run_thread(self._show)

    def stop(self) -> None:
        with self._lock:
            self._lock.notify_all()
        self.join_threads()
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def on_time_jump(self) -> None:
        with self._lock:
            self._images.clear()

    # --- sound ------------------------------------------------------------------------------------------------------
    def _on_sound(self, samples: np.ndarray, rate: int, stamp_ns: int) -> None:
        with self._lock:
            if self._sound is None or self._sound.rate != rate:
                self._sound = TimedSound(rate)
                self._reopen = True
            self._sound.put(samples, stamp_ns)

    def _open_sound(self) -> None:
        """The device at the rate of the sound, opened anew where that changes. Without one the reason is told in diagnostics."""
        self._reopen = False
        if self._no_sound or self._sound is None:
            return
        old, self._device = self._device, None
        if old is not None:
            old.close()
        try:
            self._sdl.init_subsystem(self._sdl.INIT_AUDIO)
            names = self._audio.get_audio_device_names(False)
            asked = self.settings.sound_device
            if not names or (asked and asked not in names):
                raise self._sdl.error(f"no sound device{f' {asked}; there are: ' + ', '.join(names) if asked else ''}")
            self._device = self._audio.AudioDevice(
                asked or names[0], False, self._sound.rate, self._audio.AUDIO_F32, 1, _CHUNK, 0, self._fill
            )
            self._device.pause(0)
        except self._sdl.error as error:
            self._no_sound = str(error)
            self.get_logger().warning(f"the voice is not played: {error}")

    def _fill(self, device: Any, memory: Any) -> None:
        """The sound device asks, in a thread of its own."""
        count = len(memory) // 4
        with self._lock:
            sound = self._sound
            if sound is None or not self.active:
                memory[:] = bytes(len(memory))
                return
            heard = (
                self.now_ns()
                + _BUFFERS * count * NANOSECONDS // sound.rate
                + seconds_to_ns(self.settings.sound_latency)
            )
            samples = sound.pull(count, heard - seconds_to_ns(self.settings.delay))
        memory[:] = np.ascontiguousarray(samples, np.float32).tobytes()

    # --- images -----------------------------------------------------------------------------------------------------
    def _on_image(self, message: Any) -> None:
        with self.usable():
            image, stamp = to_rgb(message), nanoseconds(message.header.stamp)
            with self._lock:
                if len(self._images) == _WAITING:
                    self.count("dropped images")
                self._images.append((stamp, image))
                self._lock.notify()

    def _show(self) -> None:
        screen = Screen(self.settings.screen, self.settings.window, "avatar_forcing_ros")
        try:
            while self.active:
                if screen.asked_to_end():
                    self.context.shutdown()
                    return
                if self._reopen:
                    self._open_sound()
                found = self._next_image()
                if found is None:
                    continue
                stamp, image = found
                screen.prepare(image)
                if not self.wait_until(stamp + seconds_to_ns(self.settings.delay)):
                    continue
                screen.show()
                late_ms = (self.now_ns() - stamp) / MILLISECOND - 1000 * self.settings.delay
                self._late_ms.add(late_ms)
                if self._device is not None and self._sound is not None:
                    self._skew_ms.add(late_ms - 1000 * self._sound.error_s)
                self.count("images")
        finally:
            screen.close()

    def _next_image(self) -> tuple[int, np.ndarray] | None:
        """The next image to be shown; those that are late while a newer one is there are left out."""
        with self._lock:
            if not self._images:
                self.wait_notified(self._lock, _LOOK_NS)
            if not self._images:
                return None
            found = self._images.popleft()
            while self._images and self.now_ns() - found[0] > seconds_to_ns(self.settings.delay) + FRAME_NS // 2:
                found = self._images.popleft()
                self.count("late images")
            return found

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active:
            return super().report()
        values = {
            "late ms p95": self._late_ms.quantile(95),
            "sound": self._no_sound or ("playing" if self._device else "none has come"),
        }
        if len(self._skew_ms):
            values |= {"skew ms p50": self._skew_ms.quantile(50), "skew ms p95": self._skew_ms.quantile(95)}
        if self._sound is not None:
            values["sound jumps"] = self._sound.jumps
        if self._no_sound and self.settings.play_sound:
            return DiagnosticStatus.WARN, f"the voice is not played: {self._no_sound}", values
        return DiagnosticStatus.OK, "showing" if len(self._late_ms) else "waiting for images", values


def main() -> int:
    return run_node(FaceDisplay)
