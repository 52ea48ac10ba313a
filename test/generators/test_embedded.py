"""The network in the box, as it travels: it speaks with its lips, rests in silence, and answers the user's smile."""

import numpy as np
import pytest

from avatar_forcing_ros.assets import EMBEDDED_WEIGHTS, SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.generators.embedded import EmbeddedGenerator
from avatar_forcing_ros.generators.lockstep import run_stream
from avatar_forcing_ros.learning.data.recordings import sound_of
from avatar_forcing_ros.learning.evaluation import metrics
from avatar_forcing_ros.models import ModelConfig
from avatar_forcing_ros.motion import rig


@pytest.fixture(scope="module")
def generator():
    return make_generator("embedded")


@pytest.fixture(scope="module")
def sample():
    """The made conversation in the box: user sound, user motion, avatar speech."""
    motion = np.load(SAMPLE_USER_VIDEO.with_name("user_motion.npy")).astype(np.float32)
    return sound_of(SAMPLE_USER_VIDEO, len(motion)), motion, sound_of(SAMPLE_AVATAR_AUDIO, len(motion))


@pytest.fixture(scope="module")
def answer(generator, sample):
    heard, motion, speech = sample
    return run_stream(generator.open(None, 0), heard, motion, np.ones(len(motion), np.float32), speech)


def test_it_is_small_and_says_what_it_is(generator):
    assert EMBEDDED_WEIGHTS.stat().st_size <= 12_000_000
    assert (generator.name, generator.space, generator.dim) == ("embedded", rig.SPACE, rig.DIM)
    assert generator.open(None, 0).commit_frames == 2
    assert ModelConfig.embedded().motion_dim == rig.DIM


def test_the_lips_follow_the_speech_and_rest_without(answer, sample):
    speech = sample[2]
    level, _ = metrics.speech_level(speech)
    curve = metrics.lagged_correlation(metrics.jaw(answer), level, 3)
    assert curve.max() > 0.5
    closed, frames = metrics.closed_in_silence(answer, speech)
    assert frames > 100 and closed / frames > 0.9


def test_a_session_begins_with_its_mouth_shut_whatever_the_seed(generator):
    silence = np.zeros(75 * 640, np.float32)
    for seed in range(6):
        assert metrics.jaw(run_stream(generator.open(None, seed), None, None, None, silence)).max() < 0.06, seed


def test_it_answers_the_users_smile(generator, answer, sample):
    heard, motion, speech = sample

    def follows(latents):
        return metrics.lagged_correlation(metrics.smile(motion), metrics.smile(latents), 25).max()

    alone = run_stream(generator.open(None, 0), None, None, None, speech)
    assert follows(answer) > 0.5 and follows(answer) > follows(alone) + 0.2
    assert metrics.smile(answer).max() > metrics.smile(alone).max()


def test_the_face_is_never_still_and_stays_in_its_ranges(answer):
    assert (answer >= rig.LOW).all() and (answer <= rig.HIGH).all()
    assert metrics.blinks_per_minute(answer) > 2
    assert answer[:, :3].std(axis=0).min() > 0.005  # the head
    assert np.abs(answer[:, :3]).max() < 0.6


def with_noise(part, scale, sample):
    heard, motion, speech = sample
    stream = EmbeddedGenerator(options={f"{part}_temperature": scale}).open(None, 0)
    return run_stream(stream, heard, motion, np.ones(len(motion), np.float32), speech)


@pytest.mark.parametrize(
    "part, liveliness",
    [("lid", metrics.blinks_per_minute), ("face", lambda motion: motion[:, :3].std())],
    ids=["lid", "face"],
)
def test_lids_and_head_move_with_their_noise_and_the_mouth_does_not_mind(part, liveliness, answer, sample):
    calm, lively = with_noise(part, 0.3, sample), with_noise(part, 1.6, sample)
    assert liveliness(calm) < liveliness(answer) < liveliness(lively)
    assert np.corrcoef(metrics.jaw(calm), metrics.jaw(lively))[0, 1] > 0.9


def test_another_seed_is_another_performance_and_the_same_one_is_the_same(generator, sample):
    heard, motion, speech = (x[: len(x) // 4] for x in sample)
    count = len(motion)
    heard, speech = heard[: count * 640], speech[: count * 640]

    def made(seed):
        return run_stream(generator.open(None, seed), heard, motion, np.ones(count, np.float32), speech)

    assert np.array_equal(made(1), made(1)) and not np.array_equal(made(1), made(2))


def test_weights_of_another_space_are_refused(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")
    from avatar_forcing_ros.models import AvatarForcing, save_model

    other = AvatarForcing(ModelConfig.embedded(motion_dim=8, width=16, heads=2, depth=1, audio_dim=8, audio_width=8))
    save_model(other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="another motion space"):
        EmbeddedGenerator(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="no weights at"):
        EmbeddedGenerator(tmp_path / "none.safetensors")
