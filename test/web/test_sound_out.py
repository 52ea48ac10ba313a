"""The spoken sound in packets: whole, with its times, and nothing of silence."""

from __future__ import annotations

import numpy as np
import pytest

from avatar_forcing_ros.timeline import NANOSECONDS
from avatar_forcing_ros.web.sound_out import HANG_S, OpusCoder, SoundCutter
from avatar_forcing_ros.web.wire import OPUS, UTTERANCE


def push_all(cutter: SoundCutter, sound: np.ndarray, rate: int, piece: int, at_s: float = 10.0) -> list:
    packets = []
    for i in range(0, len(sound), piece):
        packets += cutter.push(sound[i : i + piece], rate, round((at_s + i / rate) * NANOSECONDS))
    return packets


@pytest.mark.parametrize(("rate", "piece"), [(16_000, 640), (24_000, 960), (48_000, 1000)])
def test_speech_leaves_whole_and_silence_does_not(rate, piece):
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(rate) / rate)
    sound = np.concatenate([np.zeros(rate), tone, np.zeros(rate), tone]).astype(np.float32)
    packets = push_all(SoundCutter(), sound, rate, piece)
    assert len(packets) == pytest.approx(2 * 50 + HANG_S * 50, abs=3)
    assert [i for i, p in enumerate(packets) if p.flags & UTTERANCE] == [0, pytest.approx(50 + HANG_S * 50, abs=2)]
    assert [p.sequence for p in packets] == list(range(1, len(packets) + 1))
    for packet in packets:  # what a packet holds is what the sound is at its time
        at = round((packet.time_s - 10.0) * rate)
        pcm = np.frombuffer(packet.payload, "<i2") / 32767
        assert np.abs(pcm - sound[at : at + len(pcm)]).max() < 1e-3


def test_stamps_that_move_are_followed():
    cutter = SoundCutter()
    tone = np.full(640, 0.5, np.float32)
    first = cutter.push(tone, 16_000, 10 * NANOSECONDS)
    later = cutter.push(tone, 16_000, 11 * NANOSECONDS)
    assert first[0].time_s == 10.0 and later[0].time_s == 11.0


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_opus_holds_the_same_sound_at_the_same_time(rate):
    import av

    tone = (0.5 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)).astype(np.float32)
    tone[: rate // 2] *= 0.1  # an edge that can be found again
    plain = push_all(SoundCutter(), tone, rate, rate // 25)
    coder, decoder = OpusCoder(), av.CodecContext.create("libopus", "r")
    decoder.sample_rate = 48_000
    sound, began = [], None
    for packet in plain:
        coded = coder.encode(packet)
        if coded is None:
            continue
        began = coded.time_s if began is None else began
        assert coded.codec == OPUS and len(coded.payload) < 200
        for frame in decoder.decode(av.Packet(coded.payload)):
            array = frame.to_ndarray().astype(np.float64)
            sound.append(array[0] if frame.format.is_planar else array[0].reshape(frame.samples, -1)[:, 0])
    heard = np.concatenate(sound)
    heard /= np.abs(heard).max()
    edge = np.argmax(np.abs(heard) > 0.6) / 48_000 + began
    assert edge == pytest.approx(10.5, abs=0.012)
