"""The published auto-encoder as avatar and tracker, with made-up weights at a tiny size."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.bench.plain_network import decode
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.images import decode_image
from avatar_forcing_ros.models import AvatarForcing, Identity, ModelConfig
from avatar_forcing_ros.models.autoencoder import AutoEncoder, sample_rows
from avatar_forcing_ros.models.runtime import prepare_autoencoder
from avatar_forcing_ros.motion.neural import (
    Crop,
    HeldCrop,
    NeuralAvatar,
    NeuralEncoder,
    portrait_image,
    to_images,
    to_tensor,
)

SIZE = 32
TINY = ModelConfig(image_size=SIZE, audio_front_end="log_mel", audio_dim=64, audio_width=32, width=32, depth=1, heads=2)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    return AvatarForcing(TINY).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def portrait():
    return decode_image(DEFAULT_PORTRAIT.read_bytes())


def smooth_image(size):
    line = torch.linspace(0, 3, size)
    return torch.stack([torch.sin(line[:, None] * (c + 1)) * torch.cos(line[None] * 2 + c) for c in range(3)])[None]


def test_several_frames_at_once_equal_one_after_the_other():
    """The two forms of a modulated convolution: style in the weight, and style around it (as a GPU runs it)."""
    torch.manual_seed(0)
    auto = AutoEncoder(64).eval().requires_grad_(False)
    identity = auto.identity(smooth_image(64))
    latents = identity.motion + 0.2 * torch.randn(3, 512)
    codes = identity.appearance + latents
    single = auto.decode(identity, latents)
    batch = auto.decoder._paint(
        auto.decoder.first.styles(codes), [stage.styles(codes) for stage in auto.decoder.stages], identity.features
    )
    plain = decode(type("Model", (), {"autoencoder": auto}), identity, latents)
    assert single.shape == (3, 3, 64, 64)
    # Rounding only: sums run in another order, and differently with every number of threads.
    assert torch.allclose(single, batch, atol=5e-4) and torch.allclose(single, plain, atol=5e-4)
    assert not torch.allclose(single[0], single[1], atol=1e-3)


def test_rows_are_sampled_as_grid_sample_does():
    torch.manual_seed(0)
    feature, grid = torch.randn(1, 5, 12, 12), 1.5 * torch.randn(1, 7, 9, 2)
    grid[0, 0, :4] = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [40.0, 0.1], [-1.0 - 1 / 12, 0.0]])
    want = torch.nn.functional.grid_sample(feature, grid, align_corners=False)
    assert torch.allclose(sample_rows(feature, grid), want, atol=1e-5)


def test_bfloat16_draws_nearly_the_same_image():
    torch.manual_seed(0)
    auto = AutoEncoder(64).eval().requires_grad_(False)
    identity = auto.identity(smooth_image(64))
    latents = identity.motion + 0.2 * torch.randn(2, 512)
    exact = auto.decode(identity, latents)
    prepare_autoencoder(auto, torch.device("cpu"), torch.bfloat16)
    rounded = auto.decode(Identity(identity.motion, identity.appearance, identity.features), latents)
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).norm() / exact.norm()) < 0.05


def test_images_are_mapped_by_a_fixed_rule():
    pictures = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).view(5, 1, 1, 1).expand(5, 3, 2, 2)
    assert to_images(pictures)[:, 0, 0, 0].tolist() == [0, 0, 128, 255, 255]
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(to_images(to_tensor(image)), image)


def test_avatar_draws_a_block(model, portrait):
    avatar = NeuralAvatar("", portrait, device="cpu", precision="float32", model=model)
    latents = avatar.rest + 0.1 * np.random.default_rng(0).standard_normal((10, 512)).astype(np.float32)
    images = avatar.render_block(latents)
    assert images.shape == (10, SIZE, SIZE, 3) and images.dtype == np.uint8
    assert np.array_equal(avatar.render(latents[3]), images[3])
    broken = latents.copy()
    broken[4, 100] = np.nan
    assert np.array_equal(avatar.render_block(broken)[4], avatar.render(avatar.rest))


def test_encoder_tracks_a_face_and_holds_what_it_saw(model, portrait):
    encoder = NeuralEncoder(device="cpu", precision="float32", model=model)
    seen = encoder.track(portrait, 0.0)
    assert seen.confidence == 1.0 and seen.motion.shape == (512,) and seen.faces == 1
    # The same picture through the portrait's way gives the same motion: both use one crop.
    with torch.no_grad():
        alone = model.encode_motion(portrait_image(portrait, SIZE))[0].numpy()
    assert np.linalg.norm(alone - seen.motion) < 0.2 * np.linalg.norm(alone)
    gone = encoder.track(np.zeros_like(portrait), 0.04)
    assert gone.confidence == 0.0 and gone.box is None and np.array_equal(gone.motion, seen.motion)
    with pytest.raises(InputError, match="give uint8 RGB"):
        encoder.track(np.zeros((64, 64, 3), np.float32), 0.1)
    encoder.close()


def test_a_crop_is_cut_where_it_says():
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 80:120] = 255
    small = Crop(99.5, 49.5, 20.0).cut(image, 40)
    assert small[11:29].min() == 255 and small[:9].max() == 0
    shrunk = Crop(99.5, 49.5, 40.0).cut(image, 16)
    assert shrunk[7:9, 5:11].min() > 200 and shrunk[:4].max() < 30
    assert Crop(0.0, 0.0, 50.0).cut(image, 32).shape == (32, 32, 3)


def test_the_crop_is_averaged_and_then_held():
    held, rng = HeldCrop(), np.random.default_rng(0)
    for i in range(26):
        held.observe(Crop(100 + rng.normal(0, 5), 100 + rng.normal(0, 5), 50.0), i / 25)
    crop = held.crop
    assert abs(crop.x - 100) < 3 and abs(crop.y - 100) < 3
    for i in range(26, 500):  # the head moves, the crop does not
        assert held.observe(Crop(100 + 20 * np.sin(i / 10), 100.0, 52.0), i / 25) == crop
    assert held.observe(None, 20.5) == crop


def test_another_person_gets_another_crop():
    held = HeldCrop()
    for i in range(50):
        held.observe(Crop(100.0, 100.0, 50.0), i / 25)
    first = held.crop
    for i in range(50, 70):  # somebody else for 0.8 s: not believed yet
        assert held.observe(Crop(300.0, 120.0, 40.0), i / 25) == first
    for i in range(70, 140):
        held.observe(Crop(300.0, 120.0, 40.0), i / 25)
    assert held.crop == Crop(300.0, 120.0, 40.0)
    held.observe(None, 6.0)
    assert held.observe(Crop(310.0, 120.0, 40.0), 9.0) != Crop(
        300.0, 120.0, 40.0
    )  # gone for long: whoever comes is new
    held.observe(Crop(10.0, 10.0, 5.0), 1.0)  # time jumped back
    assert held.crop == Crop(10.0, 10.0, 5.0)


def test_weights_that_are_not_there(portrait):
    with pytest.raises(InputError, match="the neural face needs the authors' weights"):
        NeuralAvatar("", portrait)
