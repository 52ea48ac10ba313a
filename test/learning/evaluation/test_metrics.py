"""Each metric on signals whose answer is known, those that must come out at zero among them."""

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import LOOK_AHEAD
from avatar_forcing_ros.generators.lockstep import run_stream
from avatar_forcing_ros.learning.evaluation import gain as metrics_gain
from avatar_forcing_ros.learning.evaluation import metrics
from avatar_forcing_ros.learning.evaluation import reaction as metrics_reaction
from avatar_forcing_ros.learning.evaluation.reaction import Recording
from avatar_forcing_ros.motion import rig

RNG = np.random.default_rng


def latents(count, **values):
    """(count, 32) with the named coefficients set; "smile" sets both sides."""
    motion = np.zeros((count, rig.DIM), np.float32)
    for name, value in values.items():
        for one in ("mouthSmileLeft", "mouthSmileRight") if name == "smile" else (name,):
            motion[:, rig.INDEX[one]] = value
    return motion


def smooth_noise(count, seed, frames=25):
    """Unit noise, averaged over about a second."""
    window = np.hanning(frames + 2)
    noise = np.convolve(RNG(seed).standard_normal(count + frames + 1), window, mode="valid")[:count]
    return (noise - noise.mean()) / noise.std()


def voice(mask, seed=0):
    """Noise of -20 dB where the mask (n,) is True, of -70 dB elsewhere: (n * 640,)."""
    noise = RNG(seed).standard_normal((len(mask), 640))
    return (noise * np.where(mask, 0.1, 0.0003)[:, None]).ravel().astype(np.float32)


# Lips


def test_correlation_tells_no_truth_from_no_prediction():
    wave = np.sin(np.arange(50) / 3)
    assert metrics.correlation(wave, 2 * wave + 1) == pytest.approx(1)
    assert metrics.correlation(wave, -wave) == pytest.approx(-1)
    assert metrics.correlation(wave, np.ones(50)) == 0
    assert np.isnan(metrics.correlation(np.ones(50), wave))


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_the_best_lag_is_found(late):
    true = smooth_noise(300, 1, 8)
    other = np.roll(true, late)
    r, lag = metrics.best_lag(metrics.lagged_correlation(true, other, 5), 5)
    assert lag == late and r > 0.99
    r, lag = metrics.best_lag(metrics.lagged_correlation(true, -other, 5), 5, either_sign=True)
    assert lag == late and r < -0.99


def test_frames_without_a_face_do_not_count():
    true = smooth_noise(300, 2, 8)
    wrong = true.copy()
    wrong[100:150] = 50
    valid = np.ones(300, bool)
    valid[100:150] = False
    curve = metrics.lagged_correlation(wrong, true, 2, valid)
    assert curve[2] == pytest.approx(1) and metrics.lagged_correlation(wrong, true, 2)[2] < 0.5


def test_mouth_width_is_in_units_of_the_corners_way():
    assert metrics.mouth_width(rig.pose(mouthStretchLeft=1, mouthStretchRight=1)[None])[0] == pytest.approx(1)
    assert metrics.mouth_width(rig.pose(mouthPucker=1)[None])[0] == pytest.approx(-1)
    assert metrics.mouth_width(rig.pose(mouthSmileLeft=0.6)[None])[0] == pytest.approx(0.25)


def test_an_open_mouth_in_silence_is_counted():
    mask = np.zeros(150, bool)
    mask[40:90] = True
    samples = voice(mask)
    quiet = metrics.after_silence(samples)
    assert quiet[20:40].all() and not quiet[40:100].any() and quiet[106:].all()
    assert not quiet[:12].any()  # half a second before the start is not known to be silent
    motion = latents(150)
    closed, frames = metrics.closed_in_silence(motion, samples)
    assert closed == frames == quiet.sum()
    motion[106:116, rig.INDEX["jawOpen"]] = 0.2
    assert metrics.closed_in_silence(motion, samples) == (frames - 10, frames)


def test_closures_are_hit_within_a_frame_and_chance_is_told():
    shut = np.zeros(400, bool)
    shut[50:53] = shut[100:102] = shut[150:154] = True
    motion = latents(400, jawOpen=0.3)
    motion[51, rig.INDEX["jawOpen"]] = 0.02
    motion[102, rig.INDEX["jawOpen"]] = 0.07  # a frame late
    motion[156, rig.INDEX["jawOpen"]] = 0.0  # too late
    assert metrics.closure_hits(motion, shut).tolist() == [True, True, False]
    speaking = np.ones(400, bool)
    assert metrics.closure_chance(motion, shut, speaking, RNG(0)) < 0.1
    closed = latents(400)
    assert metrics.closure_hits(closed, shut).all() and metrics.closure_chance(closed, shut, speaking, RNG(0)) == 1


