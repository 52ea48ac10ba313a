import array
from types import SimpleNamespace as Message

import numpy as np
import pytest

from avatar_forcing_ros.audio.decode import AudioDecoder, SoundFormat, stamp_of
from avatar_forcing_ros.audio.level import SpeechLevel
from avatar_forcing_ros.audio.resample import Resampler, to_mono
from avatar_forcing_ros.errors import InputError

S = 1_000_000_000
SIGNAL = np.array([0.0, 0.25, -0.5, 0.75, -1.0, 0.125], np.float32)


def apt_info(sample_format="S16LE", channels=1, rate=16000, coding="wave"):
    return Message(channels=channels, sample_rate=rate, sample_format=sample_format, bitrate=0, coding_format=coding)


def typed(info_format, channels=1, rate=16000, **data):
    fields = {f"{k}_data": data.get(k, []) for k in ("float32", "int32", "int16", "int8", "uint8")}
    return Message(
        audio_data=Message(**fields), info=Message(format=info_format, channels=channels, rate=rate, chunk=512)
    )


@pytest.mark.parametrize(
    "name, raw",
    [
        ("S8", (SIGNAL * 128).clip(-128, 127).astype("i1")),
        ("U8", (SIGNAL * 128 + 128).clip(0, 255).astype("u1")),
        ("S16LE", (SIGNAL * 32768).clip(-32768, 32767).astype("<i2")),
        ("S16BE", (SIGNAL * 32768).clip(-32768, 32767).astype(">i2")),
        ("S32LE", (SIGNAL * 2.0**31).clip(-(2**31), 2**31 - 1).astype("<i4")),
        ("F32LE", SIGNAL.astype("<f4")),
        ("F32BE", SIGNAL.astype(">f4")),
        ("F64LE", SIGNAL.astype("<f8")),
    ],
)
@pytest.mark.parametrize("carrier", [bytes, list, lambda b: array.array("B", b), lambda b: np.frombuffer(b, np.uint8)])
def test_apt_formats(name, raw, carrier):
    decoder = AudioDecoder()
    decoder.set_info(apt_info(name, channels=2))
    samples = decoder.decode(Message(data=carrier(raw.tobytes())))
    assert samples.dtype == np.float32 and samples.shape == (3, 2)
    np.testing.assert_allclose(samples.ravel(), SIGNAL, atol=1 / 127)


@pytest.mark.parametrize(
    "number, field, raw",
    [
        (1, "float32", array.array("f", SIGNAL.tolist())),
        (2, "int32", array.array("i", (SIGNAL * (2**31 - 1)).astype(int).tolist())),
        (8, "int16", array.array("h", (SIGNAL * 32767).astype(int).tolist())),
        (16, "int8", (SIGNAL * 127).astype(int).tolist()),
        (32, "uint8", bytes((SIGNAL * 127 + 128).astype(np.uint8))),
    ],
)
def test_typed_formats(number, field, raw):
    decoder = AudioDecoder()
    stamped = Message(header=None, audio=typed(number, channels=3, rate=44100, **{field: raw}))
    samples = decoder.decode(stamped)
    assert samples.shape == (2, 3) and decoder.format.rate == 44100
    np.testing.assert_allclose(samples.ravel(), SIGNAL, atol=1 / 100)
    assert decoder.decode(typed(number)).shape == (0, 1)


def test_odd_bytes_and_partial_frames_wait():
    raw = (np.arange(60) * 100).astype("<i2").tobytes()
    decoder = AudioDecoder(SoundFormat("S16LE", 2, 16000))
    cuts = [0, 1, 2, 3, 10, 11, 50, 97, 119, 120]
    parts = [decoder.decode(Message(data=raw[a:b])) for a, b in zip(cuts, cuts[1:])]
    np.testing.assert_allclose(np.concatenate(parts).ravel() * 32768, np.arange(60) * 100, atol=1e-3)
    decoder.decode(Message(data=b"\x01"))
    decoder.reset()
    assert decoder.decode(Message(data=raw[:4])).shape == (1, 2)


def test_a_new_format_drops_the_remainder_of_the_old():
    decoder = AudioDecoder()
    decoder.decode(Message(data=b"\x01\x02\x03"))
    decoder.set_info(apt_info("S8"))
    assert decoder.decode(Message(data=b"\x40")).tolist() == [[0.5]]


def test_nan_and_infinity_become_zero_and_are_counted():
    decoder = AudioDecoder()
    decoder.set_info(apt_info("F32LE"))
    raw = np.array([0.5, np.nan, np.inf, -np.inf, 3.0, -0.5], "<f4").tobytes()
    assert decoder.decode(Message(data=raw)).ravel().tolist() == [0.5, 0.0, 0.0, 0.0, 1.0, -0.5]
    assert decoder.bad_samples == 3


def test_stamps():
    header = Message(stamp=Message(sec=3, nanosec=500))
    assert stamp_of(Message(header=header)) == 3 * S + 500
    assert stamp_of(Message(header=Message(stamp=Message(sec=0, nanosec=0)))) is None
    assert stamp_of(Message(data=b"")) is None


