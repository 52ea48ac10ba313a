"""The messages of the avatar's speech, to and from arrays. What is inconsistent raises InputError."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from rclpy.subscription import Subscription

from avatar_forcing_ros.audio.speech_queue import Span, SpeechFrame
from avatar_forcing_ros.audio.spoken import MAX_CHANNELS, MAX_RATE, Utterance
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.msg import SpeechChunk, SpeechControl, SpeechState, VoiceFrame
from avatar_forcing_ros.presentation.voice_playout import SpeechEvent
from avatar_forcing_ros.ros.messages import nanoseconds
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, time_of

_LOWEST_RATE = 8000


def time_message(ns: int) -> Time:
    return Time(sec=ns // NANOSECONDS, nanosec=ns % NANOSECONDS)


def duration_message(ns: int) -> Duration:
    return Duration(sec=ns // NANOSECONDS, nanosec=ns % NANOSECONDS)


def _samples(message: Any, what: str) -> np.ndarray:
    """(n, channels) float32 of a message with rate, channels and samples."""
    samples = np.asarray(message.samples, dtype=np.float32)
    if not len(samples):
        return np.zeros((0, 1), np.float32)
    if not (_LOWEST_RATE <= message.rate <= MAX_RATE and 1 <= message.channels <= MAX_CHANNELS):
        raise InputError(
            f"{what} of {message.rate} Hz and {message.channels} channels: {_LOWEST_RATE} to {MAX_RATE} Hz and 1 or 2 "
            "channels can be spoken"
        )
    if len(samples) % message.channels or not np.isfinite(samples).all():
        raise InputError(f"{what} of {len(samples)} samples in {message.channels} channels is inconsistent")
    return np.clip(samples, -1.0, 1.0).reshape(-1, message.channels)


def _floats(samples: np.ndarray) -> array.array:
    return array.array("f", np.ascontiguousarray(samples, np.float32).tobytes())


def chunk_message(utterance: Utterance, samples: np.ndarray, rate: int, last: bool) -> SpeechChunk:
    """samples (n, channels) float32."""
    message = SpeechChunk(utterance=utterance.id, begun=time_message(utterance.began_ns), last=last, rate=rate)
    message.channels, message.samples = samples.shape[1], _floats(samples)
    return message


def chunk_of(message: SpeechChunk) -> tuple[Utterance, np.ndarray]:
    if not message.utterance:
        raise InputError("a SpeechChunk needs the id of its utterance")
    return Utterance(message.utterance, nanoseconds(message.begun)), _samples(message, "an utterance")


def voice_message(frame: int, speech: SpeechFrame) -> VoiceFrame:
    message = VoiceFrame(frame=frame, rate=speech.rate, channels=speech.voice.shape[1])
    message.header.stamp = time_message(time_of(frame))
    if speech.known:
        message.samples = _floats(speech.voice)
    message.utterances = [span.utterance.id for span in speech.spans]
    message.begun = [time_message(span.utterance.began_ns) for span in speech.spans]
    message.first_samples = [span.first for span in speech.spans]
    message.sample_counts = [span.count for span in speech.spans]
    message.ends = [span.ends for span in speech.spans]
    return message


def voice_of(message: VoiceFrame) -> tuple[np.ndarray, tuple[Span, ...]]:
    """(voice (rate / 25, channels) float32, what of it belongs to which utterance)."""
    voice = _samples(message, "a voice frame")
    told = (message.begun, message.first_samples, message.sample_counts, message.ends)
    if (len(voice) and len(voice) * FRAME_RATE != message.rate) or any(len(t) != len(message.utterances) for t in told):
        raise InputError(f"a voice frame of {len(voice)} samples at {message.rate} Hz is inconsistent")
    spans = tuple(
        Span(
            Utterance(id, nanoseconds(begun)), int(first), min(int(count), max(0, len(voice) - int(first))), bool(ends)
        )
        for id, begun, first, count, ends in zip(message.utterances, *told, strict=True)
    )
    return voice, spans


def cut_message(stamp_ns: int, utterance: str = "", position_ns: int | None = None) -> SpeechControl:
    message = SpeechControl(action=SpeechControl.CUT, utterance=utterance, at_position=position_ns is not None)
    message.header.stamp = time_message(stamp_ns)
    message.position = duration_message(position_ns or 0)
    return message


def cut_of(message: SpeechControl) -> tuple[int, str, int | None]:
    """(ROS time in ns, utterance or "" for all, position in ns or None for now)."""
    position = nanoseconds(message.position) if message.at_position and message.utterance else None
    return nanoseconds(message.header.stamp), message.utterance, position


def gain_message(stamp_ns: int, gain: float) -> SpeechControl:
    message = SpeechControl(action=SpeechControl.GAIN, gain=gain)
    message.header.stamp = time_message(stamp_ns)
    return message


def state_message(event: SpeechEvent, frame_id: str) -> SpeechState:
    message = SpeechState(state=event.kind, utterance=event.utterance, position=duration_message(event.position_ns))
    message.header.stamp, message.header.frame_id = time_message(event.stamp_ns), frame_id
    return message


def event_of(message: SpeechState) -> SpeechEvent:
    return SpeechEvent(
        message.state, message.utterance, nanoseconds(message.position), nanoseconds(message.header.stamp)
    )


def with_sending_time(take: Callable[[Any, int], None]) -> Callable[..., None]:
    """A subscription's callback from take(message, ns): ns is when it was sent, by the sender's clock; 0 where rclpy does not tell (Humble)."""
    if not hasattr(Subscription, "CallbackType"):
        return lambda message: take(message, 0)
    return lambda message, info: take(message, info["source_timestamp"])
