"""A face as glTF: what any viewer finds in the file. test/web/page/test_drawing.py holds the pictures."""

import json
import struct

import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.cli import main
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.gltf import export_face
from avatar_forcing_ros.motion.gltf.portrait import METRES
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.motion.tracking.landmarks import rotation_of
from avatar_forcing_ros.motion.tracking.mesh import MESH_POINTS

TYPES = {5126: "<f4", 5123: "<u2", 5121: "<u1"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Read:
    """A GLB file, taken apart as its specification says."""

    def __init__(self, data: bytes):
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON" and size % 4 == 0
        self.document = json.loads(data[20 : 20 + size])
        self._binary = data[28 + size :]

    def values(self, index: int) -> np.ndarray:
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        count, width = accessor["count"], WIDTHS[accessor["type"]]
        kind = np.dtype(TYPES[accessor["componentType"]])
        found = np.frombuffer(self._binary, kind, count * width, view["byteOffset"]).reshape(count, width)
        return found

    def node(self, name: str) -> dict:
        return next(n for n in self.document["nodes"] if n["name"] == name)

    def mesh(self, name: str) -> dict:
        return self.document["meshes"][self.node(name)["mesh"]]


@pytest.fixture(scope="module")
def portrait():
    return PortraitAvatar.from_file(DEFAULT_PORTRAIT, 256, cache=True)


@pytest.fixture(scope="module")
def file(portrait):
    return Read(export_face(portrait, "face"))


def test_a_portrait_has_the_rigs_names_eyes_mouth_and_background(file):
    person = file.mesh("person")
    assert person["extras"]["targetNames"] == list(rig.NAMES)
    assert len(person["primitives"][0]["targets"]) == rig.DIM
    for name in (
        "eyeLeft",
        "eyeRight",
        "irisLeft",
        "irisRight",
        "teethUpper",
        "teethLower",
        "tongue",
        "cavity",
        "background",
    ):
        assert "mesh" in file.node(name)
    assert len(file.document["skins"][file.node("person")["skin"]]["joints"]) == 2


def test_morphs_and_joints_alone_move_the_head_as_the_renderer_does(file, portrait):
    """What a viewer does that knows nothing but glTF: targets by weight, then the two joints by weight."""
    latent = rig.pose(
        mouthSmileLeft=0.6, jawOpen=0.4, browInnerUp=0.5, eyeBlinkRight=0.3, headYaw=0.2, headRoll=0.1, headX=0.1
    )
    primitive = file.mesh("person")["primitives"][0]
    at = file.values(primitive["attributes"]["POSITION"]).astype(float)
    for name, target in zip(rig.NAMES[6:], primitive["targets"][6:]):
        at = at + latent[rig.INDEX[name]] * file.values(target["POSITION"])
    follow = file.values(primitive["attributes"]["WEIGHTS_0"])[:, :1]
    turn = latent[:3] * portrait._gain[:3] * (portrait._turns, 1, 1)
    head = at @ rotation_of(turn).T + latent[3:6] * (METRES, METRES, 0.0)
    posed = (head * follow + at * (1 - follow))[:MESH_POINTS]
    pixels = posed * (1, -1, -1) * portrait._unit / METRES + portrait._pivot
    assert np.abs(pixels - portrait.points(latent))[:, :2].max() < 0.05


def test_skin_has_holes_where_eyes_and_mouth_lie_behind(file):
    """No triangle of the skin lies between the lids, and the eyeball is farther than all skin around it."""
    primitive = file.mesh("person")["primitives"][0]
    skin = file.values(primitive["attributes"]["POSITION"])[:MESH_POINTS]
    for name in ("eyeLeft", "eyeRight", "tongue", "cavity"):
        ball = file.values(file.mesh(name)["primitives"][0]["attributes"]["POSITION"])
        low, high = ball.min(axis=0), ball.max(axis=0)
        near = ((skin[:, :2] > low[:2]) & (skin[:, :2] < high[:2])).all(axis=1)
        assert skin[near, 2].min() > high[2]


def test_a_screen_face_moves_by_the_rigs_names():
    read = Read(export_face(ScreenFaceAvatar(256, "beacon"), "beacon"))
    known = {n for m in read.document["meshes"] for n in m.get("extras", {}).get("targetNames", ())}
    assert set(rig.NAMES[6:]) - {"gazeX", "gazeY"} <= known
    assert all(set(n.split("*")) <= set(rig.NAMES) for n in known)


def test_the_command_writes_a_file_alone_or_beside_the_sheet(tmp_path, capsys):
    out = tmp_path / "face.glb"
    assert main(["face", "--size", "256", "--export", str(out)]) in (0, None)
    assert Read(out.read_bytes()).document["scenes"][0]["name"] == "face"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("arguments", [["--export", "face.obj"], [], ["--export", "missing_folder/face.glb"]])
def test_a_wrong_name_is_one_clear_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["face", "--size", "256", *arguments]))
    assert ended.value.code not in (0, None)
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_pixels_have_no_mesh():
    with pytest.raises(InputError, match="no mesh"):
        export_face(object())


def test_a_portrait_that_is_no_square_is_one_clear_line():
    with pytest.raises(InputError, match="128x192 is no glTF"):
        export_face(PortraitAvatar.from_file(str(DEFAULT_PORTRAIT), (128, 192)))
