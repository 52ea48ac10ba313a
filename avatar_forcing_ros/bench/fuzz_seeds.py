"""Good inputs of every kind, small, made here: what the fuzzer mutates."""

from __future__ import annotations

import io
import struct
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np


def _picture() -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 48))
    return np.stack([x, y, (x + y) / 2], axis=2).astype(np.uint8)


@cache
def raw_images() -> list[bytes]:
    return [_picture().tobytes(), _picture()[..., 0].tobytes(), np.linspace(0, 1, 64 * 48, dtype=np.float32).tobytes()]


@cache
def compressed_images() -> list[bytes]:
    image = _picture()
    kinds = [
        (".jpg", image), (".png", image), (".webp", image), (".jpg", image[..., 0]), (".png", image[..., 0].astype(np.uint16) * 257),
        (".png", np.dstack([image, image[..., :1]])),
    ]  # fmt: skip
    made = [cv2.imencode(ending, pixels)[1].tobytes() for ending, pixels in kinds]
    made.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    made.append(cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())
    made.append(cv2.imencode(".bmp", image)[1].tobytes())
    from PIL import Image

    for mode, ending in (("P", "PNG"), ("P", "GIF"), ("RGB", "TIFF")):
        file = io.BytesIO()
        Image.fromarray(image).convert(mode).save(file, ending)
        made.append(file.getvalue())
    return made


@cache
def packets() -> list[bytes]:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.options = {"preset": "ultrafast", "tune": "zerolatency"}
    context.gop_size = 4
    made = []
    for k in range(8):
        frame = av.VideoFrame.from_ndarray(np.roll(_picture(), 4 * k, axis=1), format="rgb24")
        frame.pts = k
        made += [bytes(p) for p in context.encode(frame)]
    return made


def _tone(rate: int, seconds: float) -> np.ndarray:
    return (12_000 * np.sin(2 * np.pi * 300 * np.arange(round(rate * seconds)) / rate)).astype("<i2")


@cache
def waves() -> list[bytes]:
    made = []
    for rate, size in ((16_000, None), (24_000, 0xFFFFFFFF), (8_000, 0)):
        body = _tone(rate, 0.1).tobytes()
        size = len(body) if size is None else size
        head = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
        made.append(
            b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + b"WAVEfmt " + struct.pack("<I", 16) + head + b"data"
            + struct.pack("<I", size) + body
        )  # fmt: skip
    return [*made, b"".join(made)]


def _coded(codec: str, ending: str, rate: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sound{ending}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout="mono")
            step = stream.codec_context.frame_size or 1024
            tone = _tone(rate, 0.4)
            for at in range(0, len(tone), step):
                frame = av.AudioFrame.from_ndarray(tone[at : at + step][None], "s16", "mono")
                frame.sample_rate, frame.pts = rate, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


@cache
def mp3s() -> list[bytes]:
    one = _coded("libmp3lame", ".mp3", 16_000)
    return [one, one + one, _coded("libopus", ".ogg", 48_000)]


@cache
def sound_topics() -> list[bytes]:
    return [*waves(), *mp3s(), _tone(16_000, 0.1).tobytes()]


@cache
def bags(storage: str) -> list[bytes]:
    from rosbags.rosbag2 import StoragePlugin, Writer

    from avatar_forcing_ros.media.bag_types import message_types

    store = message_types()
    types = store.types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](5, 0), "")
    image = types["sensor_msgs/msg/Image"](header, 48, 64, "rgb8", 0, 192, _picture().reshape(-1))
    data = types["audio_common_msgs/msg/AudioData"](_tone(16_000, 0.02).view(np.uint8))
    sound = types["audio_common_msgs/msg/AudioDataStamped"](header, data)
    with tempfile.TemporaryDirectory() as folder:
        with Writer(Path(folder) / "bag", version=8, storage_plugin=StoragePlugin[storage.upper()]) as writer:
            for kind, message, topic in (
                ("sensor_msgs/msg/Image", image, "/camera"),
                ("audio_common_msgs/msg/AudioDataStamped", sound, "/sound"),
            ):
                connection = writer.add_connection(topic, kind, typestore=store)
                for k in range(4):
                    writer.write(connection, (5 * 25 + k) * 40_000_000, store.serialize_cdr(message, kind))
        return [next(p for p in (Path(folder) / "bag").iterdir() if p.suffix != ".yaml").read_bytes()]


@cache
def weights(ending: str) -> list[bytes]:
    import torch
    from safetensors.torch import save

    tensors = {"layer.weight": torch.arange(64.0).reshape(8, 8), "layer.bias": torch.zeros(8)}
    if ending == ".safetensors":
        return [save(tensors, {"format": "avatar_forcing_ros"})]
    made = []
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
        made.append(file.getvalue())
    return made


@cache
def numbers() -> list[bytes]:
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.3, size).astype("<f4").tobytes() for size in (32, 320, 640, 6400)]