@pytest.mark.parametrize(
    "info, words",
    [
        (apt_info(coding="wma"), "format:=wave"),
        (apt_info(rate=0), "0 Hz"),
        (apt_info(channels=0), "0 channels"),
        (apt_info("S17LE"), "S17LE"),
        (Message(format=64, channels=1, rate=16000, chunk=512), "PortAudio format 64"),
        (Message(format=8, channels=1, rate=0, chunk=512), "0 Hz"),
    ],
)
def test_formats_that_cannot_be_used(info, words):
    decoder = AudioDecoder()
    with pytest.raises(InputError, match=words):
        decoder.set_info(info)
    assert decoder.format == SoundFormat()  # the one before goes on
    assert decoder.decode(Message(data=b"\x00\x40")).tolist() == [[0.5]]


def test_a_message_that_is_not_sound():
    with pytest.raises(InputError, match="not sound"):
        AudioDecoder().decode(Message(text="hello"))


# Resampler


def tone(rate, seconds=1.0, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_streamed_resampling_keeps_time_and_stamps(rate):
    resampler = Resampler()
    sound, out, start = tone(rate), [], 5 * S
    step = rate // 70
    for i in range(0, len(sound), step):
        out += resampler.push(sound[i : i + step, None], rate, start + i * S // rate)
    out += resampler.flush()
    joined = np.concatenate([samples for samples, _ in out])
    assert len(joined) == pytest.approx(16_000, abs=2)
    inner = slice(400, 15_600)
    np.testing.assert_allclose(joined[inner], tone(16_000)[inner], atol=0.01)
    position = 0
    for samples, stamp in out:
        assert abs(stamp - (start + position * S // 16_000)) < 200_000  # 0.2 ms
        position += len(samples)


def test_sixteen_kilohertz_passes_untouched():
    sound = tone(16_000)
    ((samples, stamp),) = Resampler().push(sound, 16_000, 7)
    assert stamp == 7
    np.testing.assert_array_equal(samples, sound)


def test_the_end_before_a_hole_does_not_wait_for_the_sound_after_it():
    resampler = Resampler()
    first = resampler.push(tone(48_000), 48_000, 0)
    second = resampler.push(tone(48_000), 48_000, 10 * S)
    assert sum(len(s) for s, stamp in first + second if stamp < 2 * S) == 16_000
    assert second[-1][1] == 10 * S


def test_a_change_of_rate_in_the_middle():
    resampler = Resampler()
    out = resampler.push(tone(48_000), 48_000) + resampler.push(tone(8_000), 8_000) + resampler.flush()
    assert sum(len(s) for s, _ in out) == pytest.approx(32_000, abs=4)
    assert all(stamp is None for _, stamp in out)


def test_channels():
    both = np.stack([np.full(10, 0.2), np.full(10, 0.6)], axis=1).astype(np.float32)
    assert to_mono(both)[0] == pytest.approx(0.4)
    assert to_mono(both, 1)[0] == pytest.approx(0.6)
    with pytest.raises(InputError, match="channel 2"):
        to_mono(both, 2)
    with pytest.raises(InputError, match="0 Hz"):
        Resampler().push(both, 0)


# SpeechLevel


def run_level(sound):
    meter = SpeechLevel()
    return [meter.push(sound[i : i + 640]) for i in range(0, len(sound) - 639, 640)]


def noise(seconds, db):
    return (10 ** (db / 20) * np.random.default_rng(3).normal(size=int(16_000 * seconds))).astype(np.float32)


def syllables(seconds, db):
    """Noise in bursts of 4 Hz, as speech is loud and soft."""
    envelope = np.maximum(0.0, np.sin(2 * np.pi * 4 * np.arange(int(16_000 * seconds)) / 16_000))
    return noise(seconds, db) * envelope.astype(np.float32)


def test_silence_and_steady_noise_are_not_speech():
    assert not any(level.active for level in run_level(np.zeros(64_000, np.float32)))
    for db in (-70, -50, -35):
        levels = run_level(noise(6.0, db))
        assert not any(level.active or level.strength > 0.15 for level in levels[75:]), db


@pytest.mark.parametrize("db", [-40, -25, -10])
def test_speech_is_found_over_noise_at_any_level(db):
    levels = run_level(
        np.concatenate([noise(3.0, db - 25), syllables(3.0, db) + noise(3.0, db - 25), noise(2.0, db - 25)])
    )
    assert not any(level.active for level in levels[50:74])
    assert np.mean([level.active for level in levels[80:148]]) > 0.95
    assert max(level.strength for level in levels[75:150]) > 0.5
    assert not any(level.active for level in levels[165:])


def test_sound_that_did_not_arrive_teaches_nothing():
    meter = SpeechLevel()
    before = meter.push(noise(0.04, -40))
    for _ in range(100):
        level = meter.push(np.zeros(640, np.float32), known=False)
    assert level.floor_db == before.floor_db and level.strength == 0.0 and not level.active
