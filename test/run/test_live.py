"""What a live run makes of what its nodes say."""

import math
from types import SimpleNamespace

from avatar_forcing_ros.run.live import figures_of

NONE = SimpleNamespace(sec=0, nanosec=0)


def said(**values) -> SimpleNamespace:
    nothing = dict.fromkeys(("real_time_factor", "queued_images", "queued_motion", "queued_speech"), math.nan)
    return SimpleNamespace(**(nothing | {"first_image": NONE, "presentation_delay": NONE} | values))


def test_figures_are_those_that_nodes_have_and_the_first_image_is_timed_from_the_command():
    first = SimpleNamespace(sec=1002, nanosec=500_000_000)
    figures = figures_of(
        {
            "/avatar/renderer": said(real_time_factor=0.25, queued_motion=3.0, queued_speech=7.0, first_image=first),
            "/avatar/user/face": said(real_time_factor=0.1, queued_images=0.0),
            "/avatar/recorder": said(),
        },
        began=1000.0,
    )
    assert figures == {
        "real_time_factor": {"/avatar/renderer": 0.25, "/avatar/user/face": 0.1},
        "queues": {"/avatar/renderer: motion": 3.0, "/avatar/renderer: speech": 7.0, "/avatar/user/face: images": 0.0},
        "first_image_s": 2.5,
    }


def test_without_an_image_there_is_no_first_one():
    assert figures_of({"/avatar/renderer": said()}, began=0.0)["first_image_s"] is None
