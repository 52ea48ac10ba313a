"""Sample formats against their own definitions, WAV headers anywhere in a stream, compressed topics, and any chunk size."""

import struct
from types import SimpleNamespace as Message

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_forcing_ros.audio.compressed import CompressedSound, coding_of
from avatar_forcing_ros.audio.decode import AudioDecoder
from avatar_forcing_ros.audio.formats import SAMPLE_FORMATS, SoundFormat, sample_format_name
from avatar_forcing_ros.audio.wave import WaveStream
from avatar_forcing_ros.errors import InputError

SIGNAL = (0.6 * np.sin(np.arange(2400) * 0.05) + 0.2 * np.sin(np.arange(2400) * 0.31)).astype(np.float32)


def coded(name: str, signal: np.ndarray) -> bytes:
    """The signal in a sample format, from the format's name alone."""
    order, body = ("big" if name.endswith("BE") else "little"), name.removesuffix("LE").removesuffix("BE")
    if body in ("MULAW", "ALAW"):
        stream = av.CodecContext.create(f"pcm_{body.lower()}", "w")
        stream.sample_rate, stream.layout, stream.format = 8000, "mono", "s16"
        frame = av.AudioFrame.from_ndarray((signal * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = 8000
        return b"".join(bytes(p) for p in [*stream.encode(frame), *stream.encode(None)])
    if body.startswith("F"):
        return signal.astype(("<" if order == "little" else ">") + f"f{int(body[1:]) // 8}").tobytes()
    signed, bits = body[0] == "S", int(body[1:3].rstrip("_"))
    size = 4 if "_32" in body else bits // 8
    full = 2 ** (bits - 1)
    values = np.clip(np.rint(signal.astype(float) * full), -full, full - 1).astype(int) + (0 if signed else full)
    return b"".join(int(v).to_bytes(size, order, signed=signed) for v in values)


@pytest.mark.parametrize("name", SAMPLE_FORMATS)
def test_each_sample_format_gives_the_signal(name):
    form = SoundFormat(name, 2, 8000)
    samples, bad = form.read(coded(name, SIGNAL))
    assert samples.shape == (1200, 2) and samples.dtype == np.float32 and bad == 0
    tolerance = {"U8": 0.005, "S8": 0.005, "MULAW": 0.02, "ALAW": 0.02}.get(name, 1e-4)
    np.testing.assert_allclose(samples.ravel(), SIGNAL, atol=tolerance)


def test_the_upper_byte_of_24_in_32_bits_may_hold_anything():
    clean = np.frombuffer(coded("S24_32LE", SIGNAL), np.uint8).reshape(-1, 4).copy()
    clean[:, 3] = np.random.default_rng(0).integers(0, 256, len(clean))
    np.testing.assert_allclose(SoundFormat("S24_32LE").read(clean.tobytes())[0].ravel(), SIGNAL, atol=1e-4)


@pytest.mark.parametrize(
    "spelling, name",
    [
        ("s16le", "S16LE"), ("S16_LE", "S16LE"), ("pcm_s16le", "S16LE"), ("int16", "S16LE"), ("S16", "S16LE"), ("SND_PCM_FORMAT_S16_LE", "S16LE"),
        ("S24_LE", "S24_32LE"), ("S24_3LE", "S24LE"), ("S24LE", "S24LE"), ("S24_32BE", "S24_32BE"), ("pcm_s24be", "S24BE"),
        ("FLOAT_LE", "F32LE"), ("float32", "F32LE"), ("F32", "F32LE"), ("mu-law", "MULAW"), ("PCMU", "MULAW"), ("ulaw", "MULAW"), ("A_LAW", "ALAW"),
        ("u8", "U8"), ("S17LE", "S17LE"),
    ],
)  # fmt: skip
def test_spellings(spelling, name):
    assert sample_format_name(spelling) == name


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(SAMPLE_FORMATS)), st.integers(1, 6), st.lists(st.integers(0, 70), min_size=1, max_size=40)
)
def test_sound_does_not_depend_on_how_its_bytes_are_cut(name, channels, cuts):
    data = coded(name, SIGNAL[:240]) if "LAW" not in name else bytes(range(240))
    decoder = AudioDecoder(SoundFormat(name, channels, 16_000))
    decoder.set_info(
        Message(channels=channels, sample_rate=16_000, sample_format=name, bitrate=0, coding_format="wave")
    )
    parts, at = [], 0
    for cut in [*cuts, len(data)]:
        parts.append(decoder.decode(Message(data=data[at : at + cut])))
        at += cut
    joined = np.concatenate(parts)
    frames = len(data) // (SAMPLE_FORMATS[name].size * channels)
    # A few bytes at the very end may wait, in case a header begins there.
    assert joined.shape[1] == channels and frames - 12 <= len(joined) <= frames
    whole, _ = SoundFormat(name, channels).read(data[: len(joined) * SAMPLE_FORMATS[name].size * channels])
    np.testing.assert_array_equal(joined, whole)