# Liveliness


def test_diversity_is_the_entropy_of_visited_clusters():
    places = RNG(0).standard_normal((8, 6)) * 10
    points = np.repeat(places, 50, axis=0) + 0.01 * RNG(1).standard_normal((400, 6))
    centres = metrics.clusters(points, 8)
    assert metrics.diversity(points, centres) == pytest.approx(3, abs=0.01)
    assert metrics.diversity(points[:100], centres) == pytest.approx(1, abs=0.01)
    assert metrics.diversity(points[:50], centres) == 0
    assert np.array_equal(centres, metrics.clusters(points, 8))  # seeded


def test_blinks():
    motion = latents(1500)
    for start in range(100, 1500, 150):
        for side in ("eyeBlinkLeft", "eyeBlinkRight"):
            motion[start : start + 5, rig.INDEX[side]] = (0.6, 1, 0.45, 0.7, 0.3)  # trembles, and is one blink
    assert metrics.blinks_per_minute(motion) == 10
    assert metrics.blinks_per_minute(latents(1500, eyeBlinkLeft=0.4, eyeBlinkRight=0.4)) == 0


def test_jerk_of_a_parabola_is_zero():
    t = np.arange(100.0)
    assert metrics.jerk(0.3 * t**2 - t) == pytest.approx(0, abs=1e-9)
    assert metrics.jerk(t**3) == pytest.approx(6)


@pytest.mark.parametrize("order", [1, 2])
def test_border_ratio(order):
    motion = latents(2000, headYaw=smooth_noise(2000, 3), headRoll=smooth_noise(2000, 4))
    assert metrics.border_ratio(motion, 10, order) == pytest.approx(1, abs=0.15)
    steps = np.repeat(RNG(5).standard_normal(200), 10).astype(np.float32)  # each block elsewhere
    motion[:, rig.INDEX["headYaw"]] += steps
    assert metrics.border_ratio(motion, 10, order) > 3
    assert metrics.border_ratio(motion, 7, order) == pytest.approx(1, abs=0.15)
    assert np.isnan(metrics.border_ratio(latents(100), 10, order))


def test_drift():
    calm = latents(12_000, headYaw=0.1 * smooth_noise(12_000, 6))
    figures = metrics.drift(calm)
    assert figures["finite"] and figures["furthest"] < 0.02 and figures["spread_ratio"] == pytest.approx(1, abs=0.15)
    walking = calm + latents(12_000, headPitch=np.linspace(0, 0.8, 12_000))
    assert metrics.drift(walking)["last"] == pytest.approx(0.7, abs=0.02)
    round_ = latents(3000, headYaw=0.3 * smooth_noise(3000, 7, 400))
    looped = metrics.drift(np.tile(round_, (4, 1)), repeats=3000)
    assert looped["furthest"] > 0.01 and looped["same_signals"] == pytest.approx(0, abs=1e-6)
    calm[-1, 0] = np.nan
    assert not metrics.drift(calm)["finite"]
    with pytest.raises(ValueError, match="two windows"):
        metrics.drift(calm[:2000])


# Responses


def bumps(count, starts, height=0.5, rise=12, hold=25):
    """Smiles that begin at `starts`."""
    curve = np.zeros(count)
    for start in starts:
        shape = np.concatenate([np.linspace(0, 1, rise + 1)[1:], np.ones(hold), np.linspace(1, 0, 25)])
        end = min(count, start + 1 + len(shape))
        curve[start + 1 : end] = np.maximum(curve[start + 1 : end], height * shape[: end - start - 1])
    return curve


def test_smile_onsets_are_where_the_rise_begins():
    starts = [100, 300, 520]
    found = metrics_reaction.smile_onsets(latents(700, smile=bumps(700, starts)))
    assert np.abs(found - starts).max() <= 1
    slow = latents(700, smile=np.linspace(0, 0.6, 700))
    assert not len(metrics_reaction.smile_onsets(slow))
    noisy = latents(700, smile=0.02 * smooth_noise(700, 7, 3) + 0.1)
    assert not len(metrics_reaction.smile_onsets(noisy))


