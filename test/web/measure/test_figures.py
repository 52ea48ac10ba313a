"""From drawings and frames to figures: made series whose answer is known."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.timeline import FRAME_RATE
from avatar_forcing_ros.web.measure.figures import Drawn, Sent, capture_error_ms, drawn_frames, quantiles, reactions_ms

RNG = np.random.default_rng(1)
CAMERA_AGE_S = 0.17  # of the camera image in a frame, when the frame is due
PAGE_DELAY_S = 0.05


def session(fps: float, seconds: float = 4.0) -> tuple[list[Drawn], list[Sent]]:
    """A page that draws at `fps`, `PAGE_DELAY_S` after the frames are due, between two frames; every second frame has a new camera image."""
    count = int(seconds * FRAME_RATE)
    latents = np.cumsum(RNG.normal(0, 0.03, (count, 32)), axis=0).astype(np.float32)
    due = 1000.0 + np.arange(count) / FRAME_RATE
    sent = [Sent(i, latents[i], due[i], due[i // 2 * 2] - CAMERA_AGE_S) for i in range(count)]
    drawn = []
    for k in range(int(seconds * fps)):
        at = k / fps
        place = (at - PAGE_DELAY_S) * FRAME_RATE
        if 0 <= place < count - 1:
            i, share = int(place), place - int(place)
            latent = latents[i] + np.float32(share) * (latents[i + 1] - latents[i])
            drawn.append(Drawn(1000.0 + at, latent, np.full(64, 100.0 + 10 * k % 100)))
    return drawn, sent


def test_a_drawing_tells_which_frames_it_lies_between():
    drawn, sent = session(60)
    found = drawn_frames(drawn, sent)
    expected = np.array([(d.time_s - 1000.0 - PAGE_DELAY_S) * FRAME_RATE for d in drawn])
    assert np.nanmax(np.abs(found - expected)) < 0.05 and not np.isnan(found).any()


def test_reaction_is_from_capture_to_the_first_pixels_with_the_image_in_them():
    drawn, sent = session(100)
    values = reactions_ms(drawn, sent)
    # An image is in the pixels from the moment on at which the page leaves the frame before the first that used it.
    expected = 1000 * (CAMERA_AGE_S + PAGE_DELAY_S - 1 / FRAME_RATE)
    assert len(values) > 30
    assert all(expected - 1 < v < expected + 11 for v in values)


def test_pixels_that_do_not_change_are_no_reaction():
    drawn, sent = session(60)
    still = [Drawn(d.time_s, d.latent, np.zeros(64)) for d in drawn]
    assert reactions_ms(still, sent) == []
    assert reactions_ms([], sent) == [] and reactions_ms(drawn, []) == []


def test_latents_that_the_graph_never_sent_are_not_found():
    drawn, sent = session(60)
    other = [Drawn(d.time_s, d.latent + 0.5, d.grey) for d in drawn]
    assert np.isnan(drawn_frames(other, sent)).all()


def test_capture_error_and_quantiles():
    taken = [i / 25 for i in range(100)]
    assert capture_error_ms(taken, [i / 25 + 0.003 for i in range(10, 90)]) == 3.0
    assert capture_error_ms([], [1.0]) is None
    assert quantiles([]) == {"p50": None, "p95": None} and quantiles([1.0, 2.0, 3.0])["p50"] == 2.0
