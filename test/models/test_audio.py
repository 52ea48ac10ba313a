"""Sound on its way into a network: level, silence, the rolling window."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


from avatar_forcing_ros.audio.normaliser import NOISE_RMS, SpeechNormaliser
from avatar_forcing_ros.models import AvatarForcing, ModelConfig
from avatar_forcing_ros.models.audio_encoder import LogMelEncoder, amplify
from avatar_forcing_ros.models.rolling_audio import RollingAudio


def speech(seconds, rms, seed=0):
    """Noise in syllables, four a second, at this RMS while it sounds."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16000)) / 16000
    envelope = np.clip(np.sin(2 * np.pi * 2 * t) ** 2 * 1.6, 0, 1)
    sound = rng.standard_normal(len(t)) * envelope
    return (sound * rms / np.sqrt(np.mean(np.square(sound[envelope > 0.3])))).astype(np.float32)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_speech_of_any_level_comes_out_at_unit_level(level):
    out = SpeechNormaliser().push(speech(6, level))[3 * 16000 :]
    assert 0.5 < rms(out) < 1.5


def test_silence_is_never_blown_up():
    """A pause of 10 s after speech, with the room's noise in it, stays as far below the speech as it was."""
    normaliser = SpeechNormaliser()
    normaliser.push(speech(5, 0.1))
    room = 0.001 * np.random.default_rng(1).standard_normal(160000).astype(np.float32)
    assert rms(normaliser.push(room)) < 0.05
    assert 0.5 < rms(normaliser.push(speech(3, 0.1))) < 1.5


def test_all_zero_sound_becomes_low_noise_and_the_same_after_a_reset():
    normaliser = SpeechNormaliser(seed=3)
    out = normaliser.push(np.zeros(6400, np.float32))
    assert 0.8 * NOISE_RMS < rms(out) < 1.2 * NOISE_RMS
    normaliser.push(speech(2, 0.3))
    normaliser.reset()
    assert np.array_equal(normaliser.push(np.zeros(6400, np.float32)), out)


def test_sound_that_is_not_there_teaches_nothing():
    there, gone = SpeechNormaliser(), SpeechNormaliser()
    there.push(speech(2, 0.1))
    gone.push(speech(2, 0.1))
    gone.push(np.full(6400, np.nan, np.float32))
    gone.push(speech(0.4, 0.9), known=np.zeros(10, bool))
    assert there._gain == gone._gain


def test_one_push_equals_many():
    sound = speech(2, 0.1)
    whole = SpeechNormaliser(seed=1).push(sound)
    normaliser = SpeechNormaliser(seed=1)
    pieces = np.concatenate([normaliser.push(piece) for piece in np.split(sound, 5)])
    assert np.array_equal(whole, pieces)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return AvatarForcing(ModelConfig.embedded()).eval().requires_grad_(False)


def test_streaming_features_equal_those_of_the_whole_recording(model):
    """The small front end is causal: block by block over a rolling window gives what the whole file gives."""
    sound = np.stack([SpeechNormaliser().push(speech(8, 0.1, seed)) for seed in (1, 2)])
    whole = model.encode_audio(torch.from_numpy(sound), 200)
    rolling = RollingAudio(model.encode_audio)
    live = []
    for piece in np.split(sound, 20, axis=1):
        for speaker in (0, 1):
            rolling.push(speaker, piece[speaker])
        live.append(rolling.features()[:, -10:])
    live = torch.cat(live, 1)
    history = model.audio_encoder.history_frames
    assert history < rolling.window_frames - 10
    assert torch.allclose(live[:, history:], whole[:, history:], atol=1e-5)
    assert rolling.samples.shape == (2, 60 * 640)


def test_a_frame_never_hears_the_future(model):
    sound = torch.from_numpy(speech(2, 1.0))[None]
    changed = sound.clone()
    changed[:, 640 * 30 :] = 0.0
    a, b = model.encode_audio(sound, 50), model.encode_audio(changed, 50)
    assert torch.equal(a[:, :30], b[:, :30]) and not torch.allclose(a[:, 30:], b[:, 30:])


def test_log_mel_of_speech_is_of_usual_size(model):
    spectra = model.audio_encoder.spectra(torch.from_numpy(SpeechNormaliser().push(speech(8, 0.1)))[None], 200)[:, 50:]
    assert abs(float(spectra.mean())) < 1.0 and 0.2 < float(spectra.std()) < 2.0


@pytest.mark.parametrize("decibels", [-12.0, 6.0])
def test_amplified_spectra_are_those_of_the_amplified_sound(decibels):
    encoder = LogMelEncoder(ModelConfig.embedded())
    sound = torch.from_numpy(speech(2, 0.5))[None]
    louder = encoder.spectra(sound * 10 ** (decibels / 20), 50)
    torch.testing.assert_close(amplify(encoder.spectra(sound, 50), torch.tensor(decibels)), louder, atol=1e-3, rtol=0)
    silence = encoder.spectra(torch.zeros(1, 3200), 5)
    torch.testing.assert_close(amplify(silence, torch.tensor(20.0)), silence, atol=1e-3, rtol=0)
