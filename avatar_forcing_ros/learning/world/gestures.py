"""Shapes of gestures in time: what a nod, a smile, a blink or a glance does to the rig coefficients, frame by frame.

All curves are at the frame rate and without steps (a blink and a saccade are as fast as they are); lengths are in
frames, and may be fractions of one.
"""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.learning.world.behaviour import Event, Side
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE


def sides(name: str) -> list[int]:
    """Indices of a coefficient, of both its sides where it has two."""
    return [rig.INDEX[n] for n in (name, f"{name}Left", f"{name}Right") if n in rig.INDEX]


def ease(share: np.ndarray) -> np.ndarray:
    """0..1 with no speed at either end (smoothstep)."""
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def swell(count: int, start: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """(count,) curve that comes from 0 to 1 and goes again, with soft flanks."""
    at = np.arange(count) - start
    return ease(at / rise) - ease((at - rise - hold) / fall)


def nod(count: int, start: float, cycles: int, hertz: float, depth: float) -> np.ndarray:
    """(count,) headPitch: down and up again `cycles` times, each 0.65 as deep as the one before.

    Nods of 1 to 3 cycles at 2 to 4 Hz (whole cycles in the time there is: a tenth are slower) with falling amplitude: Hadar, Steiner and Rose 1985.
    """
    turns = (np.arange(count) - start) / FRAME_RATE * hertz
    inside = (turns > 0) & (turns < cycles)
    fading = 0.65 ** np.floor(np.clip(turns, 0, cycles))
    return -depth * np.where(inside, 0.5 * (1.0 - np.cos(2.0 * np.pi * turns)) * fading, 0.0)


def shake(count: int, start: float, cycles: float, hertz: float, width: float) -> np.ndarray:
    """(count,) headYaw: left and right `cycles` times, swelling and fading."""
    turns = (np.arange(count) - start) / FRAME_RATE * hertz
    window = np.where((turns > 0) & (turns < cycles), np.sin(np.pi * turns / cycles) ** 2, 0.0)
    return width * window * np.sin(2.0 * np.pi * turns)


def blink(count: int, start: float, closing: float, opening: float, depth: float) -> np.ndarray:
    """(count,) eyeBlink: quick down, a moment closed, slower up (about 0.1 and 0.2 s; Evinger, Manning, Sibony 1991)."""
    at = np.arange(count) - start
    return depth * np.interp(at, (0.0, closing, closing + 1.0, closing + 1.0 + opening), (0.0, 1.0, 1.0, 0.0))


def glide(count: int, targets: list[tuple[float, float, float]]) -> np.ndarray:
    """(count,) curve through (frame, value, frames that the change takes), in the order of the frames; it begins at 0."""
    curve = np.zeros(count)
    for frame, value, takes in targets:
        first = max(0, int(np.ceil(frame)))
        if first < count:
            now = curve[first]
            curve[first:] = now + (value - now) * ease((np.arange(first, count) - frame) / takes)
    return curve


def wander(rng: np.random.Generator, count: int, hertz: float, channels: int) -> np.ndarray:
    """(channels, count) smooth random motion of unit spread about 0: white noise below about `hertz` (Gaussian slope)."""
    length = count + 4 * FRAME_RATE  # the ends of a Fourier series meet: cut them off
    frequencies = np.fft.rfftfreq(length, 1.0 / FRAME_RATE)
    gain = np.exp(-0.5 * (frequencies / hertz) ** 2)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal((channels, length))) * gain, length)
    power = (2.0 * np.sum(gain**2) - gain[0] ** 2) / length
    return noise[:, :count] / np.sqrt(power)


