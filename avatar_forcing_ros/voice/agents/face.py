"""A speaking face in one process, without ROS: sound in as fast as it comes, images and the same sound out in step, 25 a second."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.audio.speech_queue import SpeechQueue
from avatar_forcing_ros.audio.spoken import SpeechResampler, Utterance
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.generators.base import frames_known
from avatar_forcing_ros.generators.signals import SignalBuffer
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.idle import shown
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.space import make_avatar
from avatar_forcing_ros.presentation.hush import Hush
from avatar_forcing_ros.presentation.voice_playout import FINISHED, INTERRUPTED, SpeechEvent, VoicePlayout
from avatar_forcing_ros.timeline import FRAME_RATE, time_of

_MOST_LATE_S = 0.4  # behind the clock by more than this, the clock is set anew


@dataclass(frozen=True)
class FaceOptions:
    """rate: Hz of the sound that leaves, mono; the others as of `avatar-forcing run`."""

    avatar: str = "portrait"
    portrait: str = ""
    theme: str = ""
    size: int = 512
    generator: str = "embedded"
    seed: int = 0
    rate: int = 48_000


class FaceFrame(NamedTuple):
    """image (h, w, 3) uint8; voice (n, 1) float32 of the frame's 40 ms; speaking: an utterance is in it; events: what it tells; cuts: interruptions before it,
    which the face's own number tells to be out of date."""

    image: np.ndarray
    voice: np.ndarray
    speaking: bool
    events: tuple[SpeechEvent, ...]
    cuts: int


class AgentFace:
    """Frame by frame, on the frame clock from 0. Not thread-safe. Raises InputError for options that cannot be."""

    def __init__(self, options: FaceOptions | None = None) -> None:
        self.options = options or FaceOptions()
        if self.options.rate % FRAME_RATE or not 8000 <= self.options.rate <= 48_000:
            raise InputError(f"a rate of {self.options.rate} Hz: give a multiple of 25 from 8000 to 48000")
        one = self.options
        self._avatar = make_avatar(one.avatar, one.portrait, one.size, one.theme)
        if self._avatar.space != rig.SPACE:
            raise InputError(f"avatar '{one.avatar}' is not for voice agents: use portrait or screen_face")
        generator = make_generator(one.generator)
        self._stream = generator.open(read_picture(one.portrait or str(DEFAULT_PORTRAIT)), one.seed, None)
        self._ahead = frames_known(self._stream)
        self._signals = SignalBuffer(generator.dim)
        self._queue, self._playout, self._resampler = SpeechQueue(), VoicePlayout(), _ToRate(one.rate)
        self._hush = Hush(self._avatar.rest, rig.MOUTH)
        self._first = self._taken = 0  # frames that were given, and whose speech the generator has heard
        self._made: deque[np.ndarray] = deque()  # latents of the frames from `_first` on
        self._utterance: Utterance | None = None
        self._count = 0
        self._cut_ns = -1  # what began by then is interrupted
        self.cuts = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images."""
        image = shown(self._avatar, self._avatar.rest, 0)
        return image.shape[1], image.shape[0]

    @property
    def frame(self) -> int:
        """The frame that is given next."""
        return self._first

    @property
    def saying(self) -> bool:
        """An utterance has begun and is not complete."""
        return self._utterance is not None

    def say(self, samples: np.ndarray, rate: int) -> str:
        """samples (n, channels) or (n,) float32 of the utterance that is being said, or of a new one. Gives its id."""
        if self._utterance is None:
            self._count += 1
            self._utterance = Utterance(f"agent-{self._count}", max(time_of(self._taken), self._cut_ns + 1))
        for speech in self._resampler.push(samples, rate):
            self._queue.push(speech, None, self._utterance)
        return self._utterance.id

    def end(self) -> None:
        """The utterance is complete; it is told when it has been heard."""
        if self._utterance is not None:
            for speech in self._resampler.flush():
                self._queue.push(speech, None, self._utterance)
            self._queue.end(self._utterance)
            self._utterance = None

    def interrupt(self) -> list[SpeechEvent]:
        """Drops all that has not left, at once; the lips close. Tells what was ended."""
        now = self._cut_ns = max(time_of(self._taken), self._cut_ns + 1)
        self.cuts += 1
        self._resampler.flush()
        self._utterance = None
        _, dropped = self._queue.cut(now)
        events = self._playout.cut(now)
        if events or dropped:
            self._hush.begin(self._first, self._taken + 2)
        return events

    def next(self) -> FaceFrame:
        """The next frame. A step of the generator is made where its motion is not there yet."""
        if not self._made:
            self._make()
        latent = self._hush.apply(self._first, self._made.popleft())
        image = shown(self._avatar, latent, self._first)
        speaking = self._playout.speaks(self._first)
        voice, rate, events = self._playout.take(self._first, time_of(self._first), time_of(self._first + 1))
        self._first += 1
        if rate != self.options.rate:  # silence before the first utterance
            voice = np.zeros((self.options.rate // FRAME_RATE, 1), np.float32)
        return FaceFrame(image, voice, speaking, tuple(events), self.cuts)

    def _make(self) -> None:
        while self._taken < self._first + self._ahead:
            speech = self._queue.pop_frame(self._taken)
            self._signals.put_avatar_audio(self._taken, speech.samples, np.ones(1, bool))
            if speech.known or speech.spans:
                voice = speech.voice if speech.known else speech.voice[:0]
                self._playout.put(self._taken, voice, speech.rate, speech.spans)
            self._taken += 1
        signals, _ = self._signals.block(self._first, self._stream.block_frames)
        self._made.extend(self._stream.step(signals))


class _ToRate:
    """Sound of any rate and channels -> speech whose voice is mono of one rate."""

    def __init__(self, rate: int) -> None:
        from avatar_forcing_ros.audio.resample import Resampler

        self._rate, self._voice, self._speech = rate, Resampler(wanted=rate), SpeechResampler()

    def push(self, samples: np.ndarray, rate: int):
        out = []
        for piece, _ in self._voice.push(np.asarray(samples, np.float32), rate):
            out += [speech for speech, _ in self._speech.push(piece, self._rate)]
        return out

    def flush(self):
        out = [s for piece, _ in self._voice.flush() for s, _ in self._speech.push(piece, self._rate)]
        return out + [speech for speech, _ in self._speech.flush()]


async def in_real_time(face: AgentFace, lock: asyncio.Lock) -> AsyncIterator[FaceFrame]:
    """The frames of a face at 25 a second, drawn in a thread; `lock` is held meanwhile, so that its speech does not change then.

    Where a machine cannot keep up, images and sound are late together.
    """
    loop = asyncio.get_running_loop()
    began, first = loop.time(), face.frame
    while True:
        late = loop.time() - began - (face.frame - first) / FRAME_RATE
        if late < 0:
            await asyncio.sleep(-late)
        elif late > _MOST_LATE_S:
            began += late
        async with lock:
            made = await asyncio.to_thread(face.next)
        yield made


__all__ = ["FINISHED", "INTERRUPTED", "AgentFace", "FaceFrame", "FaceOptions", "in_real_time"]
