"""The network against outputs of the published one, whose weights a rule made (model_reference.py)."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


sys.path.insert(0, str(Path(__file__).parent))
import model_reference as reference

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models import AvatarForcing, ModelConfig

BOUND = 2e-3  # both in float32; measured: below 1e-5
FRAMES = 80


@pytest.fixture(scope="module")
def weights():
    return reference.published_weights()


@pytest.fixture(scope="module")
def model(weights):
    torch.manual_seed(0)
    model = AvatarForcing(ModelConfig.published(**reference.SIZES)).eval()
    model.load_published_state_dict(weights)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def want():
    return reference.vectors()


@pytest.fixture(scope="module")
def identity(model):
    return model.encode_identity(reference.image(0))


def test_identity_and_motion(model, identity, want):
    assert reference.relative_error(identity.appearance, want["identity"]) < BOUND
    assert reference.relative_error(identity.motion, want["identity_motion"]) < BOUND
    user = model.encode_motion(torch.cat([reference.image(1), reference.image(2)]))
    assert reference.relative_error(user[None], want["user_motion_of_two_frames"]) < BOUND


def test_audio_features_of_two_speakers_in_one_batch(model, want):
    both = torch.cat([reference.waveform(FRAMES, 0), reference.waveform(FRAMES, 5)])
    avatar, user = model.encode_audio(both, FRAMES).split(1)
    assert reference.relative_error(avatar, want["avatar_audio_features"]) < BOUND
    assert reference.relative_error(user, want["user_audio_features"]) < BOUND


def test_condition_and_velocity(model, want):
    avatar, user = want["avatar_audio_features"][:, :50], want["user_audio_features"][:, :50]
    condition = model.condition(avatar, user, reference.normal(FRAMES, 1000, 0.5)[:, :50])
    assert reference.relative_error(condition, want["condition"]) < BOUND
    times = torch.full((1, 50), 1000.0)
    times[:, :10], times[:, 10:30] = 0.0, 400.0
    velocity = model.velocity(reference.normal(50, 2009), times, want["condition"], want["identity_motion"])
    assert reference.relative_error(velocity, want["velocity"]) < BOUND


def test_stream(model, identity, want):
    stream = model.stream(identity, steps=10, audio_guidance=2.0, user_guidance=1.0)
    motion, noise = reference.normal(FRAMES, 1000, 0.5), reference.normal(FRAMES, 2000)
    signals = (want["avatar_audio_features"], want["user_audio_features"], motion)
    blocks = [
        stream.step(*(signal[:, a:b] for signal in signals), noise=noise[:, a:b])
        for a, b in ((0, 50), (50, 60), (60, 70), (70, 80))
    ]
    assert reference.relative_error(torch.cat(blocks, 1), want["motion_stream"]) < BOUND


def test_decoded_images(model, identity, want):
    images = model.decode(identity, want["decode_input"][0])
    assert images.shape == (2, 3, 64, 64)
    assert reference.relative_error(images, want["decoded_64"]) < BOUND  # 64 pixels are the whole image here
    assert reference.relative_error(images.mean((2, 3)), want["decoded_mean"]) < BOUND


def test_a_misfit_names_what_does_not_fit(model, weights):
    name = "flow_transformer.final_layer.linear.weight"
    without = {key: value for key, value in weights.items() if key != name}
    with pytest.raises(InputError, match=f"1 missing: {name}"):
        model.load_published_state_dict(without)
    with pytest.raises(InputError, match="1 extra: nonsense.weight"):
        model.load_published_state_dict({**weights, "nonsense.weight": torch.zeros(1)})
    with pytest.raises(InputError, match=r"1 misshapen: .*linear.weight is \(3,\), wanted \(512, 128\)"):
        model.load_published_state_dict({**weights, name: torch.zeros(3)})
    never_used = "motion_autoencoder.dec.conv1.noise.weight"
    with pytest.raises(InputError, match=f"1 missing: {never_used}"):
        model.load_published_state_dict({key: value for key, value in weights.items() if key != never_used})
