"""Rolling blocks: what a stream computes is what training sees; part of a block is committed and the rest stays foreseen."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.generators.embedded import EmbeddedGenerator
from avatar_forcing_ros.learning.training import forcing as df
from avatar_forcing_ros.models import AvatarForcing, Identity, ModelConfig
from avatar_forcing_ros.motion import rig

SMALL = dict(width=32, heads=2, audio_dim=16, audio_width=16, audio_layers=1)


def made(**sizes):
    torch.manual_seed(3)
    model = AvatarForcing(ModelConfig.embedded(**{**SMALL, **sizes})).eval().requires_grad_(False)
    for parameter in model.parameters():  # large enough that every signal and gate matters
        parameter.add_(torch.randn_like(parameter) / max(4.0, parameter[0].numel() ** 0.5))
    return model


@pytest.mark.parametrize("commit", [1, 2, 5, 10])
def test_training_sees_what_the_stream_computes(commit):
    """One layer, so that nothing older than the clip reaches the block; one Euler step, so that latents tell the velocity."""
    model = made(depth=1)
    config, frames = model.config, 140
    draw = torch.Generator().manual_seed(1)
    audio, user_audio = (torch.randn(1, frames + 10, config.audio_dim, generator=draw) for _ in range(2))
    user_motion = torch.randn(1, frames + 10, config.motion_dim, generator=draw)
    reference = model.to_latents(torch.zeros(1, config.motion_dim))
    stream = model.stream(Identity(reference), steps=3, audio_guidance=1.0, user_guidance=1.0, commit_frames=commit)
    signals = (audio, user_audio, user_motion)
    latents = stream.step(*(x[:, :50] for x in signals))
    while latents.shape[1] < frames:
        at = latents.shape[1]
        noise = torch.randn(1, 10, config.motion_dim, generator=draw)
        latents = torch.cat([latents, stream.step(*(x[:, at : at + 10] for x in signals), noise=noise)], 1)
    streamed = noise[:, :commit] - latents[:, at:]  # one step from noise to data

    # Ten frames more than the block sees, since a clip's first frames have windows that reach before it.
    clip = slice(at - 50, at + 10)
    clean = torch.cat([latents[:, at - 50 : at], torch.zeros(1, 10, config.motion_dim)], 1)
    noisy = torch.cat([torch.zeros(1, 50, config.motion_dim), noise], 1)
    there = (torch.ones(1, 60, dtype=torch.bool),) * 3
    given = df.Given(tuple(x[:, clip] for x in signals), there, (torch.ones(1), torch.ones(1)))
    layout = df.Layout(True, commit, 10, 10)
    condition = df.stream_condition(model, given, layout)
    trained = df.stream_velocity(model, clean, noisy, torch.ones(1, 60), condition, reference)[:, -10:][:, :commit]
    assert float((streamed - trained).norm() / trained.norm()) < 1e-4
    assert float(trained.norm()) > 1.0


def test_nothing_leaks_from_frames_that_have_not_come():
    """Changing what is late, or what lies behind a block, changes nothing in it."""
    model = made(depth=2)
    config, layout = model.config, df.Layout(True, 5, 6, 3)
    draw = torch.Generator().manual_seed(2)

    def features():
        return torch.randn(1, 50, config.audio_dim, generator=draw)

    clip = df.ClipBatch(
        torch.zeros(1), torch.zeros(1), *(torch.randn(1, 50, config.motion_dim, generator=draw) for _ in range(2)),
        *(torch.ones(1, 50, dtype=torch.bool) for _ in range(3)), model.to_latents(torch.zeros(1, config.motion_dim)),
    )  # fmt: skip
    sound, noisy, sigma = (
        (features(), features()),
        torch.randn(1, 50, config.motion_dim, generator=draw),
        torch.ones(1, 50),
    )

    def run(clip, sound):
        given = df.Given.of(clip, sound, (torch.ones(1), torch.ones(1)))
        condition = df.stream_condition(model, given, layout)
        return df.stream_velocity(model, clip.avatar_motion, noisy, sigma, condition, clip.reference)[
            0, :10
        ]  # frames 10..19

    base = run(clip, sound)

    def with_user_from(frame):
        motion = clip.user_motion.clone()
        motion[:, frame:] += 1.0
        return df.ClipBatch(**{**vars(clip), "user_motion": motion})

    assert torch.equal(run(with_user_from(13), sound), base)  # the block at 10 knows the user up to frame 12
    assert not torch.equal(run(with_user_from(12), sound), base)
    later = tuple(torch.cat([x[:, :16], x[:, 16:] + 1.0], 1) for x in sound)
    assert torch.equal(run(clip, (later[0], sound[1])), base)
    assert not torch.equal(run(clip, (torch.cat([sound[0][:, :15], sound[0][:, 15:] + 1.0], 1), sound[1])), base)


@pytest.fixture(scope="module")
def generator():
    return EmbeddedGenerator(model=made(depth=2))


def block(first, known=10, seen=10, seed=0):
    """Signals of 10 frames that depend on the frame only; `known` frames of sound, `seen` frames of face have come."""
    rng = [np.random.default_rng(1000 * seed + first + i) for i in range(10)]
    sound = np.concatenate([0.1 * r.standard_normal(640) for r in rng]).astype(np.float32)
    motion = np.stack([0.1 * r.standard_normal(rig.DIM) for r in rng]).astype(np.float32)
    heard, seen = np.arange(10) < known, np.arange(10) < seen
    sound = sound * np.repeat(heard, 640)
    return BlockSignals(
        first_frame=first, avatar_audio=sound, user_audio=0.5 * sound, user_motion=motion,
        user_confidence=seen.astype(np.float32), avatar_audio_known=heard, user_audio_known=heard, user_motion_known=seen,
    )  # fmt: skip


def run(stream, steps, **known):
    return np.concatenate([stream.step(block(i * stream.commit_frames, **known)) for i in range(steps)])


@pytest.mark.parametrize("commit", [1, 2, 5, 10])
def test_a_step_returns_what_it_commits_and_a_reset_is_as_new(generator, commit):
    stream = generator.open(None, 1, commit)
    assert (stream.block_frames, stream.commit_frames) == (10, commit)
    first = run(stream, 6)
    assert first.shape == (6 * commit, rig.DIM) and first.dtype == np.float32 and np.isfinite(first).all()
    assert (first >= rig.LOW).all() and (first <= rig.HIGH).all()
    stream.reset()
    assert np.array_equal(run(stream, 6), first)
    assert not np.array_equal(run(generator.open(None, 2, commit), 6), first)


def test_sound_that_comes_late_or_early_is_encoded_once(generator):
    """With 2, 5 or 10 frames known ahead the network hears the same sound at the same place."""
    streams = {known: generator.open(None, 1, 2) for known in (2, 5, 10)}
    for i in range(20):
        for known, stream in streams.items():
            stream.step(block(2 * i, known=known))

    def committed(known):  # the newest two frames of sound that have been committed
        samples = streams[known].network._audio.samples
        end = samples.shape[1] - 640 * (known - 2)
        return samples[:, end - 2 * 640 : end]

    assert np.abs(committed(2)).max() > 0.1
    assert np.array_equal(committed(5), committed(2)) and np.array_equal(committed(10), committed(2))


def test_signals_to_come_matter_only_when_they_are_known(generator):
    def last(**known):
        return run(generator.open(None, 1, 2), 8, **known)

    assert not np.array_equal(last(known=2, seen=2), last(known=10, seen=2))
    assert not np.array_equal(last(known=2, seen=2), last(known=2, seen=10))
    stream = generator.open(None, 1, 2)
    hidden = block(0, known=2, seen=2)
    noise = np.random.default_rng(5).standard_normal(hidden.user_motion.shape).astype(np.float32)
    changed = BlockSignals(
        **{**vars(hidden), "user_motion": np.where(hidden.user_motion_known[:, None], hidden.user_motion, noise)}
    )
    first = stream.step(hidden)
    stream.reset()
    assert np.array_equal(stream.step(changed), first)


def test_any_input_may_be_absent_or_broken(generator):
    stream = generator.open(None, 1, 5)
    for known, seen in ((0, 0), (10, 0), (0, 10)):
        assert np.isfinite(run(stream, 4, known=known, seen=seen)).all()
    broken = block(0)
    broken.user_motion[3] = np.nan
    broken.avatar_audio[100] = np.inf
    assert np.isfinite(stream.step(broken)).all()


def test_a_commit_that_does_not_fit_is_refused(generator):
    for commit in (0, 11):
        with pytest.raises(InputError, match="1 to 10"):
            generator.open(None, 0, commit)
    stream = generator.open(None, 0, 5)
    with pytest.raises(InputError, match="block of this generator"):
        stream.step(BlockSignals(**{**vars(block(0)), "user_motion": np.zeros((5, rig.DIM), np.float32)}))


@pytest.mark.parametrize("aligned", [False, True])
def test_only_an_aligned_user_tells_when(aligned):
    """The published encoder sees the user's frames of a window as a set; `aligned_user` keeps their places, and
    `aligned_sound` those of what the user says."""
    torch.manual_seed(2)
    order = torch.randperm(12)
    for sizes in ({"aligned_user": aligned, "aligned_sound": False}, {"aligned_user": False, "aligned_sound": aligned}):
        encoder = made(**sizes).dual_motion_encoder
        avatar, user = torch.randn(2, 1, 12, encoder.project.in_features)
        motion = torch.randn(1, 12, encoder.embed_motion[0].in_features)
        as_it_was, shuffled = encoder(avatar, user, motion), encoder(avatar, user[:, order], motion[:, order])
        assert torch.allclose(as_it_was, shuffled, atol=1e-5) != aligned
