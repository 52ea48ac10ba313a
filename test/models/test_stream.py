"""The stream: exact against a plain recomputation far beyond a clip, whole without any input, clean after a reset."""

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


from avatar_forcing_ros.bench.plain_network import PlainStream
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models import Anchor, AvatarForcing, Identity, ModelConfig
from avatar_forcing_ros.models.flow_matching import Noise

CONFIG = ModelConfig.embedded(
    width=32,
    depth=2,
    heads=2,
    audio_dim=16,
    audio_width=16,
    audio_layers=1,
    motion_dim=8,
    guidance="separate",
    token_condition=False,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    model = AvatarForcing(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():  # large enough that every signal and gate matters
        parameter.add_(torch.randn_like(parameter) / max(4.0, parameter[0].numel() ** 0.5))
    return model


@pytest.fixture(scope="module")
def identity():
    return Identity(0.3 * torch.randn(1, CONFIG.motion_dim, generator=torch.Generator().manual_seed(5)))


def draw(frames, seed):
    """Features of avatar audio, user audio, user motion, and noise, (1, frames, ...) each."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (CONFIG.audio_dim, CONFIG.audio_dim, CONFIG.motion_dim, CONFIG.motion_dim)
    return tuple(torch.randn(1, frames, size, generator=generator) for size in sizes)


def blocks(signals, first=50, count=10):
    total = signals[0].shape[1]
    borders = [0, first, *range(first + count, total + 1, count)] if first else list(range(0, total + 1, count))
    return [tuple(x[:, a:b] for x in signals) for a, b in zip(borders, borders[1:])]


def run(stream, pieces):
    return torch.cat([stream.step(*signals, noise=noise) for *signals, noise in pieces], 1)


def test_equals_the_plain_stream_beyond_the_published_table_of_positions(model, identity):
    """1,300 frames; the release ends at 1,024. The plain stream counts frames without end and recomputes everything."""
    pieces = blocks(draw(1300, 1))
    ours = run(model.stream(identity), pieces)
    plain = run(PlainStream(model, identity), pieces)
    assert ours.shape == (1, 1300, CONFIG.motion_dim)
    assert float((ours - plain).norm() / plain.norm()) < 1e-4
    last = slice(-100, None)
    assert float((ours[:, last] - plain[:, last]).norm() / plain[:, last].norm()) < 1e-4


def test_a_block_depends_on_cached_frames_and_signals(model, identity):
    """Guards the test above against a network that ignores its inputs."""
    pieces = blocks(draw(80, 1))
    base = run(model.stream(identity), pieces)
    for i in range(3):
        changed = [
            tuple(x.flip(-1) if j == i and n == 1 else x for j, x in enumerate(piece)) for n, piece in enumerate(pieces)
        ]
        other = run(model.stream(identity), changed)
        assert torch.equal(base[:, :50], other[:, :50])
        assert float((base - other)[:, 50:60].abs().max()) > 1e-3, i
        assert float((base - other)[:, 70:].abs().max()) > 1e-4, i  # memory


def test_reset_is_as_new(model, identity):
    pieces = blocks(draw(90, 2))
    stream = model.stream(identity, seed=4)
    fresh = run(stream, pieces)
    run_free = stream.step(*(x[:, :10] for x in draw(10, 3)[:3]))
    stream.reset()
    assert torch.equal(run(stream, pieces), fresh)
    again = stream.step(*(x[:, :10] for x in draw(10, 3)[:3]))
    assert torch.equal(run_free, again)


def test_a_primed_stream_begins_behind_its_clip_and_resets_to_it(model, identity):
    primed, plain = model.stream(identity, seed=1), model.stream(identity, seed=1)
    clip = draw(50, 6)
    primed.prime(*clip[:3])
    piece = blocks(draw(30, 7), first=0)
    first = run(primed, piece)
    primed.reset()
    assert torch.equal(run(primed, piece), first)
    noise = torch.from_numpy(Noise(2, CONFIG.motion_dim).draw(50))[None]
    plain.step(*clip[:3], noise=noise)
    assert torch.equal(run(plain, piece), first)


@pytest.mark.parametrize("present", [(), (0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)])
def test_any_signal_may_be_absent_and_then_counts_as_zeros(model, identity, present):
    signals = draw(70, 8)
    some, zeros = model.stream(identity), model.stream(identity)
    for *given, noise in blocks(signals):
        ours = some.step(*(x if i in present else None for i, x in enumerate(given)), noise=noise)
        theirs = zeros.step(*(x if i in present else torch.zeros_like(x) for i, x in enumerate(given)), noise=noise)
        assert torch.equal(ours, theirs) and torch.isfinite(ours).all()


def test_nothing_at_all_runs_from_the_streams_own_noise(model, identity):
    streams = [model.stream(identity, seed=seed) for seed in (9, 9, 10)]
    motion = [torch.cat([stream.step(None, None, None) for _ in range(3)], 1) for stream in streams]
    assert motion[0].shape[1] == 70
    assert torch.equal(motion[0], motion[1]) and not torch.equal(motion[0], motion[2])


def test_a_wrong_number_of_frames_is_refused(model, identity):
    stream = model.stream(identity)
    with pytest.raises(ValueError, match=r"takes 50 frames, got \[10, 10, 10, 10\]"):
        stream.step(*(x[:, :10] for x in draw(50, 1)))
    with pytest.raises(ValueError, match="at least 3"):
        model.stream(identity, steps=2)


def test_the_state_is_of_fixed_size_and_updated_in_place(model, identity):
    stream = model.stream(identity)

    def places():
        return [(x.data_ptr(), x.shape) for x in vars(stream.state).values()]

    before = places()
    run(stream, blocks(draw(120, 1)))
    stream.reset()
    assert places() == before


def drifting(model, identity, anchor, steps=150):
    """Slow mean's distance from the reference motion for a network that pushes its output away."""
    stream = model.stream(identity, anchor=anchor, seed=2)
    push = torch.zeros(1, 10, CONFIG.motion_dim, dtype=torch.float64)
    distance = []
    stream.step(None, None, None)
    denoise = stream._denoise

    def drift(latents, context, **rest):
        # Continues from the context and walks off, as the published network does over minutes.
        out = denoise(latents, context, **rest)
        walk = 0.02 * torch.arange(1, 11, dtype=torch.float64)[None, :, None]
        out[:, context:] = latents[:, context - 1 : context] + walk + push
        return out

    stream._denoise = drift
    for _ in range(steps):
        made = stream.step(None, None, None)
        distance.append(float((made.mean(1) - identity.motion).norm()))
    return distance


def test_the_anchor_holds_the_slow_mean(model, identity):
    free = drifting(model, identity, None)
    anchor = Anchor(time_constant=1.0, dead_band=0.5, gain=0.5, slew=0.2)
    held = drifting(model, identity, anchor)
    assert free[-1] > 50
    assert max(held[20:]) < 4.0


def test_the_anchor_never_jumps(model, identity):
    """Within a block it moves by at most its slew per frame, from nothing at the block's border."""
    anchor = Anchor(time_constant=0.2, dead_band=0.0, gain=100.0, slew=0.03)
    stream = model.stream(identity, anchor=anchor)
    pull = stream._pull(5.0 + torch.zeros(1, 10, CONFIG.motion_dim, dtype=torch.float64))[0]
    moves = torch.cat([pull[:1], pull[1:] - pull[:-1]]).norm(dim=-1)
    assert torch.allclose(moves, torch.full((10,), 0.03, dtype=moves.dtype), atol=1e-6)
    toward = (identity.motion[0] - 5.0).double()
    assert float(torch.nn.functional.cosine_similarity(pull[-1], toward, dim=0)) > 0.999


def test_a_mean_inside_the_dead_band_is_left_alone(model, identity):
    pieces = blocks(draw(150, 1))
    off = run(model.stream(identity), pieces)
    on = run(model.stream(identity, anchor=Anchor(dead_band=1e6)), pieces)
    assert torch.equal(off, on)


def test_a_network_of_the_rig_has_no_pictures_and_says_so(model, identity):
    for ask in (
        lambda: model.encode_motion(torch.zeros(1, 3, 16, 16)),
        lambda: model.decode(identity, torch.zeros(1, 8)),
    ):
        with pytest.raises(InputError, match="no auto-encoder: give one whose image_size is set"):
            ask()
