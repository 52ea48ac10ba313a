"""Avatars of others in the page: GLB files with ARKit's blend shapes, and VRM, made here as small as they can be."""

import base64
import json

import cv2
import numpy as np
import pytest
from avatar_models import head_model
from page_files import built_page, need_browser, served

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.web.chromium import BrowserError, Chromium

SIZE = 200


@pytest.fixture(scope="module")
def page(request, tmp_path_factory):
    need_browser()
    folder = tmp_path_factory.mktemp("models")
    for file in built_page(request.config.cache).glob("*.js"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "arkit.glb").write_bytes(head_model(["jawOpen", "mouthSmile_L", "eyeBlinkLeft", "browInnerUp"]))
    (folder / "perfect.glb").write_bytes(
        head_model(["Face.M_F00.JawOpen", "mouthPucker", "EyeBlinkLeft", "BrowInnerUp"])
    )
    (folder / "avatar.vrm").write_bytes(head_model(["mouth_a", "mouth_b"], vrm=True))
    (folder / "stranger.glb").write_bytes(head_model(["foo", "bar"]))
    (folder / "picture.glb").write_bytes(b"\x89PNG" + bytes(100))
    (folder / "index.html").write_text("<script type=module src=drawing.js></script>")
    with served(folder) as address, Chromium() as browser:
        yield browser.open(f"{address}/index.html")


def open_model(page, name: str) -> None:
    page.evaluate(f"""(async () => {{
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = {SIZE};
        const data = await (await fetch('{name}')).arrayBuffer();
        window.face = await avatarFace.openFace(canvas, data);
        face.resize({SIZE}, {SIZE});
        window.canvas = canvas;
    }})()""")


def dark_mouth(page, **motion: float) -> tuple[int, int, float]:
    """Width and height of the mouth in pixels, and the share of the picture that the white plate covers."""
    latent = rig.pose(**motion).astype(float).tolist()
    url = page.evaluate(f"(face.draw({json.dumps(latent)}), canvas.toDataURL('image/png'))")
    grey = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_GRAYSCALE)
    rows, columns = np.nonzero(grey < 60)
    assert len(rows), "no mouth"
    return int(np.ptp(columns)), int(np.ptp(rows)), float((grey > 250).mean())


@pytest.mark.parametrize("name", ["arkit.glb", "perfect.glb", "avatar.vrm"])
def test_an_avatar_of_others_opens_its_mouth_and_turns_its_head(page, name):
    open_model(page, name)
    width, height, plate = dark_mouth(page)
    assert plate > 0.15  # the head fills a good part of the screen
    _, opened, _ = dark_mouth(page, jawOpen=0.8)
    assert opened > height + 8
    _, _, turned = dark_mouth(page, headYaw=0.8)
    assert turned < 0.9 * plate
    assert dark_mouth(page)[:2] == (width, height)  # and back


def test_smiles_and_rounded_lips_have_their_own_shapes(page):
    open_model(page, "arkit.glb")
    width = dark_mouth(page)[0]
    assert dark_mouth(page, mouthSmileLeft=1.0)[0] > width + 8
    open_model(page, "avatar.vrm")
    width = dark_mouth(page)[0]
    assert dark_mouth(page, mouthSmileLeft=1.0, mouthSmileRight=1.0)[0] > width + 6


@pytest.mark.parametrize("name, words", [("stranger.glb", "no shapes"), ("picture.glb", "no GLB or VRM")])
def test_what_is_no_face_is_told(page, name, words):
    with pytest.raises(BrowserError, match=words):
        open_model(page, name)
