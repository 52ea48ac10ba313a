"""Packets of a video codec, as ffmpeg_image_transport and web cameras send them, decoded one by one through PyAV."""

from __future__ import annotations

import av
import numpy as np

from avatar_forcing_ros.errors import InputError

# What an encoder or codec may be called -> the decoder's name. The first part that is found counts.
CODECS = {
    "h264": "h264", "x264": "h264", "avc": "h264",
    "hevc": "hevc", "h265": "hevc", "x265": "hevc",
    "av1": "libdav1d", "vp9": "vp9", "vp8": "vp8", "mpeg4": "mpeg4", "ffv1": "ffv1",
}  # fmt: skip
_PATIENCE = 250  # packets without a picture before it is an error: a key frame comes every few seconds
_KEPT_STAMPS = 64  # of packets whose picture has not come


def codec_of(encoding: str) -> str | None:
    """The decoder for a packet's encoding, such as 'h264', 'libx264' or 'hevc_nvenc;nv12;bgr8;bgr8'; None where there is none."""
    name = encoding.split(";")[0].strip().lower()
    return next((decoder for part, decoder in CODECS.items() if part in name), None)


class PacketDecoder:
    """Decodes one stream of packets. Packets that are damaged, or come before the first key frame, are skipped and counted."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self.skipped = 0
        self.reset()

    def reset(self) -> None:
        self._codec: str | None = None
        self._context: av.VideoCodecContext | None = None
        self._stamps: dict[int, int] = {}  # number of a packet -> its stamp in ns
        self._number = 0
        self._without = 0  # packets since the last picture

    def decode(self, codec: str | None, data: bytes, stamp_ns: int) -> list[tuple[int, np.ndarray]]:
        """(stamp in ns, (H, W, 3) uint8 RGB) of the pictures that this packet completes, none or some.

        codec: as `codec_of` gives it. Raises InputError for an unknown one, and where no packet can be decoded.
        """
        if codec is None:
            raise InputError(
                f"packets of video are of a codec that is not read: use one of {', '.join(sorted(set(CODECS)))}"
            )
        if codec != self._codec:
            self.reset()
            self._codec = codec
            self._context = self._open(codec)
        self._number += 1
        self._stamps[self._number] = stamp_ns
        while len(self._stamps) > _KEPT_STAMPS:
            del self._stamps[next(iter(self._stamps))]
        pictures = []
        try:
            packet = av.Packet(data)
            packet.pts = packet.dts = self._number
            if data and self._context is not None:
                pictures = [self._picture(frame) for frame in self._context.decode(packet)]
        except (av.error.FFmpegError, ValueError, MemoryError, EOFError):
            self.skipped += 1
        self._without = 0 if pictures else self._without + 1
        if self._without >= _PATIENCE:
            self._without = 0
            raise InputError(
                f"{_PATIENCE} packets of {codec} video gave no picture: let the encoder send a key frame every second or two"
            )
        return pictures

    def _open(self, codec: str) -> av.VideoCodecContext:
        try:
            context = av.CodecContext.create(codec, "r")
        except (av.error.FFmpegError, ValueError) as error:  # a PyAV that was built without it
            raise InputError(f"video of the codec {codec} cannot be decoded by this PyAV: {error}") from error
        context.thread_count = 1
        context.options = {"max_pixels": str(self._max_pixels), "flags": "low_delay"}
        return context

    def _picture(self, frame: av.VideoFrame) -> tuple[int, np.ndarray]:
        stamp = self._stamps.pop(frame.pts, None) if frame.pts is not None else None
        if stamp is None:
            stamp = next(reversed(self._stamps.values()), 0)
        return stamp, frame.to_ndarray(format="rgb24")
