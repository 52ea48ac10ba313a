"""Faces drawn smaller than they are shown."""

import threading
from types import SimpleNamespace

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.smaller import ScaledFace
from avatar_forcing_ros.motion.space import make_avatar


def test_a_smaller_face_shows_the_same_picture_at_the_same_size():
    face = ScaledFace(lambda size: make_avatar("screen_face", size=size), (256, 256))
    whole = face.render(face.rest)
    assert face.space == rig.SPACE and whole.shape == (256, 256, 3)
    face.want(0.5)
    face.join()
    image = face.render(face.rest)
    assert face.scale == 0.5 and image.shape == whole.shape
    assert not np.array_equal(image, whole) and np.abs(image.astype(int) - whole).mean() < 6
    face.want(1.0)
    assert np.array_equal(face.render(face.rest), whole)


def test_the_face_before_stays_until_the_smaller_one_is_there_and_each_is_made_once():
    may_go, made = threading.Event(), []

    def make(size):
        made.append(size)
        if len(made) > 1:
            may_go.wait(30)
        return SimpleNamespace(
            space=rig.SPACE, draws_blocks=False, notes=(), rest=rig.neutral(), render=lambda latent, frame: size
        )

    face = ScaledFace(make, (512, 256))
    face.want(0.75)
    face.want(0.5)  # while the other one is being made
    assert face.scale == 1.0 and face.render(face.rest) == (512, 256)
    may_go.set()
    face.join()
    assert face.scale == 0.5 and made[-1] == (256, 128)
    face.want(1.0)
    face.want(0.5)
    face.join()
    assert made.count((256, 128)) == 1


def test_a_face_with_a_size_of_its_own_keeps_it():
    face = ScaledFace(
        lambda size: SimpleNamespace(
            space="lia512", draws_blocks=True, notes=(), rest=np.zeros(512), render_block=lambda x, f: x
        ),
        (512, 512),
    )
    face.want(0.5)
    assert face.scale == 1.0 and face.render_block("latents") == "latents"