def test_nods_are_seen_and_slow_turns_are_not():
    t = np.arange(500) / 25
    pitch = 0.2 * np.sin(2 * np.pi * 0.15 * t)  # a slow turn of the head
    assert not len(metrics_reaction.nods(latents(500, headPitch=pitch)))
    for start in (100, 200, 400):
        k = np.arange(20)
        pitch[start : start + 20] -= 0.1 * 0.5 * (1 - np.cos(2 * np.pi * 2.5 * k / 25))  # two dips
    found = metrics_reaction.nods(latents(500, headPitch=pitch))
    assert len(found) == 3 and np.abs(found - [100, 200, 400]).max() <= 6


def test_glances():
    gaze = np.zeros(300)
    gaze[100:150] = 0.5
    found = metrics_reaction.glances(latents(300, gazeX=gaze))
    assert len(found) == 2 and np.abs(found - [95, 145]).max() <= 5
    assert metrics_reaction.looks_at_user(latents(300, gazeX=gaze)) == pytest.approx(250 / 300)


def test_responses_rate_delay_and_chance():
    events = np.arange(100, 14_000, 400)
    answers = np.sort(np.concatenate([events[::2] + 15, events[1::4] + 35]))  # half in 0.6 s, a quarter in 1.4 s
    found = metrics_reaction.responses([Recording(events, answers, 15_000)])
    assert found.count == 35
    assert found.rates["1 s"] == pytest.approx(0.5, abs=0.03) and found.rates["1.5 s"] == pytest.approx(0.75, abs=0.03)
    assert max(found.chance.values()) < 0.15 and np.median(found.delays) == 15
    assert found.summary()["delay_s"]["median"] == 0.6


def test_answers_at_random_come_out_at_chance():
    rng = RNG(8)
    places = [(np.sort(rng.integers(0, 15_000, 60)), np.sort(rng.integers(0, 15_000, 300))) for _ in range(4)]
    found = metrics_reaction.responses([Recording(events, answers, 15_000) for events, answers in places])
    assert found.rates["1 s"] == pytest.approx(found.chance["1 s"], abs=0.09)
    assert found.rates["1 s"] <= found.chance_high["1 s"]


def test_who_smiles_already_is_not_asked():
    busy = np.zeros(1000, bool)
    busy[:500] = True
    found = metrics_reaction.responses([Recording(np.array([100, 600, 990]), np.array([610]), 1000, busy)])
    assert found.count == 1 and found.rates["1 s"] == 1.0  # nor is the one at the end


def test_nothing_to_answer():
    found = metrics_reaction.responses([Recording(np.zeros(0, int), np.zeros(0, int), 1000)])
    assert found.count == 0 and np.isnan(found.rates["1 s"]) and np.isnan(found.summary()["delay_s"]["median"])


@pytest.mark.parametrize("follows", [1, 0, -1])
def test_gaze_following_knows_the_side(follows):
    rng = RNG(9)
    events, sides = np.arange(200, 5800, 200), rng.choice((-1, 1), 28)
    gaze = 0.05 * smooth_noise(6000, 10)
    for event, side in zip(events, sides):
        gaze[event + 20 : event + 50] -= follows * side * 0.3
    found = metrics_reaction.gaze_following([(latents(6000, headYaw=gaze), events, sides)])
    assert found["events"] == 28 and found["radians"] == pytest.approx(follows * 0.3 * 30 / 35, abs=0.05)
    assert (found["radians"] > found["chance_97.5"]) == (follows == 1)


def test_rpcc_of_the_true_avatar_is_zero():
    user = latents(500, headYaw=smooth_noise(500, 1), jawOpen=smooth_noise(500, 2))
    true = latents(500, headYaw=smooth_noise(500, 1), jawOpen=smooth_noise(500, 3))
    assert metrics_reaction.rpcc(user, true, true) == {"expression": 0, "pose": 0}
    still = metrics_reaction.rpcc(user, true, latents(500))
    assert still["pose"] == pytest.approx(1 / 6, abs=0.01)  # one of six coefficients followed with r = 1


def test_pieces_around_events():
    signal = np.arange(100.0)
    pieces = metrics_reaction.around(signal, np.array([2, 50, 98]), 5, 10)
    assert pieces.shape == (1, 16) and pieces[0, 0] == -5 and pieces[0, 5] == 0


# Predictive gain


