"""One measure for every generator: its stream over real speakers and held-out conversations, and how it moved.

docs/evaluation.md defines the figures. The true motion is measured like a model, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import GeneratorStream
from avatar_forcing_ros.generators.lockstep import run_stream
from avatar_forcing_ros.learning.data.recordings import SpeakerClip, sound_of, speaker_clips, tracked
from avatar_forcing_ros.learning.evaluation import gain as metrics_gain
from avatar_forcing_ros.learning.evaluation import metrics as m
from avatar_forcing_ros.learning.evaluation import reaction as metrics_reaction
from avatar_forcing_ros.learning.evaluation.lips import LIP_REACH, LIP_WITHIN, made_lips, mean_of, mouth_figures
from avatar_forcing_ros.learning.evaluation.reaction import Recording
from avatar_forcing_ros.learning.world.behaviour import Event, pauses
from avatar_forcing_ros.learning.world.conversation import Conversation, make_conversation
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking import A_FACE
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_RATE, SAMPLES_PER_FRAME

TRUE = "true motion"
GAIN_SHIFTS = 200  # of the user in time, for the gain's noise
SAMPLE_REACH = FRAME_RATE  # frames: reactions may take a second
SAMPLE_DRAWS = 8  # streams of a model on the sample: a single draw says little about a dozen seconds
_LEAST_SPREAD = 0.01  # standard deviation of a true mouth that moves
_EXPRESSION_CLUSTERS, _POSE_CLUSTERS = 15, 9
_DRIFT_ROUND = 5  # minutes after which a long run's conversation begins again
_LONG_GLANCE = 45  # frames: others follow only a gaze that stays away
_WHOLE_BLOCKS = 5  # conversations that are run again with whole blocks, to see what committing a part of them does
SMILE_BEFORE, _SMILE_AFTER = FRAME_RATE, 3 * FRAME_RATE  # of the smile curves


Signals = tuple[np.ndarray | None, np.ndarray, np.ndarray]  # a user's sound, motion and confidence


@dataclass(frozen=True)
class Candidate:
    """A model to be measured. open(seed, commit_frames or None for its default) -> a fresh stream of the rig space.
    user False: it is fed no user at all, which is the control for every reaction."""

    open: Callable[[int, int | None], GeneratorStream]
    user: bool = True


@dataclass
class Evaluation:
    """figures: for JSON. The rest is for the plots: clip and lips {name: latents} of one speaker; smiles {name: pieces
    (k, frames) of the avatar's smile about the user's onsets}; gains {name: Gain}."""

    figures: dict
    clip: SpeakerClip | None = None
    lips: dict[str, np.ndarray] = field(default_factory=dict)
    smiles: dict[str, np.ndarray] = field(default_factory=dict)
    gains: dict[str, metrics_gain.Gain] = field(default_factory=dict)


def evaluate(
    models: dict[str, Candidate], *, speakers: str | Path | None = None, conversations: int = 20, seconds: float = 60.0,
    drift_minutes: float = 30.0, sample: tuple[str, str] | None = None, commit: int | None = None,
    known: int | None = None, seed: int = 0, progress: Callable[[str], None] = lambda what: None,
) -> Evaluation:  # fmt: skip
    """Measures every model on the same signals.

    speakers: folder of videos of talking people, for the lips; None leaves that out.
    conversations: how many held-out ones of `seconds` each, two or more; 0 leaves them out, and the drift with them.
    drift_minutes: 2 or more, or 0. sample: (video of a user, sound of the avatar's speech or "" for a silent avatar).
    commit: frames that a step commits, None for each model's default. known: frames that have arrived when a step
        begins, at least the committed ones and at most a block; None as live, see run_stream. seed: of everything drawn.
    progress: called with what is done next. Raises InputError for unusable input.
    """
    if not models:
        raise InputError("no model to evaluate: name one or more")
    if conversations == 1 or conversations < 0 or (conversations and seconds < 21):
        raise InputError(
            "conversations: give 2 or more of at least 21 s (for strangers and time shifts), or 0 for none"
        )
    if drift_minutes and drift_minutes < 2:
        raise InputError(f"a drift over {drift_minutes:g} minutes: give 2 or more, or 0 for none")
    settings = {
        "conversations": conversations, "seconds": seconds, "drift_minutes": drift_minutes, "commit": commit,
        "known": known, "seed": seed, "sample": list(sample) if sample else None,
    }  # fmt: skip
    result = Evaluation({"settings": settings, "models": {name: {} for name in models}})
    figures = result.figures

    def run(
        name: str, what: str, seed: int, user: Signals | None, speech: np.ndarray, commit_frames: int | None = commit
    ) -> np.ndarray:
        stream = models[name].open(seed, commit_frames)
        arrived = None if known is None else min(max(known, stream.commit_frames), stream.block_frames)
        sound, motion, confidence = user if user and models[name].user else (None, None, None)
        total = len(speech) // SAMPLES_PER_FRAME // FRAME_RATE
        latents = run_stream(
            stream,
            sound,
            motion,
            confidence,
            speech,
            known=arrived,
            progress=lambda done: progress(f"{name}, {what}: {done // FRAME_RATE} of {total} s"),
        )
        if latents.shape[1] != rig.DIM:
            raise InputError(f"{name} gives latents of {latents.shape[1]} numbers: only the rig space is measured")
        return latents

    clips: list[SpeakerClip] = []
    if speakers:
        clips, left_out = speaker_clips(speakers, lambda name: progress(f"tracking {name}"))
        settings["clips"], settings["clips_left_out"] = len(clips), left_out
    if sample:
        _measure_sample(result, models, run, sample, seed, progress)
    if conversations:
        progress("making conversations")
    talks = held_out_conversations(conversations, seconds, seed)
    if clips:
        _measure_lips(result, models, run, clips, talks, seed)
    if talks:
        figures["models"][TRUE] = {}
        for name in (*models, TRUE):
            model = models.get(name)
            figures["models"][name] |= _measure_conversations(
                result, name, model, run, talks, commit=commit, seed=seed, progress=progress
            )
    if conversations and drift_minutes:
        _measure_drift(figures, models, run, talks, drift_minutes, seed)
    return result


def held_out_conversations(count: int, seconds: float, seed: int) -> list[Conversation]:
    """The first `count` conversations from `seed` on in which both are seen and heard and somebody speaks."""
    found: list[Conversation] = []
    while len(found) < count:
        talk = make_conversation(seed, seconds, held_out=True)
        seed += 1
        if all(talk.seen) and all(talk.heard) and talk.speaking.any():
            found.append(talk)
    return found


def _user(talk: Conversation) -> Signals:
    """Person 1 is the user."""
    return talk.samples[1], talk.motion[1], np.ones(talk.motion.shape[1], np.float32)


def _talking_user(talk: Conversation, frames: int) -> Signals:
    """The user from where they talk most in so many frames on; from the beginning again where the conversation ends."""
    spoken = np.concatenate([[0], np.cumsum(talk.speaking[1])])
    last = max(len(spoken) - frames, 1)
    first = int(np.argmax(spoken[-last:] - spoken[:last]))
    index = np.arange(first, first + frames) % (len(spoken) - 1)
    samples, motion, confidence = _user(talk)
    assert samples is not None  # everybody has a voice in a conversation that was made
    return samples.reshape(-1, SAMPLES_PER_FRAME)[index].ravel(), motion[index], confidence[index]


def _measure_conversations(
    result: Evaluation, name: str, model: Candidate | None, run, talks: list[Conversation], *, commit: int | None,
    seed: int, progress,
) -> dict:  # fmt: skip
    """Of a model, or without one of the true motion."""
    if model is None:
        moved, committed = [talk.motion[0] for talk in talks], BLOCK_FRAMES
    else:
        moved = [run(name, f"conversation {i + 1}", seed + i, _user(t), t.samples[0]) for i, t in enumerate(talks)]
        stream = model.open(seed, commit)
        committed, whole = stream.commit_frames, stream.block_frames
    progress(f"{name}: measuring")
    figures = {
        "made_speech": made_lips(talks, moved, seed),
        "reaction": _reaction(result, name, talks, moved, seed),
        "liveliness": _liveliness(talks, moved, committed),
    }
    if model is not None and whole > committed:
        some = list(enumerate(talks[:_WHOLE_BLOCKS]))
        again = [run(name, f"whole blocks {i + 1}", seed + i, _user(t), t.samples[0], whole) for i, t in some]
        figures["liveliness"]["borders_of_whole_blocks"] = {"frames": whole, **_borders(again, whole)}
    return figures


def _measure_lips(
    result: Evaluation, models, run, clips: list[SpeakerClip], talks: list[Conversation], seed: int
) -> None:
    """talks: whose users talk over the speakers; without any nobody does."""
    figures = result.figures
    valid = [clip.confidence > A_FACE for clip in clips]

    def curves(parts: list[np.ndarray], measure, true) -> list[np.ndarray]:
        """NaN for a clip whose true mouth hardly moves so: what the tracker trembles cannot be predicted."""
        found = [m.lagged_correlation(true(c.motion), measure(p), LIP_REACH, v) for c, p, v in zip(clips, parts, valid)]
        moves = [true(c.motion[v]).std() > _LEAST_SPREAD for c, v in zip(clips, valid)]
        return [curve if moved else np.full_like(curve, np.nan) for curve, moved in zip(found, moves)]

    def silence(parts: list[np.ndarray]) -> dict:
        closed, frames = np.sum([m.closed_in_silence(p, c.samples) for c, p in zip(clips, parts)], axis=0)
        return {"closed": closed / frames if frames else float("nan"), "frames": int(frames)}

    voices = {
        "energy": [np.sqrt((c.samples.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(axis=1)) for c in clips],
        "loudness": [m.speech_level(c.samples)[0] for c in clips],
    }
    figures["baseline"] = {name: mouth_figures(curves(of, lambda voice: voice, m.jaw)) for name, of in voices.items()}
    figures["speakers_silence"] = silence([c.motion for c in clips])
    shown = max(range(len(clips)), key=lambda i: m.mouth_width(clips[i].motion).std())
    result.clip = clips[shown]
    for name in models:
        parts = [run(name, f"lips of {clip.name}", seed, None, clip.samples) for clip in clips]
        result.lips[name] = parts[shown]
        by_part = {part: curves(parts, of, of) for part, of in m.MOUTH.items()}
        lips = {part: mouth_figures(found) for part, found in by_part.items()}
        lips["silence"] = silence(parts)
        lips["clips"] = {  # (r, lag) within 2 frames
            clip.name: {part: m.best_lag(found[i], LIP_WITHIN) for part, found in by_part.items()}
            for i, clip in enumerate(clips)
        }
        if talks:
            users = [_talking_user(talks[i % len(talks)], len(clip.motion)) for i, clip in enumerate(clips)]
            over = [run(name, f"{clip.name} talked over", seed, user, clip.samples) for clip, user in zip(clips, users)]
            opening = [np.concatenate([m.jaw(x) for x in of]).mean() for of in (over, parts)]
            ratio = float(opening[0] / opening[1]) if opening[1] > 0 else float("nan")
            lips["talked_over"] = {"jaw": mouth_figures(curves(over, m.jaw, m.jaw)), "opening_ratio": ratio}
        figures["models"][name]["lips"] = lips


def _events(talk: Conversation, kind: str, least: int = 0) -> list[Event]:
    """The user's events of a kind that answer nothing and last at least so many frames."""
    return [e for e in talk.events if e.person == 1 and e.kind == kind and e.frames >= least and e.cause_frame is None]


def _begin(events: list[Event]) -> np.ndarray:
    return np.array([e.frame for e in events], int)


def _reaction(result: Evaluation, name: str, talks: list[Conversation], moved: list[np.ndarray], seed: int) -> dict:
    both = list(zip(talks, moved))
    smiles = [_begin(_events(talk, "smile")) for talk in talks]
    nods = [_begin(_events(talk, "nod")) for talk in talks]
    in_pauses = [np.array([first for first, _ in pauses(talk.speaking[1])], int) for talk in talks]
    glances = [_events(talk, "glance", _LONG_GLANCE) for talk in talks]
    result.smiles[name] = np.concatenate(
        [metrics_reaction.around(m.smile(latents), e, SMILE_BEFORE, _SMILE_AFTER) for e, latents in zip(smiles, moved)]
    )

    def answered(events: list[np.ndarray], answers, busy) -> dict:
        """busy: where nothing is to be answered, or the avatar speaks and moves its head for that."""
        found = [Recording(e, answers(x), len(x), busy(talk, x)) for e, (talk, x) in zip(events, both)]
        return metrics_reaction.responses(found, seed).summary()

    def smiling(_, latents: np.ndarray) -> np.ndarray:
        return m.smile(latents) >= metrics_reaction.SMILING

    def speaking(talk: Conversation, _) -> np.ndarray:
        return talk.speaking[0]

    known = [
        (
            metrics_gain.avatar_targets(latents), metrics_gain.own_features(talk.samples[0]),
            metrics_gain.user_features(talk.motion[1], talk.samples[1]),
        )
        for talk, latents in both
    ]  # fmt: skip
    strangers = [(targets, own, known[(i + 1) % len(known)][2]) for i, (targets, own, _) in enumerate(known)]
    result.gains[name] = metrics_gain.predictive_gain(known, seed, GAIN_SHIFTS)
    rpcc = [metrics_reaction.rpcc(talk.motion[1], talk.motion[0], latents) for talk, latents in both]
    looks = metrics_reaction.looks_at_user
    return {
        "smile": answered(smiles, metrics_reaction.smile_onsets, smiling),
        "nod_in_pause": answered(in_pauses, metrics_reaction.nods, speaking),
        "nod_to_nod": answered(nods, metrics_reaction.nods, speaking),
        "gaze_following": metrics_reaction.gaze_following(
            [(x, _begin(g), np.sign([e.strength for e in g])) for x, g in zip(moved, glances)], seed
        ),
        "looks_at_user": {
            "listening": mean_of([looks(x[talk.speaking[1] & ~talk.speaking[0]]) for talk, x in both]),
            "silent": mean_of([looks(x[~talk.speaking.any(axis=0)]) for talk, x in both]),
            "speaking": mean_of([looks(x[talk.speaking[0]]) for talk, x in both]),
        },
        "gain": result.gains[name].summary(),
        "gain_of_strangers": metrics_gain.predictive_gain(strangers, seed, GAIN_SHIFTS).summary(),
        "rpcc": {part: mean_of([one[part] for one in rpcc]) for part in ("expression", "pose")},
    }


def _borders(moved: list[np.ndarray], commit: int) -> dict:
    return {
        name: mean_of([m.border_ratio(x, commit, order) for x in moved]) for order, name in ((1, "jump"), (2, "kink"))
    }


def _liveliness(talks: list[Conversation], moved: list[np.ndarray], commit: int) -> dict:
    true, ours = np.concatenate([talk.motion[0] for talk in talks]), np.concatenate(moved)
    groups = {"expression": (m.EXPRESSION, _EXPRESSION_CLUSTERS), "pose": (m.POSE, _POSE_CLUSTERS)}
    sid = {
        part: m.diversity(ours[:, group], m.clusters(true[:, group], count)) for part, (group, count) in groups.items()
    }
    variance = {
        part: mean_of([float(x[:, group].var(axis=0).mean()) for x in moved]) for part, (group, _) in groups.items()
    }
    jerk = {"pose": mean_of([m.jerk(x[:, m.ANGLES]) for x in moved]), "jaw": mean_of([m.jerk(m.jaw(x)) for x in moved])}
    return {
        "sid": sid, "variance": variance, "blinks_per_minute": mean_of([m.blinks_per_minute(x) for x in moved]),
        "jerk": jerk, "borders": {"frames": commit, **_borders(moved, commit)},
    }  # fmt: skip


def _measure_drift(figures: dict, models, run, talks: list[Conversation], minutes: float, seed: int) -> None:
    """The conversations of one round, again and again."""
    total, per_talk = round(minutes * 60 * FRAME_RATE), talks[0].motion.shape[1]
    one_round = talks[: max(1, round(_DRIFT_ROUND * 60 * FRAME_RATE / per_talk))]
    repeats = len(one_round) * per_talk
    times = -(-total // repeats)
    sounds = [np.concatenate([t.samples[p] for t in one_round]) for p in (0, 1)]
    samples = [np.tile(sound, times)[: total * SAMPLES_PER_FRAME] for sound in sounds]
    motion = [np.tile(np.concatenate([t.motion[p] for t in one_round]), (times, 1))[:total] for p in (0, 1)]
    for name in models:
        moved = run(name, "drift", seed, (samples[1], motion[1], np.ones(total, np.float32)), samples[0])
        figures["models"][name]["drift"] = m.drift(moved, repeats)
    figures["models"][TRUE]["drift"] = m.drift(motion[0], repeats)


def _column(index: int, motion: np.ndarray) -> np.ndarray:
    return motion[:, index]


def _curves(true: np.ndarray, draws: Iterable[np.ndarray], reach: int) -> np.ndarray:
    """(draws, 2 reach + 1): `lagged_correlation` of each."""
    return np.stack([m.lagged_correlation(true, x, reach) for x in draws])


def _measure_sample(result: Evaluation, models, run, sample: tuple[str, str], seed: int, progress) -> None:
    """A real user and the avatar's separate speech: no truth, so the avatar is set against the user and its own sound."""
    progress("tracking the user")
    user, confidence = tracked(sample[0])
    count = len(user)
    speech = sound_of(sample[1], count) if sample[1] else np.zeros(count * SAMPLES_PER_FRAME, np.float32)
    try:
        voice = sound_of(sample[0], count)
    except InputError:  # a silent film of a user is a user
        voice = None
    energy = np.sqrt((speech.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(axis=1))
    for name in models:
        draws = [run(name, "sample", seed + k, (voice, user, confidence), speech) for k in range(SAMPLE_DRAWS)]

        def against(part: Callable[[np.ndarray], np.ndarray], either_sign: bool = False) -> dict:
            """chance_95: what 95 % of circular time shifts stay below, as the best of many lags always finds something."""
            true, ours = part(user), np.stack([part(x) for x in draws])

            def best(curve: np.ndarray) -> tuple[float, int]:
                return m.best_lag(curve, SAMPLE_REACH, either_sign)

            each = _curves(true, ours, SAMPLE_REACH)
            r, lag = best(each.mean(axis=0))
            shifts = range(2 * SAMPLE_REACH, count - 2 * SAMPLE_REACH, 5)
            found = [
                best(_curves(true, np.roll(ours, shift, axis=1), SAMPLE_REACH).mean(axis=0))[0] for shift in shifts
            ]
            chance = float(np.nanpercentile(np.abs(found), 95)) if np.isfinite(found).any() else float("nan")
            ratio = float(ours.std(axis=1).mean() / true.std()) if true.std() > 1e-6 else float("nan")
            return {
                "r": r,
                "lag": lag,
                "chance_95": chance,
                "std_ratio": ratio,
                "draws": [best(curve)[0] for curve in each],
            }

        figures = {"smile": against(m.smile), "mouth_width": against(m.mouth_width)}
        for angle in ("headPitch", "headYaw", "headRoll"):
            figures[angle] = against(partial(_column, rig.INDEX[angle]), either_sign=True)
        r, lag = m.best_lag(_curves(energy, [m.jaw(x) for x in draws], LIP_REACH).mean(axis=0), LIP_REACH)
        figures["jaw_against_energy"] = {"r": r, "lag": lag}
        result.figures["models"][name]["sample"] = figures
