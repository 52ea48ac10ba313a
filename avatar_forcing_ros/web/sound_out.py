"""The spoken sound, cut into packets for the pages. Silence costs nothing; what was said carries the time it is heard."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from avatar_forcing_ros.timeline import NANOSECONDS
from avatar_forcing_ros.web.wire import OPUS, PCM16, UTTERANCE, SoundPacket

PACKET_S = 0.02  # PCM of 24 kHz still fits one datagram
SILENT = 10 ** (-66 / 20)  # peak
HANG_S = 0.2  # so much silence is still sent after something was heard
OPUS_RATE = 48_000
OPUS_BITS_PER_S = 32_000
_OPUS_RATES = (48_000, 24_000, 16_000, 12_000, 8_000)
_OPUS_DELAY_S = 0.0065  # by which what a decoder gives is later than what was put in
_STEP_NS = 3_000_000  # a stamp this far from the count of samples begins anew


class SoundCutter:
    """Sound with stamps in, packets of 20 ms out. Not thread-safe."""

    def __init__(self) -> None:
        self._rate = 0
        self._waiting = np.zeros(0, np.float32)
        self._at_ns = 0  # of the first sample that waits
        self._quiet_s = HANG_S
        self._sequence = 0

    def push(self, samples: np.ndarray, rate: int, stamp_ns: int) -> list[SoundPacket]:
        """samples (n,) float32 in [-1, 1], mono; stamp_ns: when the first one is heard."""
        expected = self._at_ns + len(self._waiting) * NANOSECONDS // max(self._rate, 1)
        if rate != self._rate or abs(stamp_ns - expected) > _STEP_NS or not len(self._waiting):
            self._rate, self._waiting, self._at_ns = rate, np.zeros(0, np.float32), stamp_ns
        self._waiting = np.concatenate([self._waiting, samples])
        size, packets = round(rate * PACKET_S), []
        while len(self._waiting) >= size:
            piece, self._waiting = self._waiting[:size], self._waiting[size:]
            packet = self._packet(piece)
            self._at_ns += size * NANOSECONDS // rate
            if packet is not None:
                packets.append(packet)
        return packets

    @property
    def speaking(self) -> bool:
        return self._quiet_s < HANG_S

    def _packet(self, piece: np.ndarray) -> SoundPacket | None:
        was_quiet = not self.speaking
        quiet = float(np.abs(piece).max(initial=0.0)) < SILENT
        self._quiet_s = self._quiet_s + PACKET_S if quiet else 0.0
        if not self.speaking:
            return None
        pcm = np.clip(np.rint(piece * 32767.0), -32768, 32767).astype("<i2").tobytes()
        self._sequence += 1
        flags = UTTERANCE if was_quiet else 0
        return SoundPacket(self._sequence, self._at_ns / NANOSECONDS, self._rate, pcm, PCM16, flags)


class OpusCoder:
    """PCM packets of 20 ms -> Opus packets, one for one, each with the time of what it holds."""

    def __init__(self) -> None:
        self._coder: Any = None
        self._rate = 0
        self._position = 0

    def encode(self, packet: SoundPacket) -> SoundPacket | None:
        """None while the coder has nothing to give yet."""
        import av

        pcm, rate = np.frombuffer(packet.payload, "<i2"), packet.rate
        if rate not in _OPUS_RATES:
            rate = OPUS_RATE
            pcm = np.interp(np.linspace(0, len(pcm) - 1, rate // 50), np.arange(len(pcm)), pcm).astype(np.int16)
        if rate != self._rate:
            self._open(rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm[None]), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, self._position, Fraction(1, rate)
        self._position += len(pcm)
        coded = b"".join(bytes(p) for p in self._coder.encode(frame))
        if not coded:
            return None
        return SoundPacket(packet.sequence, packet.time_s - _OPUS_DELAY_S, OPUS_RATE, coded, OPUS, packet.flags)

    def _open(self, rate: int) -> None:
        import av

        self._rate, self._position = rate, 0
        self._coder = av.CodecContext.create("libopus", "w")
        self._coder.sample_rate, self._coder.layout, self._coder.format = rate, "mono", "s16"
        self._coder.bit_rate = OPUS_BITS_PER_S
        self._coder.options = {"application": "voip", "frame_duration": "20"}
        self._coder.time_base = Fraction(1, rate)