def wav(
    body: bytes, rate: int = 16_000, size: int | None = None, code: int = 1, bits: int = 16, extra: bytes = b""
) -> bytes:
    size = len(body) if size is None else size
    head = struct.pack("<HHIIHH", code, 1, rate, rate * bits // 8, bits // 8, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + min(size, 2**32 - 37))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + extra
        + b"data"
        + struct.pack("<I", size)
        + body
    )


PCM = coded("S16LE", SIGNAL)
LIST = b"LIST" + struct.pack("<I", 10) + b"INFOabcdef"


def heard(stream: WaveStream, data: bytes, cut: int) -> bytes:
    out = [part for k in range(0, len(data), cut) for _, part in stream.push(data[k : k + cut])]
    return b"".join(out + [part for _, part in stream.finish()])


@pytest.mark.parametrize("cut", [1, 7, 100, 10**6])
@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF, 2_000_000_000, 100])
def test_headers_with_any_size_and_glued_files(cut, size):
    data = wav(PCM, size=size) + wav(PCM, extra=LIST) + LIST + wav(PCM, size=size)
    stream = WaveStream(SoundFormat())
    sound = heard(stream, data, cut)
    assert stream.headers == 3
    # Only a chunk behind sound whose size is wrong cannot be told from sound.
    assert sound == 3 * PCM


def test_a_stream_without_headers_is_sound_and_raw_sound_may_follow_a_file():
    assert heard(WaveStream(SoundFormat()), PCM, 50) == PCM
    assert heard(WaveStream(SoundFormat()), wav(PCM) + PCM, 333) == 2 * PCM


def test_a_header_changes_the_format_and_one_that_cannot_be_read_is_told():
    stream = WaveStream(SoundFormat())
    assert [(f.rate, len(p)) for f, p in stream.push(wav(PCM, 24_000) + wav(PCM, 8_000))] == [
        (24_000, 4800),
        (8_000, 4800),
    ]
    with pytest.raises(InputError, match="coding 2 with 4 bits"):
        stream.push(wav(PCM, code=2, bits=4))
    assert stream.push(b"\1" * 500) == []  # what belongs to it is not noise
    assert stream.push(wav(PCM, 22_050))[0][0].rate == 22_050


def test_sentences_with_headers_on_a_topic():
    decoder = AudioDecoder(SoundFormat("S16LE", 1, 16_000))
    pieces = [p for k in range(4) for p in decoder.pieces(Message(data=wav(PCM, 24_000, 0xFFFFFFFF)))]
    assert {rate for _, rate in pieces} == {24_000} and sum(len(s) for s, _ in pieces) == 4 * 2400
    assert decoder.wave_headers == 4


def compressed_sound(codec: str, rate: int, seconds: float = 2.0, **options) -> tuple[list[bytes], np.ndarray]:
    context = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.bit_rate = rate, "mono", 64_000
    context.format = {"libmp3lame": "s16p", "libopus": "s16", "aac": "fltp", "flac": "s16"}[codec]
    tone = (0.4 * np.sin(2 * np.pi * 300 * np.arange(round(rate * seconds)) / rate)).astype(np.float32)
    step = {"libmp3lame": 1152, "libopus": 960, "aac": 1024, "flac": 1152}[codec]
    out = []
    for at in [*range(0, len(tone) - step + 1, step), None]:
        frame = None
        if at is not None:
            values = tone[at : at + step][None]
            values = values if context.format.name == "fltp" else (values * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), context.format.name, "mono")
            frame.sample_rate, frame.pts = rate, at
        out += [bytes(p) for p in context.encode(frame)]
    return out, tone


