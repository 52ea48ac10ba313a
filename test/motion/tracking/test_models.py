"""The face models: what MediaPipe 0.10.21 itself gives for the portrait in the box, and what is told where they are missing."""

import zipfile

import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.cli import main
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.portrait.matte import _segmented
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.tracking import models
from avatar_forcing_ros.motion.tracking.detector import detect
from avatar_forcing_ros.motion.tracking.fetch import _SOURCES, fetch
from avatar_forcing_ros.motion.tracking.tflite import _dense, read_model
from avatar_forcing_ros.motion.tracking.video_mesh import VideoMesh

# Of FaceMesh(static_image_mode=True, refine_landmarks=True): landmark, pixels across, down and away.
MESH = np.array([
    (1, 381.9, 433.3, -60.8), (10, 383.2, 246.1, -19.2), (13, 382.3, 485.7, -20.6), (14, 382.8, 488.1, -17.2),
    (33, 298.1, 356.7, 17.9), (61, 336.9, 477.8, 9.0), (152, 382.2, 566.6, 14.6), (159, 320.3, 346.1, 1.1),
    (234, 245.6, 388.5, 122.5), (263, 473.6, 356.1, 14.5), (291, 429.4, 477.5, 6.5), (454, 520.8, 388.7, 118.2),
    (468, 324.1, 357.3, 6.5), (473, 443.8, 357.1, 3.9), (70, 269.7, 309.6, 20.5), (300, 498.7, 310.5, 16.4),
])  # fmt: skip
DETECTIONS = {  # of FaceDetection: score and box
    models.SHORT_RANGE: (0.9715, (241.8, 280.0, 532.3, 570.5)),
    models.FULL_RANGE: (0.8819, (230.8, 258.2, 538.5, 565.9)),
}
PERSON = 0.4757  # of SelfieSegmentation: mean of the mask


@pytest.fixture(scope="module")
def portrait():
    return read_picture(DEFAULT_PORTRAIT)


def test_the_mesh_is_mediapipes(portrait):
    (found,) = VideoMesh().process(portrait)
    np.testing.assert_allclose(found[MESH[:, 0].astype(int)], MESH[:, 1:], atol=0.15)


@pytest.mark.parametrize("model", DETECTIONS)
def test_the_detectors_are_mediapipes(portrait, model):
    (found,) = detect(portrait, model)
    score, box = DETECTIONS[model]
    assert found.score == pytest.approx(score, abs=2e-3)
    np.testing.assert_allclose(found.box, box, atol=0.3)


def test_the_segmentation_is_mediapipes(portrait):
    mask = _segmented(portrait)
    assert mask.mean() == pytest.approx(PERSON, abs=1e-3)
    assert mask[20, 20] < 0.01 and mask[400, 380] > 0.99


def test_a_missing_model_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv(models.ENVIRONMENT, str(tmp_path))
    with pytest.raises(InputError, match="avatar-forcing models fetch"):
        models.Network(models.MESH)
    (tmp_path / f"{models.MESH}.onnx").write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read.*models fetch"):
        models.Network(models.MESH)


def test_the_folder_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(models.ENVIRONMENT, str(tmp_path))
    assert main(["models", "where"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path)


def test_another_wheel_is_refused_and_nothing_is_written(tmp_path, capsys):
    to = tmp_path / "models"
    assert main(["models", "fetch", "--wheel", str(tmp_path / "none.whl"), "--to", str(to)]) == 1
    assert "none.whl is not the wheel of mediapipe==0.10.21" in capsys.readouterr().err
    wheel = tmp_path / "mediapipe.whl"
    wheel.write_bytes(b"no archive")
    with pytest.raises(InputError, match="is not the wheel"):
        fetch(to, wheel)
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, _ in _SOURCES.values():
            archive.writestr(f"mediapipe/modules/{path}", b"another release's")
    with pytest.raises(InputError, match="is not the file of"):
        fetch(to, wheel)
    assert not to.exists()


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="not a TensorFlow Lite model"):
        read_model(b"\0" * 64)


class Table:
    """A stand-in for a flatbuffer's table: fields by number."""

    def __init__(self, fields):
        self.fields = fields

    def scalar(self, index, kind, default=0):
        return self.fields.get(index, default)

    def array(self, index, kind):
        return np.array(self.fields.get(index, []), kind)

    def table(self, index):
        return Table({0: self.fields[index]})

    def tables(self, index):
        return [Table(f) for f in self.fields[index]]


def test_sparse_weights_are_unpacked():
    """A (4, 4) weight in blocks of (1, 2), rows as they are, blocks of a row compressed."""
    dense = np.array([(1, 2, 0, 0), (0, 0, 0, 0), (0, 0, 3, 4), (5, 6, 7, 8)], np.float32)
    rows = {0: 0, 1: 4}
    columns = {
        0: 1,
        2: 1,
        3: [0, 1, 1, 2, 4],
        4: 1,
        5: [0, 1, 0, 1],
    }  # compressed: where each row begins, and its blocks
    inner = {0: 0, 1: 2}
    sparsity = Table({0: [0, 1, 2], 1: [1], 2: [rows, columns, inner]})
    np.testing.assert_array_equal(_dense(np.arange(1, 9, dtype=np.float32), sparsity, (4, 4)), dense)