def pair(seed, follows, count=1500):
    """(targets, own, user): the avatar's motion follows the user's 0.6 s later, or does not, and its own speech anyway."""
    talk = smooth_noise(count, 100 + seed, 60) > 0
    own = metrics_gain.own_features(voice(talk, seed))
    other = smooth_noise(count, 200 + seed, 60) > 0
    user_motion = latents(
        count, smile=0.3 + 0.1 * smooth_noise(count, 300 + seed), headYaw=0.1 * smooth_noise(count, 400 + seed)
    )
    user = metrics_gain.user_features(user_motion, voice(other, 50 + seed))
    noise = [0.1 * smooth_noise(count, 500 + 10 * seed + i) for i in range(4)]
    late = np.roll(user_motion, 15, axis=0)
    avatar = latents(
        count, smile=0.3 + 0.5 * noise[0] + follows * 0.8 * (metrics.smile(late) - 0.3),
        headPitch=noise[1] + 0.1 * own[:, 0], headYaw=noise[2], headRoll=noise[3] - follows * late[:, rig.INDEX["headYaw"]],
    )  # fmt: skip
    return metrics_gain.avatar_targets(avatar), own, user


def test_gain_of_a_user_who_is_followed():
    found = metrics_gain.predictive_gain([pair(i, 1.0) for i in range(5)], shifts=30)
    assert found.gain > 0.15 and found.p < 0.05 and found.gain > found.noise[1]
    assert found.by_target["smile"] > 0.3 and found.by_target["roll"] > 0.2
    assert abs(found.by_target["pitch"]) < 0.05  # its own speech alone moves it


def test_no_gain_without_a_user_and_of_strangers():
    alone = [pair(i, 0.0) for i in range(5)]
    found = metrics_gain.predictive_gain(alone, shifts=30)
    assert abs(found.gain) < 0.03 and found.p > 0.05
    together = [pair(i, 1.0) for i in range(5)]
    strangers = [(t, own, together[(i + 1) % 5][2]) for i, (t, own, _) in enumerate(together)]
    found = metrics_gain.predictive_gain(strangers, shifts=30)
    assert abs(found.gain) < 0.03 and found.p > 0.05


def test_gain_needs_a_recording_of_some_length():
    with pytest.raises(ValueError, match="20 s"):
        metrics_gain.predictive_gain([pair(0, 1.0, 400)])


# Any stream over a recording


class Echo:
    """Returns the user's smile, and notes what it was given."""

    def __init__(self, block_frames=10, commit_frames=4):
        self.block_frames, self.commit_frames, self.seen = block_frames, commit_frames, []

    def step(self, signals):
        self.seen.append(signals)
        return signals.user_motion[: self.commit_frames]


def test_a_stream_runs_over_a_recording():
    count = 53
    motion = latents(count, headYaw=np.arange(count) / 100)
    samples = np.repeat(np.arange(count, dtype=np.float32) / 100, 640)
    stream = Echo()
    assert np.allclose(run_stream(stream, samples, motion, None, samples, known=6), motion)
    step = stream.seen[3]
    assert step.first_frame == 12 and step.frame_count == 10
    for known in (step.user_audio_known, step.avatar_audio_known, step.user_motion_known):
        assert known.tolist() == [True] * 6 + [False] * 4
    assert np.allclose(step.user_motion[6:, 0], motion[17, 0])  # held
    assert not step.user_audio[6 * 640 :].any()
    assert stream.seen[-1].first_frame == 52


def test_without_a_number_known_it_is_as_live():
    stream = Echo(10, 4)
    run_stream(stream, None, None, None, np.zeros(40 * 640, np.float32))
    assert stream.seen[0].avatar_audio_known.sum() == 4 + LOOK_AHEAD
    stream = Echo(10, 10)
    run_stream(stream, None, None, None, np.zeros(40 * 640, np.float32))
    assert stream.seen[0].avatar_audio_known.all()


def test_a_stream_without_a_user():
    stream = Echo(10, 10)
    run_stream(stream, None, None, None, np.zeros(40 * 640, np.float32))
    assert len(stream.seen) == 4
    assert not any(
        s.user_audio_known.any() or s.user_confidence.any() or s.user_motion_known.any() for s in stream.seen
    )


def test_signals_that_do_not_fit_the_recording():
    with pytest.raises(InputError, match="lasts 39 frames, the avatar's speech 40"):
        run_stream(Echo(), None, latents(39), None, np.zeros(40 * 640, np.float32))
    with pytest.raises(InputError, match="give 4 .* to 10"):
        run_stream(Echo(), None, None, None, np.zeros(40 * 640, np.float32), known=3)
