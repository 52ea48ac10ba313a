"""Breaths before speech: what opens, what is heard, and when."""

import numpy as np
import pytest
from marks import needs_voices

from avatar_forcing_ros.audio.level import runs
from avatar_forcing_ros.learning.world import breaths
from avatar_forcing_ros.learning.world.conversation import make_conversation
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLE_RATE


@needs_voices
def test_the_mouth_opens_to_breathe_before_speech():
    """A breath that is heard comes with an open mouth, and ends where speech begins; lips that must meet first do."""
    talk = make_conversation(11, 60.0)
    jaw = talk.motion[..., rig.INDEX["jawOpen"]]
    opened = 0
    for person in (0, 1):
        for first, _ in runs(talk.speaking[person]):
            opened += first > 8 and bool((jaw[person, first - 7 : first - 3] > 0.06).all())
    assert opened >= 5
    starts = np.array([first for person in (0, 1) for first, _ in runs(talk.speaking[person])])
    assert opened < 0.9 * len(starts)  # and not always


def test_a_breath():
    rng = np.random.default_rng(0)
    drawn = [breaths.draw_breath(rng, 0.0, 2.0, "p" if i % 2 else "a", True) for i in range(400)]
    made = [b for b in drawn if b]
    assert 0.4 < len(made) / len(drawn) < 0.65
    assert breaths.draw_breath(rng, 1.8, 2.0, "a", True) is None  # no time for one
    for breath in made[:20]:
        sound = breaths.breath_sound(rng, breath, 1.0)
        assert breath.start + len(sound) / SAMPLE_RATE < breath.end == 2.0
        assert np.sqrt(np.mean(sound**2)) == pytest.approx(breath.level, rel=1e-3)
        power = np.abs(np.fft.rfft(sound)) ** 2
        hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
        assert power[(hertz > 400) & (hertz < 6000)].sum() > 0.95 * power.sum()
        jaw = breaths.breath_lips(breath, 60)[:, rig.INDEX["jawOpen"]]
        assert jaw.max() == pytest.approx(breath.opening, rel=1e-3)
        assert (jaw[: int(breath.start * FRAME_RATE) - 2] == 0).all() and (jaw[55:] == 0).all()
        assert (jaw[50] < 0.02) == breath.shuts
