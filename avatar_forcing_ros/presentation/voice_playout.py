"""The avatar's voice as it leaves: cut where it is interrupted, and every utterance told from its first sample to its last."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.audio.speech_queue import Span
from avatar_forcing_ros.audio.spoken import Utterance
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, SAMPLE_RATE

STARTED, POSITION, FINISHED, INTERRUPTED = range(4)  # kinds of SpeechEvent, as in SpeechState.msg
KEPT_FRAMES = 8 * FRAME_RATE
_POSITION_FRAMES = 5  # frames between two positions
_REMEMBERED = 256  # utterances whose end was told, and ids that were interrupted
_SILENT = 10 ** (-50 / 20)  # peak of a frame that may be made longer or shorter
_FADE_S = 0.005


class SpeechEvent(NamedTuple):
    """kind: STARTED ...; position_ns: of the utterance's sound that has left; stamp_ns: presentation time of that position."""

    kind: int
    utterance: str
    position_ns: int
    stamp_ns: int


@dataclass
class _Said:
    utterance: Utterance
    samples: int = 0
    rate: int = SAMPLE_RATE
    frames: int = 0  # since the last position was told
    limit_ns: int | None = None  # position at which it is to end

    @property
    def position_ns(self) -> int:
        return self.samples * NANOSECONDS // self.rate


class _Kept(NamedTuple):
    voice: np.ndarray
    rate: int
    spans: tuple[Span, ...]


