"""A face measured in the page: what the page sends is what the tracker would have measured of the same picture."""

import json

import cv2
import numpy as np
import pytest
from page_files import built_page, need_browser, served

from avatar_forcing_ros import assets
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking import landmarks
from avatar_forcing_ros.motion.tracking.finder import FaceFinder
from avatar_forcing_ros.motion.tracking.measured import DIM, EXTRA, MeasuredTracker
from avatar_forcing_ros.web.chromium import Chromium
from avatar_forcing_ros.web.tracking_files import tracking_file

MEASURE = """(async () => {
    const worker = new Worker('/worker.js', { type: 'module' });
    const answer = (message, transfer) => new Promise((done, fail) => {
        worker.onmessage = ({ data }) => data.error ? fail(new Error(data.error)) : done(data);
        worker.onerror = (event) => fail(new Error(event.message));
        worker.postMessage(message, transfer);
    });
    await answer({ base: location.origin + '/tracking/' }, []);
    const image = await createImageBitmap(await (await fetch('/NAME')).blob());
    let found;
    for (let turn = 0; turn < 8; turn++) { const copy = await createImageBitmap(image); found = await answer({ picture: copy }, [copy]); }
    const dark = await createImageBitmap(new ImageData(640, 480));
    const none = await answer({ picture: dark }, [dark]);
    worker.terminate();
    return [found.values, none.values ?? null];
})()"""


@pytest.fixture(scope="module")
def page(request, tmp_path_factory):
    need_browser()
    folder = tmp_path_factory.mktemp("page")
    for file in built_page(request.config.cache).rglob("*"):
        if file.is_file():
            copy = folder / file.relative_to(built_page(request.config.cache))
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    (folder / "tracking" / "tables.json").write_bytes(tracking_file("tables.json"))
    for name in ("face_landmark_with_attention.onnx", "face_detection_short_range.onnx"):
        (folder / "tracking" / name).write_bytes(tracking_file(name).read_bytes())
    for name in ("portrait.jpg", "user.jpg"):
        (folder / name).write_bytes((assets.DEFAULT_PORTRAIT.parent / name).read_bytes())
    (folder / "empty.html").write_text("<title>empty</title>")
    with served(folder) as address, Chromium() as browser:
        yield browser.open(f"{address}/empty.html")


def expected(name: str) -> np.ndarray:
    """The values that the page should send of a picture."""
    image = cv2.imread(str(assets.DEFAULT_PORTRAIT.parent / name))[..., ::-1].copy()
    finder = FaceFinder(1)
    for turn in range(8):
        points = finder.look(image, float(turn), 0.0).points
    points = points * (1, -1, -1)
    pose = landmarks.fit_pose(points)
    width = image.shape[1]
    extra = [*pose.angles, *pose.centre / width, pose.scale / width, pose.residual, 1.0]
    return np.concatenate([landmarks.measure_face(points, pose), extra])


@pytest.mark.parametrize("name", ["portrait.jpg", "user.jpg"])
def test_the_page_measures_what_the_tracker_measures(page, name):
    found, none = page.evaluate(MEASURE.replace("NAME", name), timeout=200.0)
    assert none is None  # a dark picture shows nobody
    assert len(found) == DIM
    apart = dict(zip([*landmarks.MEASURES, *EXTRA], np.abs(np.array(found) - expected(name))))
    assert max(apart.values()) < 0.02, apart  # D, radians; the browser samples a picture in its own way
    assert np.mean(list(apart.values())) < 0.005


def values(**changed: float) -> np.ndarray:
    names = [*landmarks.MEASURES, *EXTRA]
    rest = np.concatenate([landmarks.TYPICAL, [0.0, 0.0, 0.0, 0.5, -0.5, 0.25, 0.02, 1.0]])
    for name, value in changed.items():
        rest[names.index(name)] += value
    return rest.astype(np.float32)


def test_measures_become_the_rigs_coefficients():
    tracker = MeasuredTracker()
    for frame in range(75):
        at_rest = tracker.follow(values(), frame / 25)
    assert np.abs(at_rest.motion).max() < 0.05
    for frame in range(75, 90):
        smiling = tracker.follow(
            values(cornerOutLeft=0.08, cornerOutRight=0.08, cornerUpLeft=0.08, cornerUpRight=0.08, yaw=0.2), frame / 25
        )
    assert smiling.motion[rig.INDEX["mouthSmileLeft"]] > 0.4
    assert smiling.motion[rig.INDEX["headYaw"]] == pytest.approx(0.2, abs=0.06)
    for frame in range(90, 130):
        gone = tracker.follow(None, frame / 25)
    assert gone.faces == 0 and np.abs(gone.motion).max() < 0.05  # held, then eased to rest


def test_late_and_wrong_measures_are_left_out_or_refused():
    tracker = MeasuredTracker()
    now = tracker.follow(values(), 1.0)
    assert tracker.follow(values(yaw=0.5), 0.9) is now
    with pytest.raises(InputError, match="finite"):
        tracker.follow(np.full(DIM, np.nan), 1.1)
    with pytest.raises(InputError, match="shape"):
        tracker.follow(np.zeros(5), 1.1)


def test_only_what_a_page_needs_is_served():
    assert set(json.loads(tracking_file("tables.json"))) >= {"rigid", "groups", "crops"}
    assert tracking_file("selfie_segmentation.onnx") is None and tracking_file("../server.py") is None
