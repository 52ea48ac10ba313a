"""The published back end behind the generator's seam, with made-up weights at a tiny size."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.generators.network import NetworkOptions
from avatar_forcing_ros.generators.published import PublishedGenerator
from avatar_forcing_ros.models import AvatarForcing, Identity, ModelConfig, runtime

# The published motion space and auto-encoder, the small front end: quick, and the seam is the same.
TINY = ModelConfig(
    image_size=16, audio_front_end="log_mel", audio_dim=64, audio_width=32, audio_layers=1, width=32, depth=1, heads=2
)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(1)
    model = AvatarForcing(TINY)
    for parameter in model.transformer.parameters():
        parameter.data.add_(torch.randn_like(parameter) / max(4.0, parameter[0].numel() ** 0.5))
    return PublishedGenerator(model=model, options=NetworkOptions(device="cpu", precision="float32", passes=4))


@pytest.fixture(scope="module")
def identity():
    return Identity(0.3 * torch.randn(1, 512, generator=torch.Generator().manual_seed(5)))


@pytest.fixture(scope="module")
def stream(generator, identity):
    return generator.open_identity(identity, seed=7)


def signals(block, speech=True, heard=True, seen=True, seed=0):
    rng = np.random.default_rng(1000 * seed + block)

    def sound(known):
        return (0.1 * rng.standard_normal(6400) if known else np.zeros(6400)).astype(np.float32)

    return BlockSignals(
        first_frame=10 * block,
        avatar_audio=sound(speech),
        user_audio=sound(heard),
        user_motion=(rng.standard_normal((10, 512)) if seen else np.zeros((10, 512))).astype(np.float32),
        user_confidence=np.full(10, float(seen), np.float32),
        avatar_audio_known=np.full(10, speech),
        user_audio_known=np.full(10, heard),
        user_motion_known=np.full(10, seen),
    )


def run(stream, pieces):
    return np.concatenate([stream.step(piece) for piece in pieces])


def test_the_seam(generator, stream):
    assert (generator.name, generator.space, generator.dim) == ("published", "lia512", 512)
    stream.reset()
    latents = stream.step(signals(0))
    assert latents.shape == (10, 512) and latents.dtype == np.float32 and np.isfinite(latents).all()


@pytest.mark.parametrize("speech", [True, False])
@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("seen", [True, False])
def test_talking_only_listening_only_nothing_all_run(stream, speech, heard, seen):
    stream.reset()
    assert np.isfinite(run(stream, [signals(i, speech, heard, seen) for i in range(2)])).all()


def test_the_user_is_felt_and_a_reset_is_as_new(stream):
    stream.reset()
    first = run(stream, [signals(i) for i in range(3)])
    stream.reset()
    assert np.array_equal(run(stream, [signals(i) for i in range(3)]), first)
    stream.reset()
    assert not np.allclose(run(stream, [signals(i, heard=False, seen=False) for i in range(3)]), first, atol=1e-4)


def test_barge_in_leaves_nothing_of_the_speech_that_was_not_said(generator, identity):
    """Speech that is cleared never reaches the stream: what follows depends on what was heard before alone."""
    streams = [generator.open_identity(identity, seed=3) for _ in range(2)]
    said = [signals(i) for i in range(2)]
    quiet = [signals(i, speech=False) for i in range(2, 4)]
    meant_to_say = [signals(i) for i in range(2, 4)]
    cleared = [BlockSignals(**{**vars(piece), "avatar_audio_known": np.zeros(10, bool)}) for piece in meant_to_say]
    for one, other in zip(quiet, cleared):  # the same user
        object.__setattr__(other, "user_audio", one.user_audio)
        object.__setattr__(other, "user_motion", one.user_motion)
    a, b = (run(stream, said + rest) for stream, rest in zip(streams, (quiet, cleared)))
    assert np.array_equal(a, b)


def test_after_a_long_absence_the_user_is_absent_and_comes_back(stream):
    stream.reset()
    run(stream, [signals(0)])
    for i in range(1, 7):
        stream.step(signals(i, heard=False, seen=False))
    assert stream._user_absent_frames == 60
    stream.step(signals(7))
    assert stream._user_absent_frames == 0


def test_values_that_are_not_finite_count_as_not_there(stream):
    stream.reset()
    broken, gone = signals(0), signals(0)
    broken.user_motion[3:] = np.nan
    broken.user_audio[100:200] = np.inf
    gone.user_motion[3:] = 0.0
    gone.user_confidence[3:] = 0.0
    gone.user_audio[100:200] = 0.0
    a = stream.step(broken)
    stream.reset()
    assert np.isfinite(a).all() and np.array_equal(stream.step(gone), a)


def test_signals_of_another_space_are_refused(stream):
    piece = signals(0)
    object.__setattr__(piece, "user_motion", np.zeros((10, 32), np.float32))
    with pytest.raises(InputError, match=r"of sizes \(\(10, 32\), 10, 6400, 6400\)"):
        stream.step(piece)


def test_what_cannot_run_is_refused_in_one_line(generator, tmp_path):
    with pytest.raises(InputError, match="needs the authors' weights: set the parameter `weights`"):
        PublishedGenerator()
    with pytest.raises(InputError, match="no weights at .*gone.*docs/weights.md"):
        PublishedGenerator(tmp_path / "gone")
    for wrong in (dict(compile="fast"), dict(passes=1)):
        with pytest.raises(InputError):
            NetworkOptions(**wrong)
    for wrong in (
        dict(device="tpu"),
        dict(device="cuda:99"),
        dict(precision="int3"),
        dict(device="cpu", precision="float16"),
    ):
        with pytest.raises(InputError):
            PublishedGenerator(model=generator.model, options=NetworkOptions(**wrong))
    small = AvatarForcing(ModelConfig.embedded(width=32, depth=1, heads=2))
    with pytest.raises(InputError, match="another motion space"):
        PublishedGenerator("small.safetensors", model=small)
    with pytest.raises(InputError, match="needs a portrait"):
        generator.open(None, 0)
    with pytest.raises(InputError, match="no face"):
        generator.open(np.zeros((64, 64, 3), np.uint8), 0)


def test_bfloat16_is_refused_in_one_line_where_the_processor_cannot(generator, monkeypatch):
    monkeypatch.setattr(runtime, "cpu_takes_bfloat16", lambda: False)
    with pytest.raises(InputError, match="bfloat16 needs a GPU or a processor with AVX-512") as raised:
        PublishedGenerator(model=generator.model, options=NetworkOptions(device="cpu", precision="bfloat16"))
    assert "\n" not in str(raised.value)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert runtime.resolve_precision("auto", torch.device("cpu")) == torch.float32


@pytest.mark.skipif(not runtime.cpu_takes_bfloat16(), reason="needs a processor with AVX-512")
def test_bfloat16_stays_near_float32(generator, identity):
    torch.manual_seed(1)
    model = AvatarForcing(TINY)
    state = {name: value for name, value in model.state_dict().items()}
    other = AvatarForcing(TINY)
    other.load_state_dict(state)
    exact = PublishedGenerator(model=model, options=NetworkOptions(device="cpu", precision="float32", passes=4))
    fast = PublishedGenerator(model=other, options=NetworkOptions(device="cpu", precision="bfloat16", passes=4))
    a, b = (run(g.open_identity(identity, 1), [signals(0), signals(1)]) for g in (exact, fast))
    assert np.linalg.norm(a - b) / np.linalg.norm(a) < 0.05
