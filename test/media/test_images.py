import array
from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.images import encode_jpeg, rgb_bytes, to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GREY = np.repeat(RGB[:, :, :1], 3, axis=2)
ALPHA = np.full((5, 7, 1), 9, np.uint8)


def message(pixels, encoding, padding=0, carrier=bytes):
    rows = pixels.reshape(5, -1)
    step = rows.shape[1] + padding
    data = np.pad(rows, ((0, 0), (0, padding))).tobytes()
    return Message(height=5, width=7, encoding=encoding, step=step, data=carrier(data))


@pytest.mark.parametrize(
    "pixels, encoding, expected",
    [
        (RGB, "rgb8", RGB),
        (RGB[:, :, ::-1], "bgr8", RGB),
        (RGB[:, :, 0], "mono8", GREY),
        (np.concatenate([RGB, ALPHA], 2), "rgba8", RGB),
        (np.concatenate([RGB[:, :, ::-1], ALPHA], 2), "bgra8", RGB),
    ],
)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("carrier", [bytes, list, lambda b: array.array("B", b), lambda b: np.frombuffer(b, np.uint8)])
def test_encodings(pixels, encoding, expected, padding, carrier):
    image = to_rgb(message(np.ascontiguousarray(pixels), encoding, padding, carrier))
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable
    np.testing.assert_array_equal(image, expected)


def test_the_last_rows_padding_may_be_missing():
    whole = message(RGB, "rgb8", 3)
    whole.data = whole.data[:-3]
    np.testing.assert_array_equal(to_rgb(whole), RGB)


def test_rgb_bytes_is_what_rclpy_takes():
    data = rgb_bytes(RGB[:, ::-1])  # not contiguous
    assert isinstance(data, array.array) and data.typecode == "B"
    np.testing.assert_array_equal(np.frombuffer(data, np.uint8).reshape(RGB.shape), RGB[:, ::-1])


def test_compressed_there_and_back():
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    again = to_rgb(Message(format="jpeg", data=encode_jpeg(smooth, 95)))
    assert again.shape == smooth.shape and np.abs(again.astype(int) - smooth).mean() < 6


@pytest.mark.parametrize(
    "change, words",
    [
        ({"encoding": "16UC2"}, "encoding '16UC2'"),
        ({"height": 50}, "7x50 rgb8"),
        ({"step": 20}, "step 20"),
        ({"width": 0}, "0x5"),
        ({"data": b""}, "0 bytes"),
    ],
)
def test_images_that_do_not_fit(change, words):
    bad = message(RGB, "rgb8")
    vars(bad).update(change)
    with pytest.raises(InputError, match=words):
        to_rgb(bad)


@pytest.mark.parametrize("data", [b"", b"not a picture", list(b"nothing")])
def test_compressed_images_that_cannot_be_decoded(data):
    with pytest.raises(InputError, match="cannot be decoded"):
        to_rgb(Message(format="jpeg", data=data))


def test_pictures_of_another_kind_are_refused():
    for wrong in (RGB[:, :, 0], RGB.astype(np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InputError, match="uint8 RGB"):
            encode_jpeg(wrong)
