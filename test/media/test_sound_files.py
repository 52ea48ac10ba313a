"""Sound files as servers of synthetic speech and broken disks leave them: all that can be decoded is heard, the rest is told."""

import struct

import av
import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.grid import audio_16k
from avatar_forcing_ros.media.open import open_media

T = np.arange(32_000) / 16_000
CHIRP = (0.4 * np.sin(2 * np.pi * (60 * T + 50 * T**2))).astype(np.float32)


def wav(body: bytes, rate: int = 16_000, size: int | None = None, bits: int = 16, code: int = 1) -> bytes:
    size = len(body) if size is None else size
    head = struct.pack("<HHIIHH", code, 1, rate, rate * bits // 8, bits // 8, bits)
    return (
        b"RIFF"
        + struct.pack("<I", min(36 + size, 2**32 - 1))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + b"data"
        + struct.pack("<I", size)
        + body
    )


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def heard(path) -> np.ndarray:
    return np.concatenate(list(audio_16k(open_media(str(path)))))


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF, 2_000_000_000, 1000])
def test_one_file_with_any_size_in_its_header(tmp_path, size):
    (tmp_path / "a.wav").write_bytes(wav(pcm(CHIRP), size=size))
    np.testing.assert_allclose(heard(tmp_path / "a.wav"), CHIRP, atol=1e-3)


def test_glued_files_are_heard_in_full_and_told(tmp_path, caplog):
    third = len(CHIRP) // 3
    data = b"".join(
        wav(pcm(part), size=0xFFFFFFFF if k == 1 else None)
        for k, part in enumerate((CHIRP[:third], CHIRP[third : 2 * third], CHIRP[2 * third :]))
    )
    (tmp_path / "g.wav").write_bytes(data)
    np.testing.assert_allclose(heard(tmp_path / "g.wav"), CHIRP, atol=1e-3)
    assert "holds 3 WAV files" in caplog.text
    assert open_media(str(tmp_path / "g.wav")).duration == pytest.approx(2.0, abs=0.001)


def test_glued_files_of_different_formats(tmp_path):
    slow = CHIRP[::2]  # 8 kHz
    wide = (CHIRP.astype(float) * (2**23 - 1)).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    (tmp_path / "g.wav").write_bytes(wav(pcm(slow), 8000) + wav(wide, bits=24) + wav(CHIRP.tobytes(), bits=32, code=3))
    assert len(heard(tmp_path / "g.wav")) == pytest.approx(6 * 16_000, abs=40)


def test_half_a_sample_at_the_end(tmp_path):
    (tmp_path / "o.wav").write_bytes(wav(pcm(CHIRP)[:-1], size=0xFFFFFFFF))
    assert len(heard(tmp_path / "o.wav")) == len(CHIRP) - 1


def test_an_empty_one_is_an_error(tmp_path):
    for size in (0, 0xFFFFFFFF):
        (tmp_path / "e.wav").write_bytes(wav(b"", size=size))
        with pytest.raises(InputError, match="is empty"):
            open_media(str(tmp_path / "e.wav"))


def encode(path, codec: str, rate: int = 16_000) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        step = stream.codec_context.frame_size or 1024
        tone = np.interp(np.arange(2 * rate) / rate, T, CHIRP).astype(np.float32)
        for at in range(0, len(tone), step):
            frame = av.AudioFrame.from_ndarray((tone[at : at + step] * 32767).astype(np.int16)[None], "s16", "mono")
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("name, codec, rate", [("a.mp3", "libmp3lame", 24_000), ("a.ogg", "libopus", 48_000)])
def test_glued_sentences_of_compressed_sound(tmp_path, name, codec, rate):
    one = encode(tmp_path / name, codec, rate)
    (tmp_path / f"glued_{name}").write_bytes(3 * one)
    sound = heard(tmp_path / f"glued_{name}")
    assert len(sound) / 16_000 == pytest.approx(6.0, abs=0.35)
    for k in range(3):  # each sentence is there
        part = sound[round((2 * k + 0.3) * 16_000) : round((2 * k + 1.7) * 16_000)]
        assert np.sqrt(np.mean(part**2)) == pytest.approx(0.283, rel=0.1)


def test_damage_in_the_middle_costs_only_itself_and_is_told(tmp_path, caplog):
    data = bytearray(encode(tmp_path / "a.mp3", "libmp3lame", 16_000))
    middle = len(data) // 2
    data[middle : middle + 700] = np.random.default_rng(1).integers(0, 256, 700, np.uint8).tobytes()
    (tmp_path / "d.mp3").write_bytes(bytes(data))
    assert len(heard(tmp_path / "d.mp3")) > 26_000
    assert "is damaged at" in caplog.text and "the rest is used" in caplog.text


def test_a_file_of_nothing_that_can_be_decoded(tmp_path):
    data = bytearray(encode(tmp_path / "a.mp3", "libmp3lame"))
    data[200:] = bytes(len(data) - 200)
    (tmp_path / "n.mp3").write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged|is empty|cannot read"):
        heard(tmp_path / "n.mp3")


def test_samples_of_64_bits(tmp_path):
    """A rare width that FFmpeg reads and NumPy is not handed."""
    path = tmp_path / "wide.wav"
    path.write_bytes(wav((CHIRP.astype(np.float64) * 2.0**63).astype("<i8").tobytes(), bits=64))
    np.testing.assert_allclose(heard(path), CHIRP, atol=1e-4)
