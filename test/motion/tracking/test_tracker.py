"""The tracker: still faces are still, people leave and return, nothing jumps, bad input is named.

Frames are made from the portrait that comes with the package; the real clips are used too where they exist.
"""

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker, face_at_rest

RATE = 25.0


@pytest.fixture(scope="module")
def avatar() -> PortraitAvatar:
    return PortraitAvatar.from_file(DEFAULT_PORTRAIT, 384)


@pytest.fixture
def tracker():
    tracker = FaceTracker()
    yield tracker
    tracker.close()


def follow(tracker, frames, start=0.0):
    """Tracks frames at 25 Hz; (motions (n, 32), confidences (n,), faces)."""
    faces = [tracker.track(frame, start + i / RATE) for i, frame in enumerate(frames)]
    return np.array([f.motion for f in faces]), np.array([f.confidence for f in faces]), faces


def with_noise(image, count, seed=0, sigma=3.0):
    rng = np.random.default_rng(seed)
    return [np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def test_a_still_face_is_still(avatar, tracker):
    """Camera noise of 3 grey levels: after the first second nothing moves that one could see."""
    motions, confidence, faces = follow(tracker, with_noise(avatar.photo, 75))
    assert (confidence > 0.9).all() and all(f.faces == 1 for f in faces)
    spread = motions[25:].std(axis=0)
    for name, value in zip(rig.NAMES, spread):
        assert value < (0.012 if name.startswith("head") else 0.05), name
    assert np.abs(motions[0]).max() < 0.7  # usable and calm from the first frame on
    assert np.abs(motions[25:]).max() < 0.15


def test_the_result_fits_the_frame(avatar, tracker):
    face = tracker.track(avatar.photo, 0.0)
    assert face.motion.shape == (rig.DIM,) and face.motion.dtype == np.float32
    assert face.confidence > 0.9 and face.faces == 1
    x0, y0, x1, y1 = face.box
    assert 0 < x0 < x1 < 384 and 0 < y0 < y1 < 384 and x1 - x0 > 80


def test_a_blink_is_not_smeared(avatar, tracker):
    blink = [0, 0.4, 1, 1, 0.7, 0.2, 0]
    frames = (
        [avatar.photo] * 30
        + [avatar.render(rig.pose(eyeBlinkLeft=b, eyeBlinkRight=b)) for b in blink]
        + [avatar.photo] * 5
    )
    motions, _, _ = follow(tracker, frames)
    lids = motions[:, rig.INDEX["eyeBlinkLeft"]]
    assert lids[:30].max() < 0.1 and lids[30:37].max() > 0.5
    assert abs(int(lids.argmax()) - 32.5) <= 1.5  # at most a frame late
    assert lids[-3:].max() < 0.1


def test_a_person_leaves_and_returns(avatar, tracker):
    """Confidence falls smoothly, the motion is held, then eases to neutral within about a second; no jump on return."""
    smiling = avatar.render(rig.pose(mouthSmileLeft=0.9, mouthSmileRight=0.9, headYaw=0.25))
    empty = np.full_like(avatar.photo, 90)
    motions, confidence, faces = follow(tracker, [avatar.photo] * 30 + [smiling] * 15 + [empty] * 35 + [smiling] * 20)
    gone = 45
    smile = motions[:, rig.INDEX["mouthSmileLeft"]]
    assert smile[gone - 1] > 0.4
    assert smile[gone + 5] > 0.9 * smile[gone - 1]  # held
    assert not motions[gone + 28].any()  # neutral
    assert faces[gone].faces == 0 and faces[gone].box is None
    assert (np.diff(confidence[gone : gone + 10]) <= 0).all() and confidence[gone] > 0.5 and confidence[gone + 9] == 0
    assert np.abs(np.diff(motions[gone - 1 :], axis=0)).max() < 0.25  # neither leaving nor returning jumps
    assert confidence[-1] > 0.9 and smile[-1] > 0.4


def test_a_gap_of_one_frame_is_bridged(avatar, tracker):
    frames = [avatar.photo] * 20
    frames[12] = np.zeros_like(avatar.photo)
    motions, confidence, _ = follow(tracker, frames)
    assert confidence.min() > 0.6
    assert np.abs(np.diff(motions[5:], axis=0)).max() < 0.3  # the mesh finds the face anew


def side_by_side(left, right, width=900, height=420):
    canvas = np.full((height, width, 3), 110, np.uint8)
    for picture, x in ((left, 10), (right, width // 2 + 10)):
        if picture is not None:
            canvas[10 : 10 + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas


def three_quarters(picture):
    return cv2.resize(picture, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


def test_the_face_followed_is_kept_when_another_comes(avatar, tracker):
    small = three_quarters(avatar.photo)
    turned = avatar.render(rig.pose(headYaw=0.3))
    frames = [side_by_side(small, None)] * 30 + [side_by_side(small, turned)] * 20
    motions, confidence, faces = follow(tracker, frames)
    assert faces[-1].faces == 2
    assert faces[-1].box[2] < 450 and confidence.min() > 0.5
    assert np.abs(motions[35:, rig.INDEX["headYaw"]]).max() < 0.1  # the newcomer's turn is not ours


def test_of_two_faces_the_largest_is_taken_first(avatar, tracker):
    face = tracker.track(side_by_side(three_quarters(avatar.photo), avatar.photo), 0.0)
    assert face.faces == 2 and face.box[0] > 450


def test_another_person_is_learned_anew(avatar, tracker):
    """The followed one goes, one at another place, turned otherwise, stays: their rest is the new neutral."""
    turned = avatar.render(rig.pose(headYaw=0.25))
    frames = [side_by_side(avatar.photo, None)] * 30 + [side_by_side(None, turned)] * 80
    motions, confidence, _ = follow(tracker, frames)
    assert np.abs(np.diff(motions, axis=0)).max() < 0.3
    assert confidence[-1] > 0.9 and np.abs(motions[-1, :3]).max() < 0.08


def test_who_is_in_the_dark_for_a_while_is_not_forgotten(avatar, tracker):
    """The light goes for three seconds and the person smiles when it returns: a smile, not a new neutral face."""
    dark = (avatar.photo * 0.03).astype(np.uint8)
    smiling = avatar.render(rig.pose(mouthSmileLeft=0.9, mouthSmileRight=0.9))
    motions, _, faces = follow(tracker, [avatar.photo] * 60 + [dark] * 75 + [smiling] * 20)
    assert faces[100].faces == 1 and faces[100].confidence < 0.1  # found, but not to be relied on
    assert motions[-1, rig.INDEX["mouthSmileLeft"]] > 0.5


def test_confidence_falls_in_darkness(avatar, tracker):
    dark = (avatar.photo * 0.03).astype(np.uint8)
    motions, confidence, _ = follow(tracker, [avatar.photo] * 20 + [dark] * 30)
    assert confidence[19] > 0.9 and confidence[-1] < 0.1
    assert np.abs(np.diff(motions[10:], axis=0)).max() < 0.25


def test_a_hand_before_the_mouth_makes_nothing_jump(avatar, tracker):
    frames = [avatar.photo] * 30
    x0, y0, x1, y1 = (int(v) for v in tracker.track(avatar.photo, 0.0).box)
    tracker.reset()
    for step in range(25):
        frame = avatar.photo.copy()
        rise = int((y1 - y0) * 0.45 * min(step, 25 - step) / 12)
        frame[y1 - rise : y1, x0:x1] = (200, 150, 125)
        frames.append(frame)
    motions, _, _ = follow(tracker, frames)
    assert np.abs(np.diff(motions[28:, :6], axis=0)).max() < 0.12
    assert np.abs(np.diff(motions[28:], axis=0)).max() < 0.45


def test_grey_and_large_images(avatar, tracker):
    grey = avatar.photo.mean(axis=2).astype(np.uint8)
    assert tracker.track(grey, 0.0).confidence > 0.9
    assert tracker.track(grey[:, :, None], 0.04).confidence > 0.9
    large = np.repeat(np.repeat(avatar.photo, 5, axis=0), 5, axis=1)
    face = tracker.track(large, 0.08)  # another size: a new video
    assert face.confidence > 0.9 and face.box[2] > 1000
    assert tracker.track(avatar.photo[:, ::-1], 0.12).confidence > 0.9  # not contiguous


def test_a_time_that_jumps_far_back_is_another_video_of_the_same_person(avatar, tracker):
    """A bag that loops: nothing jumps, and the smile that was one is one still."""
    smiling = avatar.render(rig.pose(mouthSmileLeft=0.9, mouthSmileRight=0.9))
    first, _, _ = follow(tracker, [avatar.photo] * 60, start=100.0)
    again, confidence, _ = follow(tracker, [smiling] * 20, start=3.0)
    assert confidence.min() > 0.9 and again[-1, rig.INDEX["mouthSmileLeft"]] > 0.5
    assert np.abs(np.diff(np.concatenate([first[-1:], again]), axis=0)).max() < 0.3


def test_an_image_that_comes_late_is_left_out(avatar, tracker):
    """Two images swapped by a driver: the late one gives what was known before, and nothing is forgotten."""
    frames = [avatar.render(rig.pose(headYaw=0.3 * np.sin(i / 5))) for i in range(40)]
    good, _, _ = follow(tracker, frames)
    tracker.reset()
    times = np.arange(40) / RATE
    times[30] -= 0.06
    faces = [tracker.track(frame, time) for frame, time in zip(frames, times)]
    assert [i for i, face in enumerate(faces) if face.late] == [30]
    np.testing.assert_array_equal(faces[30].motion, faces[29].motion)
    motions = np.array([face.motion for face in faces])
    assert np.abs(motions - good)[:, rig.INDEX["headYaw"]].max() < 0.1
    assert min(face.confidence for face in faces) > 0.9


def test_same_frames_same_motion(avatar, tracker):
    frames = [avatar.render(rig.pose(jawOpen=v)) for v in (0, 0.2, 0.4, 0.2)]
    first, _, _ = follow(tracker, frames)
    tracker.reset()
    again, _, _ = follow(tracker, frames)
    np.testing.assert_array_equal(first, again)


def test_a_known_neutral_is_used(avatar):
    smiling = avatar.render(rig.pose(mouthSmileLeft=0.9, mouthSmileRight=0.9, headYaw=0.2))
    tracker = FaceTracker(neutral=avatar.photo)
    motions, _, _ = follow(tracker, [smiling] * 60)
    calibration = tracker.neutral_face
    tracker.close()
    assert motions[-1, rig.INDEX["mouthSmileLeft"]] > 0.5 and motions[-1, rig.INDEX["headYaw"]] > 0.08
    other = FaceTracker(neutral=calibration)
    again, _, _ = follow(other, [smiling] * 10)
    other.close()
    np.testing.assert_allclose(again[-1], motions[9], atol=1e-5)


def test_a_recording_seen_before_shows_no_shift_while_its_rest_is_learned(avatar):
    """The same smile at the beginning and at the end measures the same."""
    smile = [avatar.render(rig.pose(mouthSmileLeft=0.5, mouthSmileRight=0.5))] * 20
    recording = smile + [avatar.photo] * 60 + smile
    shifts = []
    for rest in (None, face_at_rest(recording)):
        tracker = FaceTracker(neutral=rest)
        motions, _, _ = follow(tracker, recording)
        tracker.close()
        shifts.append(abs(float((motions[-1] - motions[18])[rig.INDEX["mouthSmileLeft"]])))
    assert shifts[1] < 0.03 < 0.1 < shifts[0]


def test_no_face_in_a_recording_has_no_rest(avatar):
    assert face_at_rest([np.zeros((64, 64, 3), np.uint8)] * 3) is None


def test_less_calm_shows_more_of_a_quick_small_movement(avatar):
    swing = [0.12 + 0.12 * np.sin(2 * np.pi * 3.0 * i / RATE) for i in range(25)]
    recording = [avatar.photo] * 5 + [avatar.render(rig.pose(mouthStretchLeft=x, mouthStretchRight=x)) for x in swing]
    seen = []
    for calm in (1.0, 0.0):
        tracker = FaceTracker(neutral=avatar.photo, calm=calm)
        motions, _, _ = follow(tracker, recording)
        tracker.close()
        seen.append(motions[10:, rig.INDEX["mouthStretchLeft"]].std())
    assert seen[1] > 1.2 * seen[0]


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros((0, 0, 3), np.uint8), "0 x 0 pixels"),
        (np.zeros((8, 8, 3), np.uint8), "at least 32"),
        (np.zeros((64, 64, 4), np.uint8), "shape"),
        (np.zeros((64,), np.uint8), "shape"),
        (np.full((64, 64, 3), np.nan), "float64"),
        ([[0, 0], [0, 0]], "list"),
        (None, "NoneType"),
    ],
)
def test_a_wrong_image_is_named(tracker, image, message):
    with pytest.raises(InputError, match=message):
        tracker.track(image, 0.0)


def test_wrong_parameters_are_named(avatar, tracker):
    with pytest.raises(InputError, match="time"):
        tracker.track(avatar.photo, float("nan"))
    with pytest.raises(InputError, match="learn_seconds"):
        FaceTracker(learn_seconds=-1)
    with pytest.raises(InputError, match="max_faces"):
        FaceTracker(max_faces=0)
    with pytest.raises(InputError, match="no face in the neutral image"):
        FaceTracker(neutral=np.zeros((64, 64, 3), np.uint8))


# ---- real clips, where they exist -------------------------------------------------------------------------------


def clip(path):
    import av

    with av.open(str(path)) as container:
        return [(frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(video=0)]


def test_real_smile_and_blink(real_data, tracker):
    if real_data is None:
        pytest.skip("no real clips here; the made faces above cover the same")
    faces = [(tracker.track(image, t), t) for image, t in clip(real_data / "faces" / "smile_onset.mp4")]
    smile = np.array([f.motion[[rig.INDEX["mouthSmileLeft"], rig.INDEX["mouthSmileRight"]]].mean() for f, _ in faces])
    blink = np.array([f.motion[rig.INDEX["eyeBlinkLeft"]] for f, _ in faces])
    times = np.array([t for _, t in faces])
    assert smile[(times > 0.3) & (times < 0.5)].max() < 0.15 and smile[(times > 0.8) & (times < 2.2)].min() > 0.8
    assert abs(times[blink.argmax()] - 0.9) < 0.1 and (blink > 0.4).sum() <= 5
    assert min(f.confidence for f, _ in faces) > 0.9


@pytest.mark.parametrize("name, seen_first", [("face_then_none.mov", True), ("none_then_face.mov", False)])
def test_real_face_goes_and_comes(real_data, tracker, name, seen_first):
    if real_data is None:
        pytest.skip("no real clips here; the made faces above cover the same")
    faces = [tracker.track(image, t) for image, t in clip(real_data / "faces" / name)]
    confidence = np.array([f.confidence for f in faces])
    motions = np.array([f.motion for f in faces])
    assert confidence[-10 if not seen_first else 10] > 0.9 and confidence[0 if not seen_first else -1] == 0
    assert np.abs(np.diff(confidence)).max() < 0.5
    assert np.abs(np.diff(motions[:, :6], axis=0)).max() < 0.1
    assert not motions[-1 if seen_first else 0].any()