def level(pieces: list) -> tuple[float, float]:
    """(seconds, RMS of the middle)."""
    sound = np.concatenate([s.mean(axis=1) for s, _ in pieces])
    rate = pieces[-1][1]
    return len(sound) / rate, float(np.sqrt(np.mean(sound[len(sound) // 4 : -len(sound) // 4] ** 2)))


@pytest.mark.parametrize("cut", [1, 100, 417, 10_000])
def test_mp3_cut_anywhere_and_glued(cut):
    packets, _ = compressed_sound("libmp3lame", 16_000)
    data = b"".join(packets)
    data = data + b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + data
    decoder = CompressedSound("mp3")
    pieces = [p for k in range(0, len(data), cut) for p in decoder.push(data[k : k + cut])]
    seconds, rms = level(pieces)
    assert seconds == pytest.approx(4.0, abs=0.4) and rms == pytest.approx(0.283, rel=0.1)


def test_opus_packets_and_ogg_pages():
    packets, _ = compressed_sound("libopus", 48_000)
    decoder = CompressedSound("opus")
    seconds, rms = level([p for packet in packets for p in decoder.push(packet)])
    assert seconds == pytest.approx(2.0, abs=0.05) and rms == pytest.approx(0.283, rel=0.1)


def test_ogg_opus_in_pieces(tmp_path):
    with av.open(str(tmp_path / "o.ogg"), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        tone = (0.4 * np.sin(2 * np.pi * 300 * np.arange(96_000) / 48_000) * 32767).astype(np.int16)
        for at in range(0, 96_000, 960):
            frame = av.AudioFrame.from_ndarray(tone[at : at + 960][None], "s16", "mono")
            frame.sample_rate, frame.pts = 48_000, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = (tmp_path / "o.ogg").read_bytes() * 2  # glued
    for cut in (50, 1000, 10**6):
        decoder = CompressedSound("ogg")
        pieces = [p for k in range(0, len(data), cut) for p in decoder.push(data[k : k + cut])]
        seconds, rms = level(pieces)
        assert seconds == pytest.approx(4.0, abs=0.1) and rms == pytest.approx(0.283, rel=0.1)


def test_damaged_packets_are_left_out_and_counted():
    packets, _ = compressed_sound("libmp3lame", 16_000)
    data = bytearray(b"".join(packets))
    for at in range(1000, len(data) - 200, 2500):
        data[at : at + 60] = bytes(60)
    decoder = CompressedSound("mp3")
    seconds, _ = level([p for k in range(0, len(data), 500) for p in decoder.push(bytes(data[k : k + 500]))])
    assert seconds > 1.2


def test_a_topic_of_mp3_without_a_description_is_known_by_its_looks():
    packets, _ = compressed_sound("libmp3lame", 16_000)
    data = b"".join(packets)
    assert coding_of("", data) == "mp3" and coding_of("", PCM) is None and coding_of("", b"OggS...") == "ogg"
    decoder = AudioDecoder()
    pieces = [p for k in range(0, len(data), 1000) for p in decoder.pieces(Message(data=data[k : k + 1000]))]
    assert level(pieces)[1] == pytest.approx(0.283, rel=0.1)


@pytest.mark.parametrize("coding", ["mp3", "opus", "MP3", "aac", "flac", "ogg"])
def test_a_description_chooses_the_coding(coding):
    decoder = AudioDecoder()
    decoder.set_info(Message(channels=1, sample_rate=16_000, sample_format="", bitrate=0, coding_format=coding))
    assert decoder.pieces(Message(data=b"")) == []
    decoder.set_info(Message(channels=1, sample_rate=16_000, sample_format="S16LE", bitrate=0, coding_format="wave"))
    assert len(decoder.decode(Message(data=PCM))) == 2400


def test_g711_as_a_coding():
    decoder = AudioDecoder()
    decoder.set_info(Message(channels=1, sample_rate=8000, sample_format="U8", bitrate=0, coding_format="mulaw"))
    np.testing.assert_allclose(decoder.decode(Message(data=coded("MULAW", SIGNAL))).ravel(), SIGNAL, atol=0.02)


def test_portaudio_24_bits():
    fields = {f"{k}_data": [] for k in ("float32", "int32", "int16", "int8")}
    message = Message(
        audio_data=Message(**fields, uint8_data=coded("S24LE", SIGNAL)),
        info=Message(format=4, channels=1, rate=16_000, chunk=1),
    )
    np.testing.assert_allclose(AudioDecoder().decode(message).ravel(), SIGNAL, atol=1e-4)
