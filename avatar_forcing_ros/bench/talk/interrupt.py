"""Interruptions of the running graph at random moments: call to silence in the published sound, and to closed lips."""

from __future__ import annotations

import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avatar_forcing_ros.bench.talk.graph import LOUD, quantiles, stamp_ns, talking_graph, wait
from avatar_forcing_ros.voice.tts import open_voice, synthesize

_CLOSED = 0.06  # jawOpen above the face's at rest
_TEXT = (
    "This is a long sentence that goes on and on, so that it can be interrupted at any of its words, again and again. "
    * 2
)
_LATEST_S = 2.5  # after the goal, of an interruption
_AFTER_S = 0.6  # that is looked at
_WITHIN_MS = 40.0  # of a position


def _speech(path: Path, voice: str) -> None:
    """The text, with a hum under its pauses: so the sound that left tells where it ended."""
    parts = list(synthesize(_TEXT, open_voice(voice)))
    samples, rate = np.concatenate([p.samples[:, 0] for p in parts]), parts[0].rate
    hum = 4 * LOUD * np.sin(2 * np.pi * 120 * np.arange(len(samples)) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(0.7 * samples + hum, -1, 1) * 32767).astype("<i2").tobytes())


def benchmark_interrupt(
    count: int = 100, voice: str = "auto", seed: int = 1, progress: Callable[[int], None] = lambda done: None
) -> dict:
    """Figures: ms from the call of `interrupt` to the end of the last sound that is heard, from there to closed lips, and the error of the
    position that is told; utterances that did not end in exactly one finished or interrupted. A part of the calls comes before the first sound."""
    from avatar_forcing_ros.action import Speak
    from avatar_forcing_ros.srv import Interrupt

    random = np.random.default_rng(seed)
    silences: list[float] = []
    lips: list[float] = []
    errors: list[float] = []
    again: list[tuple[float, float]] = []  # lips that open once more: ms after the sound, jawOpen at most
    ended = untold = 0
    with tempfile.TemporaryDirectory() as folder, talking_graph(voice) as talking:
        sound = Path(folder) / "speech.wav"
        _speech(sound, voice)
        for done in range(count):
            talking.clear()
            goal = talking.speak.send_goal_async(Speak.Goal(sound_file=str(sound)))
            wait(goal.done)
            time.sleep(float(random.uniform(0.0, _LATEST_S)))
            called = talking.now()
            talking.stop.call_async(Interrupt.Request())
            result = goal.result().get_result_async()
            wait(result.done)
            time.sleep(_AFTER_S)
            told = result.result().result
            states = list(talking.states)
            began = [stamp_ns(s.header.stamp) for s in states if s.state == s.STARTED]
            ends = [s for s in states if s.state in (s.FINISHED, s.INTERRUPTED)]
            ended += told.outcome == told.INTERRUPTED and (len(ends) == 1 if began else len(ends) <= 1)
            heard = [end for _, end in talking.sound]
            if began:
                last = max([called, *heard])
                silences.append((last - called) / 1e6)
                errors.append((max(heard) - began[0] - stamp_ns(told.position)) / 1e6)
                closing, opened = _closing(talking.lips, last)
                lips.append(closing)
                again += opened
            untold += not began and any(heard)
            progress(done + 1)
    return {
        "interruptions": count, "while_heard": len(silences), "silence_ms": quantiles(silences), "lips_closed_ms": quantiles(lips),
        "lips_open_again": [(round(ms), round(jaw, 3)) for ms, jaw in again], "ended_once": ended,
        "position_error_ms": quantiles([abs(e) for e in errors]), "positions_right": sum(abs(e) <= _WITHIN_MS for e in errors),
        "positions_wrong_ms": [round(e) for e in errors if abs(e) > _WITHIN_MS], "heard_but_not_told": untold,
    }  # fmt: skip


def _closing(lips: list[tuple[int, float]], last: int) -> tuple[float, list[tuple[float, float]]]:
    """ms from the last sound until the lips are closed; and, where they open once more: when, and how far."""
    after = [(max(0.0, (shown - last) / 1e6), jaw) for shown, jaw in lips if shown + 40_000_000 > last]
    first = next((i for i, (_, jaw) in enumerate(after) if jaw <= _CLOSED), len(after))
    wide = [(ms, jaw) for ms, jaw in after[first:] if jaw > _CLOSED]
    closed = after[first][0] if first < len(after) else _AFTER_S * 1000
    return closed, [(wide[0][0], max(jaw for _, jaw in wide))] if wide else []
