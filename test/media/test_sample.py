"""The sample conversation is what its README says."""

import numpy as np
import pytest

from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.audio.level import SpeechLevel
from avatar_forcing_ros.media.grid import audio_16k, video_on_grid
from avatar_forcing_ros.media.open import check_sound, open_media
from avatar_forcing_ros.motion import rig

FRAMES = 420


def active(path):
    sound = np.concatenate(list(audio_16k(open_media(str(path)))))[: FRAMES * 640]
    meter = SpeechLevel()
    return np.array([meter.push(sound[i : i + 640]).active for i in range(0, len(sound) - 639, 640)])


def test_files_are_small_and_fit_each_other():
    folder = SAMPLE_USER_VIDEO.parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    user, avatar = open_media(str(SAMPLE_USER_VIDEO)), open_media(str(SAMPLE_AVATAR_AUDIO))
    assert user.duration == pytest.approx(FRAMES / 25, abs=0.05) and avatar.duration == pytest.approx(FRAMES / 25)
    check_sound(user)
    check_sound(avatar)
    images = [image.shape for _, image in video_on_grid(user)]
    assert images == [(512, 512, 3)] * FRAMES


def test_they_take_turns_and_overlap_a_little():
    user, avatar = active(SAMPLE_USER_VIDEO), active(SAMPLE_AVATAR_AUDIO)
    assert 0.35 < avatar.mean() < 0.55 and 0.45 < user.mean() < 0.75
    assert 0.03 < (user & avatar).mean() < 0.25
    assert not avatar[: int(2.2 * 25)].any()


def test_the_users_true_motion():
    motion = np.load(SAMPLE_USER_VIDEO.parent / "user_motion.npy").astype(np.float32)
    assert motion.shape == (FRAMES, rig.DIM)
    smile = motion[:, rig.INDEX["mouthSmileLeft"]]
    assert smile[319] < 0.02 and smile[333] > 0.5  # the smile that begins at 12.80 s
    sound = np.concatenate(list(audio_16k(open_media(str(SAMPLE_USER_VIDEO)))))[: FRAMES * 640]
    energy = np.sqrt((sound.reshape(FRAMES, 640) ** 2).mean(axis=1))
    assert np.corrcoef(energy, motion[:, rig.INDEX["jawOpen"]])[0, 1] > 0.5  # lips and voice belong together
