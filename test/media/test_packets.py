"""Packets of ffmpeg_image_transport."""

from fractions import Fraction
from types import SimpleNamespace as Message

import av
import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.camera.packets import codec_of
from avatar_forcing_ros.media.images import CameraDecoder, ImageLimits

NS = 1_000_000_000
ENCODERS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"},
    "libvpx": {"deadline": "realtime"},
}


def film(count: int = 12) -> list[np.ndarray]:
    ramp = np.linspace(0, 150, 96, dtype=np.uint8)
    return [
        np.dstack([np.full((64, 96), 40 + 12 * k), np.tile(ramp, (64, 1)), np.full((64, 96), 90)]).astype(np.uint8)
        for k in range(count)
    ]


def packets(encoder: str, images: list[np.ndarray], encoding: str) -> list[Message]:
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt, context.framerate, context.time_base = (
        96,
        64,
        "yuv420p",
        Fraction(25),
        Fraction(1, 25),
    )
    context.options, context.gop_size, context.bit_rate = ENCODERS[encoder], 6, 2_000_000
    frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in images]
    for k, frame in enumerate(frames):
        frame.pts = k
    coded = [p for frame in [*frames, None] for p in context.encode(frame)]
    return [packet_message(bytes(p), k, encoding) for k, p in enumerate(coded)]


def packet_message(data: bytes, k: int, encoding: str) -> Message:
    header = Message(stamp=Message(sec=k, nanosec=5))
    return Message(header=header, width=96, height=64, encoding=encoding, pts=k, flags=0, is_bigendian=False, data=data)


@pytest.mark.parametrize(
    "encoder, encoding",
    [("libx264", "libx264"), ("libx264", "h264;yuv420p;bgr8;bgr8"), ("libx265", "hevc_nvenc"), ("libvpx", "vp8")],
)
def test_a_film_of_packets(encoder, encoding):
    images, decoder = film(), CameraDecoder()
    seen = [pair for message in packets(encoder, images, encoding) for pair in decoder.decode(message)]
    assert len(seen) >= len(images) - 1
    for stamp, image in seen:
        k = stamp // NS
        assert stamp % NS == 5 and np.abs(image.astype(int) - images[k]).mean() < 12


def test_who_joins_late_waits_for_a_key_frame_and_damage_is_skipped():
    images, decoder = film(18), CameraDecoder()
    sent = packets("libx264", images, "h264")
    sent[8].data = bytes(len(sent[8].data))
    seen = [stamp // NS for message in sent[3:] for stamp, _ in decoder.decode(message)]
    assert decoder.skipped_packets >= 1
    assert [k for k in seen if k >= 12] == list(range(12, 18)) or [k for k in seen if k >= 12] == list(range(12, 17))
    assert all(np.diff(seen) > 0)


def test_a_stream_that_never_shows_anything_is_told():
    decoder = CameraDecoder()
    with pytest.raises(InputError, match="key frame"):
        for k in range(300):
            decoder.decode(packet_message(b"\0\0\0\1\x67" + bytes(50), k, "h264"))


def test_unknown_codecs_are_named():
    with pytest.raises(InputError, match="h264"):
        CameraDecoder().decode(packet_message(b"123", 0, "cinepak"))
    assert (
        codec_of("h264_vaapi") == "h264"
        and codec_of("libx265;x") == "hevc"
        and codec_of("rgb8; jpeg compressed bgr8") is None
    )


def test_a_packet_larger_than_allowed_is_not_decoded():
    decoder = CameraDecoder(ImageLimits(max_pixels=64 * 64))
    assert not [pair for message in packets("libx264", film(3), "h264") for pair in decoder.decode(message)]
    assert decoder.skipped_packets == 3