def blurred(curve: np.ndarray, frames: int) -> np.ndarray:
    """(count,) averaged over a soft window of about `frames`, with the ends repeated."""
    window = np.hanning(2 * frames + 1)
    padded = np.pad(np.asarray(curve, float), frames, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def follow(curve: np.ndarray, delay: int, hertz: float) -> np.ndarray:
    """(count,) the curve `delay` frames later through two first-order low passes: uses nothing of its future."""
    share = 1.0 - np.exp(-2.0 * np.pi * hertz / FRAME_RATE)
    reach = min(len(curve), int(6.0 / share))
    kernel = share * (1.0 - share) ** np.arange(reach)
    late = np.concatenate([np.zeros(delay), curve])[: len(curve)]
    once = np.convolve(late, kernel)[: len(curve)]
    return np.convolve(once, kernel)[: len(curve)]


HEAD = ("headYaw", "headPitch", "headRoll")
MIRROR_HERTZ = 0.45  # slower than nods and shakes: only how the head is held is taken over
_GAZE_RADIANS = (0.65, 0.30)  # of the eye, that gazeX = 1 and gazeY = 1 are about


def perform(rng: np.random.Generator, people: tuple[Side, Side], events: list[Event]) -> np.ndarray:
    """The motion (2, n, 32) float32 of both faces: their speech, their events, their restlessness and each other's pose.

    A head takes over part of the other's pose, as in a mirror, 0.5 to 1 s later (Chartrand and Bargh 1999; Bavelas et
    al. 1988: people sitting opposite mirror, left for right).
    """
    actors = [_Actor(rng, people, person, [e for e in events if e.person == person]) for person in (0, 1)]
    poses = [actor.head() for actor in actors]
    motion = []
    for person, actor in enumerate(actors):
        style = people[person].style
        pose = dict(poses[person])
        if people[1 - person].seen:
            for name, sign in (("headYaw", -1.0), ("headPitch", 1.0), ("headRoll", -1.0)):
                late = follow(poses[1 - person][name], style.mirror_delay, MIRROR_HERTZ)
                pose[name] = pose[name] + sign * style.mirroring * late
        motion.append(actor.face(pose))
    return np.stack(motion)


class _Actor:
    """One person's motion."""

    def __init__(self, rng: np.random.Generator, people: tuple[Side, Side], person: int, events: list[Event]) -> None:
        self.rng, self.side, self.other = rng, people[person], people[1 - person]
        self.style = self.side.style
        self.count = len(self.side.active)
        self.events = events
        self.talks = blurred(self.side.active, 10)
        # Who is spoken to moves more than who sits in silence.
        listens = blurred(self.other.active, 20) * float(self.other.heard)
        self.liveliness = 0.7 + 0.3 * np.maximum(listens, self.talks)
        self.beats, self.accents = self._beats()

    def _of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    def _beats(self) -> tuple[np.ndarray, list[int]]:
        """headPitch (n,) of the accents of the own speech, and the frames of those that lift the brows.

        Stressed syllables move the head (Hadar et al. 1983; Munhall et al. 2004: much of head motion follows pitch and
        loudness); some lift the brows shortly before (Flecha-Garcia 2010).
        """
        loud = blurred(self.side.loudness, 2)
        over = loud - blurred(self.side.loudness, FRAME_RATE // 2)
        peaks = np.flatnonzero((over[1:-1] >= over[:-2]) & (over[1:-1] > over[2:]) & (over[1:-1] > 0.08)) + 1
        curve, accents, last = np.zeros(self.count), [], -10
        for peak in peaks:
            if peak - last < 6:
                continue
            last = int(peak)
            strength = over[peak]
            if self.rng.random() < 0.55:
                down = -1.0 if self.rng.random() < 0.75 else 0.6
                length = self.rng.uniform(8.0, 13.0)
                depth = down * self.style.head * (0.012 + 0.08 * strength) * self.rng.lognormal(0.0, 0.35)
                curve += depth * swell(self.count, peak - 0.45 * length, 0.5 * length, 0.0, 0.5 * length)
            if self.rng.random() < (0.05 + 0.5 * strength) * self.style.brows:
                accents.append(last - 2)
        return curve, accents

    def head(self) -> dict[str, np.ndarray]:
        """yaw, pitch, roll (n,) of the own accord, without the other's pose."""
        rng, style, count = self.rng, self.style, self.count
        slow, quick = wander(rng, count, 0.10, 3), wander(rng, count, 0.55, 3)
        pose = {}
        spreads = ((0.035, 0.045, 0.05), (0.028, 0.028, 0.03), (0.025, 0.028, 0.03))  # at rest, talking, of posture
        for name, (still, lively, shift), s, q in zip(HEAD, spreads, slow, quick):
            posture = glide(count, self._shifts(shift))
            pose[name] = style.head * (self.liveliness * still * s + (0.15 + 0.85 * self.talks) * lively * q + posture)
        loud = blurred(self.side.loudness, 6)
        for name, gain in zip(HEAD, rng.normal((0.0, -0.04, 0.0), 0.03)):  # each voice moves its head in its own way
            pose[name] = pose[name] + gain * style.head * (loud - 0.4) * self.talks
        pose["headPitch"] = pose["headPitch"] + self.beats
        for event in self._of("nod"):
            hertz = rng.uniform(2.0, 3.8)
            cycles = int(np.clip(round(event.frames / FRAME_RATE * hertz), 1, 3))
            hertz = min(4.0, cycles * FRAME_RATE / event.frames)
            pose["headPitch"] = pose["headPitch"] + nod(count, event.frame, cycles, hertz, event.strength)
        for event in self._of("shake"):
            cycles = max(1, round(event.frames / FRAME_RATE * rng.uniform(1.6, 2.4)))
            hertz = cycles * FRAME_RATE / event.frames
            pose["headYaw"] = pose["headYaw"] + shake(count, event.frame, cycles, hertz, event.strength)
        for event in self._of("tilt"):
            held = swell(count, event.frame, 16.0, max(1.0, event.frames - 32.0), 20.0)
            pose["headRoll"] = pose["headRoll"] + event.strength * held
        for event in self._of("laugh"):
            back = swell(count, event.frame, 8.0, max(1.0, event.frames - 8.0), 18.0)
            bob = np.sin(2.0 * np.pi * rng.uniform(3.5, 5.0) * (np.arange(count) - event.frame) / FRAME_RATE)
            pose["headPitch"] = pose["headPitch"] + back * (rng.uniform(0.03, 0.13) + 0.018 * bob)
        self.gaze = np.zeros((2, count))
        self._look(pose)
        return pose

    def _shifts(self, spread: float) -> list[tuple[float, float, float]]:
        """Changes of posture, some four a minute."""
        frames = np.cumsum(self.rng.exponential(15.0 * FRAME_RATE, 3 + self.count // (10 * FRAME_RATE)))
        first = (0.0, self.rng.normal(0.0, 0.5 * spread), 1.0)
        return [first] + [(f, self.rng.normal(0.0, spread), self.rng.uniform(20.0, 60.0)) for f in frames]

    def _look(self, pose: dict[str, np.ndarray]) -> None:
        """Where the eyes are turned, in radians of the world; the head follows a glance with a part of it, later."""
        rng, count = self.rng, self.count
        targets: list[list[tuple[float, float, float]]] = [[], []]
        turns: list[list[tuple[float, float, float]]] = [[], []]
        glances = sorted(self._of("glance"), key=lambda event: event.frame)
        for event in glances:
            aside = event.strength * rng.uniform(0.12, 0.5)
            up = float(np.clip(rng.normal(self.style.away[0] - 0.03, 0.10), -0.28, 0.22))
            part, lag = rng.uniform(0.15, 0.55), rng.uniform(1.0, 4.0)
            for axis, where in enumerate((aside, up)):
                targets[axis] += [(event.frame, where, 2.5), (event.end, 0.0, 2.5)]
                there, back = rng.uniform(8.0, 16.0, 2)  # frames that the head takes
                turns[axis] += [(event.frame + lag, part * where, there), (event.end + lag, 0.0, back)]
        for axis, name in enumerate(HEAD[:2]):
            self.gaze[axis] = glide(count, targets[axis])
            pose[name] = pose[name] + glide(count, sorted(turns[axis]))
        # Small saccades between the eyes and the mouth of the other, every 0.3 to 2 s.
        frames = np.cumsum(rng.uniform(8.0, 50.0, 2 + count // 8))
        frames = frames[frames < count]
        for axis, spread in enumerate((0.030, 0.018)):
            self.gaze[axis] += glide(count, [(f, rng.normal(0.0, spread), 2.0) for f in frames])

    def face(self, pose: dict[str, np.ndarray]) -> np.ndarray:
        """The latents (n, 32) float32 with this head."""
        rng, style, count = self.rng, self.style, self.count
        latents = np.array(self.side.mouth, float)
        latents[:, :8] = 0.0

        def add(name: str, curve: np.ndarray) -> None:
            latents[:, sides(name)] += curve[:, None]

        for name in HEAD:
            add(name, pose[name])
        self._place(add, pose)
        smile = np.zeros(count)
        for event in self._of("smile"):
            rise = min(rng.uniform(7.5, 17.5), 0.6 * event.frames)  # 0.3 to 0.7 s
            curve = event.strength * swell(count, event.frame, rise, event.frames - rise, rng.uniform(12.0, 35.0))
            smile = np.maximum(smile, curve) + 0.15 * np.minimum(smile, curve)
        # Never quite still, and moved by speech.
        smile *= 1.0 + 0.10 * wander(rng, count, 0.6, 1)[0] + 0.12 * (self.side.loudness - 0.5) * self.talks
        jaw = latents[:, rig.INDEX["jawOpen"]]
        for name in ("mouthStretch", "mouthPucker", "mouthFunnel"):  # a smiling mouth has the corners out already
            latents[:, sides(name)] *= (1.0 - 0.6 * np.minimum(smile, 1.0))[:, None]
        kept = smile * (1.0 - 0.3 * np.minimum(1.0, jaw / 0.4))
        latents[:, rig.INDEX["mouthSmileLeft"]] += kept * (1.0 + style.lopsided)
        latents[:, rig.INDEX["mouthSmileRight"]] += kept * (1.0 - style.lopsided)
        add("eyeSquint", rng.uniform(0.35, 0.6) * smile)
        closed = latents[:, rig.INDEX["mouthPress"]]
        add("mouthUpperUp", 0.15 * np.maximum(0.0, smile - 0.4) * (1.0 - np.minimum(1.0, 3.0 * closed)))
        for event in self._of("brow"):
            self._raise(add, event.frame, event.frames, event.strength)
        for frame in self.accents:
            self._raise(add, frame, rng.uniform(8.0, 18.0), rng.uniform(0.12, 0.45))
        for event in self._of("frown"):
            add("browDown", event.strength * swell(count, event.frame, 10.0, event.frames, 15.0))
        for event in self._of("press"):
            add("mouthPress", event.strength * swell(count, event.frame, 6.0, event.frames, 9.0))
        add("browInnerUp", 0.05 * style.brows * blurred(self.other.active & self.other.heard, 20) * (1.0 - self.talks))
        for name, spread in (("browInnerUp", 0.02), ("browOuterUp", 0.015), ("eyeSquint", 0.02), ("eyeWide", 0.015)):
            add(name, spread * wander(rng, count, 0.2, 1)[0])
        self._eyes(add, pose)
        return rig.clamp(latents).astype(np.float32)

    def _place(self, add, pose: dict[str, np.ndarray]) -> None:
        """The head's place: breathing (0.2 to 0.3 Hz, about half a millimetre), sway of some millimetres, more of it while
        talking, posture; a head that tilts, tilts about the neck and so moves aside."""
        rng, count = self.rng, self.count
        sway, quick = wander(rng, count, 0.12, 3), wander(rng, count, 0.8, 3)
        spreads = ((0.025, 0.014, 0.06), (0.012, 0.011, 0.03), (0.010, 0.004, 0.02))
        for name, (still, lively, shift), slow, fast in zip(("headX", "headY", "headScale"), spreads, sway, quick):
            add(name, still * slow + lively * (0.3 + 0.7 * self.talks) * fast + glide(count, self._shifts(shift)))
        add("headX", rng.uniform(0.3, 1.0) * pose["headRoll"])
        breaths = (
            rng.uniform(0.2, 0.3) * np.arange(count) / FRAME_RATE + rng.random() + 0.1 * wander(rng, count, 0.05, 1)[0]
        )
        add("headY", rng.uniform(0.003, 0.008) * np.sin(2.0 * np.pi * breaths))
        add("headScale", 0.02 * blurred(self.other.active & self.other.heard, 40))  # leaning toward who speaks

    def _raise(self, add, frame: float, frames: float, height: float) -> None:
        lift = height * swell(self.count, frame, 5.0, max(1.0, frames - 5.0), 9.0)
        add("browInnerUp", lift)
        add("browOuterUp", self.rng.uniform(0.6, 1.0) * lift)

    def _eyes(self, add, pose: dict[str, np.ndarray]) -> None:
        """Gaze against the head's turn (most of it: the eyes hold what they look at), lids with the gaze, blinks."""
        keep = self.rng.uniform(0.7, 0.95)
        across = (self.gaze[0] - keep * pose["headYaw"]) / _GAZE_RADIANS[0]
        up = (self.gaze[1] - keep * pose["headPitch"]) / _GAZE_RADIANS[1]
        across, up = np.clip(across, -0.9, 0.9), np.clip(up, -0.8, 0.8)
        add("gazeX", across)
        add("gazeY", up)
        lids = 0.25 * np.maximum(0.0, -up)
        for event in self._of("blink"):
            closing, opening = self.rng.uniform(1.5, 2.5), self.rng.uniform(3.0, 5.5)
            start = event.frame + self.rng.uniform(-0.5, 0.5)
            lids = np.maximum(lids, blink(self.count, start, closing, opening, event.strength))
        add("eyeBlink", lids)