class VoicePlayout:
    """Voice by frame index; `take` is to be called once per frame, in order. Not thread-safe: the owner locks.

    Every utterance of which anything is put ends in exactly one FINISHED or INTERRUPTED. late_frames: frames that came after they were
    due, whose sound is lost.
    """

    def __init__(self) -> None:
        self.late_frames = 0
        self.reset()

    def reset(self) -> None:
        """Time has jumped: what waits is forgotten."""
        self._frames: OrderedDict[int, _Kept] = OrderedDict()
        self._rate, self._channels = SAMPLE_RATE, 1
        self._newest: int | None = None  # the newest frame that was taken
        self._late: list[Span] = []  # ends of utterances that came after they were due
        self._said: dict[str, _Said] = {}  # utterances that are being spoken
        self._told: OrderedDict[str, None] = OrderedDict()  # ids whose end was told
        self._cut_ns = -1  # whatever began by then is interrupted
        self._cut_ids: OrderedDict[str, int] = OrderedDict()
        self._fade = False  # the next frame comes down from what was cut
        self._gain = self._wanted_gain = 1.0

    # In

    def put(self, frame: int, voice: np.ndarray, rate: int, spans: tuple[Span, ...] = ()) -> None:
        """voice (rate / 25, channels) float32 of `frame`, and what of it belongs to which utterance."""
        if self._newest is not None and frame <= self._newest:
            self.late_frames += bool(len(voice))
            self._lose(spans)
            return
        if not self._frames or frame > next(reversed(self._frames)):
            silent = self._newest is None or self._silent_ahead()
            if len(voice) and silent:  # its readers learn the new format while there is silence
                self._rate, self._channels = rate, voice.shape[1]
        self._frames[frame] = _Kept(voice, rate, spans)
        while len(self._frames) > KEPT_FRAMES:
            _, lost = self._frames.popitem(last=False)
            self._lose(lost.spans)

    def _lose(self, spans: tuple[Span, ...]) -> None:
        """Sound that came too late to be heard: the place in its utterance moves on all the same."""
        for span in spans:
            said = self._said.get(span.utterance.id)
            if said is not None:
                said.samples += span.count
        self._late += [span._replace(first=0, count=0) for span in spans if span.ends]

    def cut(self, stamp_ns: int, utterance: str = "", position_ns: int | None = None) -> list[SpeechEvent]:
        """An interruption at ROS time `stamp_ns`: of all that began by then, or of one utterance; at once, or at a position of it."""
        if position_ns is not None:
            said = self._said.get(utterance)
            if said is not None and position_ns > said.position_ns:
                said.limit_ns = position_ns
                return []
        if utterance:
            self._cut_ids[utterance] = stamp_ns
            while len(self._cut_ids) > _REMEMBERED:
                self._cut_ids.popitem(last=False)
        else:
            self._cut_ns = max(self._cut_ns, stamp_ns)
        self._fade = True
        if not utterance:  # what belongs to no utterance goes too
            for frame, kept in self._frames.items():
                voice = np.zeros_like(kept.voice)
                for span in kept.spans:
                    voice[span.first : span.first + span.count] = kept.voice[span.first : span.first + span.count]
                self._frames[frame] = kept._replace(voice=voice)
        return [
            self._end(id, INTERRUPTED, stamp_ns)
            for id, said in list(self._said.items())
            if self._is_cut(said.utterance)
        ]

    def set_gain(self, gain: float) -> None:
        """1: as it came; below: ducked. Reached within one frame."""
        self._wanted_gain = gain

    def get(self, frame: int) -> np.ndarray | None:
        """The voice (n, channels) that waits for a frame; None where there is none."""
        kept = self._frames.get(frame)
        return None if kept is None or not len(kept.voice) else kept.voice

    def speaks(self, frame: int) -> bool:
        """An utterance that was not interrupted has sound in the frame."""
        kept = self._frames.get(frame)
        spans = kept.spans if kept is not None else ()
        return any(s.count and not self._is_cut(s.utterance) and s.utterance.id not in self._told for s in spans)

    def is_silent(self, frame: int) -> bool:
        voice = self.get(frame)
        return voice is None or float(np.abs(voice).max()) < _SILENT

    def waiting(self, frame: int) -> int:
        """Frames with voice after `frame`."""
        return sum(f > frame for f in self._frames)

    # Out

    def take(self, frame: int, due_ns: int, until_ns: int) -> tuple[np.ndarray, int, list[SpeechEvent]]:
        """(samples (n, channels) float32, their rate, what to tell) of `frame`, which sounds from due_ns to until_ns."""
        for old in [f for f in self._frames if f < frame]:
            self._lose(self._frames.pop(old).spans)
        self._newest = frame
        kept = self._frames.pop(frame, None)
        events: list[SpeechEvent] = []
        late, self._late = self._late, []
        for span in late:
            self._follow(span, None, self._rate, due_ns, events)
        if kept is not None and len(kept.voice):
            self._rate, self._channels = kept.rate, kept.voice.shape[1]
            voice = kept.voice.copy()
        else:
            voice = np.zeros((self._rate // FRAME_RATE, self._channels), np.float32)
        spans = kept.spans if kept is not None else ()
        for i, span in enumerate(spans):
            until = spans[i + 1].first if i + 1 < len(spans) and spans[i + 1].count else len(voice)
            self._follow(span, voice[:until], self._rate, due_ns, events)
        self._fade = False
        count = max(0, (until_ns - due_ns) * self._rate // NANOSECONDS)
        if count > len(voice):
            voice = np.pad(voice, ((0, count - len(voice)), (0, 0)))
        voice = voice[:count]
        if self._gain != 1.0 or self._wanted_gain != 1.0:
            voice = voice * np.linspace(self._gain, self._wanted_gain, len(voice), dtype=np.float32)[:, None]
            self._gain = self._wanted_gain
        return voice, self._rate, events

    def _follow(self, span: Span, voice: np.ndarray | None, rate: int, due_ns: int, events: list[SpeechEvent]) -> None:
        """One utterance through one frame: what of it is spoken, and what there is to tell."""
        id = span.utterance.id
        first = span.first
        if self._is_cut(span.utterance) or id in self._told:
            if voice is not None:
                self._fade = self._fade and id in self._told  # of one that has not begun nothing is heard
                self._silence(voice, first, rate)
            if id not in self._told:
                events.append(self._end(id, INTERRUPTED, due_ns))
            return
        if span.count and id not in self._said:
            self._said[id] = _Said(span.utterance, rate=rate)
            events.append(SpeechEvent(STARTED, id, 0, due_ns + first * NANOSECONDS // rate))
        said = self._said.get(id)
        if said is None:  # it ends, and nothing of it was heard
            events.append(self._end(id, FINISHED, due_ns))
            return
        spoken = span.count
        if said.limit_ns is not None:
            spoken = min(spoken, max(0, said.limit_ns * rate // NANOSECONDS - said.samples))
        said.samples += spoken
        said.frames += 1
        until = due_ns + (first + spoken) * NANOSECONDS // rate
        if spoken < span.count:
            if voice is not None:
                self._fade = True
                self._silence(voice, first + spoken, rate)
            events.append(self._end(id, INTERRUPTED, until))
        elif span.ends:
            events.append(self._end(id, FINISHED, until))
        elif said.frames >= _POSITION_FRAMES:
            said.frames = 0
            events.append(SpeechEvent(POSITION, id, said.position_ns, until))

    def _silence(self, voice: np.ndarray, first: int, rate: int) -> None:
        """From sample `first` on, what dies away after the utterance included."""
        if not len(voice):
            return
        fade = min(round(_FADE_S * rate), len(voice) - first) if self._fade else 0
        if fade:
            voice[first : first + fade] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)[:, None]
            self._fade = False
        voice[first + fade :] = 0.0

    def _end(self, id: str, kind: int, stamp_ns: int) -> SpeechEvent:
        said = self._said.pop(id, None)
        self._told[id] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return SpeechEvent(kind, id, said.position_ns if said else 0, stamp_ns)

    def _is_cut(self, utterance: Utterance) -> bool:
        return utterance.began_ns <= self._cut_ns or utterance.id in self._cut_ids

    def _silent_ahead(self) -> bool:
        return not any(len(kept.voice) and float(np.abs(kept.voice).max()) >= _SILENT for kept in self._frames.values())
