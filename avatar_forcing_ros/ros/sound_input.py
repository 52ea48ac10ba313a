"""A topic of sound: its messages as 16 kHz mono in ROS time, and what has to be told of it. Needs no rclpy."""

from __future__ import annotations

from typing import Any

from avatar_forcing_ros.audio.decode import AudioDecoder, SoundFormat, stamp_of
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.presentation.stamps import StampClock
from avatar_forcing_ros.timeline import NANOSECONDS, seconds_to_ns

Stretches = list[tuple[Any, int | None]]
_QUIET_NS = 200_000_000  # without a message, what the resampler holds is let out
_TOLD_NS = 10 * NANOSECONDS  # for how long damage goes on to be told


class SoundInput:
    """The messages of one topic. Not thread-safe.

    default: the format until an AudioInfo arrives. resampler: what its samples become (a microphone's Resampler, the
    avatar's SpeechResampler). queued_s: of speech that
    is queued, how far its stamps may be from its arrival, for it may be sent before its time, or stamped when it was asked for;
    None: a microphone.
    """

    def __init__(self, default: SoundFormat, resampler: Any, queued_s: float | None = None) -> None:
        self._decoder = AudioDecoder(default)
        self._resampler = resampler
        self._speech = queued_s is not None
        self.clock = StampClock() if queued_s is None else StampClock(seconds_to_ns(queued_s), seconds_to_ns(queued_s))
        self._last: int | None = None  # when the last message arrived; None: nothing waits in the resampler
        self._damage, self._damage_at = 0, -_TOLD_NS

    def set_info(self, info: Any) -> None:
        """Takes an AudioInfo. Raises InputError where its sound cannot be read."""
        self._decoder.set_info(info)

    def reset(self) -> None:
        """ROS time has jumped."""
        self._decoder.reset()
        self._resampler.flush()
        self.clock.reset()
        self._last = None

    def push(self, message: Any, now_ns: int) -> Stretches:
        """Stretches of sound, as the resampler gives them, each with the ROS time of its first sample; None: the source does not say.

        Raises InputError, and nothing else, where the message cannot be used.
        """
        try:
            pieces = self._decoder.pieces(message)
        except InputError:
            raise
        except Exception as error:  # a fault of a decoder that nobody has met yet: the next good message is used
            raise InputError(f"sound cannot be decoded: {type(error).__name__}: {str(error)[:200]}") from error
        length = sum(len(samples) * NANOSECONDS // rate for samples, rate in pieces)
        stamp = stamp_of(message)
        # Speech without stamps is queued behind what is there, however fast it comes; a microphone's is of when it arrives.
        place = None if self._speech and stamp is None else self.clock.place(stamp, now_ns - length)
        out: Stretches = []
        for samples, rate in pieces:
            out += self._resampler.push(samples, rate, place)
            place = None if place is None else place + len(samples) * NANOSECONDS // rate
        self._last = now_ns
        return out

    def drop(self) -> None:
        """Whatever waits in the resampler's filter is not wanted any more."""
        self._resampler.flush()
        self._last = None

    def flush(self, now_ns: int) -> Stretches:
        """The end of an utterance, once no more sound comes."""
        if self._last is None or now_ns - self._last <= _QUIET_NS:
            return []
        self._last = None
        return self._resampler.flush()

    def clock_line(self) -> str:
        """What is told of the stamps, whatever they are; '' where all is well."""
        return "" if self._speech and self.clock.state == "late" else self.clock.line("sound")

    def warning(self, now_ns: int) -> str:
        """What is wrong, with a number and the mend; '' where nothing is."""
        if self._decoder.skipped > self._damage:
            self._damage, self._damage_at = self._decoder.skipped, now_ns
        line = self.clock_line()
        if line and self.clock.state != "unstamped":
            return line
        if now_ns - self._damage_at < _TOLD_NS:
            return f"{self._damage} packets of sound were damaged and left out: look at the way they take"
        return "" if self._speech else self._resampler.mixer.line()

    def values(self) -> dict[str, object]:
        """For diagnostics."""
        return {
            "NaN or infinite samples": self._decoder.bad_samples, "skipped packets": self._decoder.skipped,
            "WAV headers in the sound": self._decoder.wave_headers, "clock offset s": self.clock.offset_ns / NANOSECONDS,
            "delay ms": self.clock.delay_ns / 1e6, "strange stamps": self.clock.strange_stamps, "stamps": self.clock.state or "good",
        }  # fmt: skip
