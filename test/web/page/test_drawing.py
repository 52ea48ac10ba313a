"""What the page draws, in a headless browser, beside what the Python renderer draws of the same latents."""

import base64
import json
import subprocess

import cv2
import numpy as np
import pytest
from page_files import built_page, need_browser, packages, served

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.gltf import export_face
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.motion.screen.theme import theme_names
from avatar_forcing_ros.motion.tracking.mesh import FACE_OVAL
from avatar_forcing_ros.web import page_bundle
from avatar_forcing_ros.web.chromium import Chromium

SIZE = 512
GREY_LEVELS = 3.0  # that two pictures of a latent may differ by, on average over the face


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """(the renderer's face, its file) by name."""
    folder = tmp_path_factory.mktemp("faces")
    found = {"portrait": PortraitAvatar.from_file(DEFAULT_PORTRAIT, SIZE, cache=True)}
    laugh = dict(jawOpen=0.45, mouthSmileLeft=0.8, mouthSmileRight=0.8, mouthUpperUp=0.5, headYaw=0.3)
    laughing = found["portrait"].render(rig.pose(**laugh))
    chin = int(found["portrait"].points(rig.pose(**laugh))[152, 1])
    found["laugh"] = PortraitAvatar(laughing[: chin + SIZE // 20], SIZE)
    found |= {name: ScreenFaceAvatar(SIZE, name) for name in theme_names()}
    for name, face in found.items():
        (folder / f"{name}.glb").write_bytes(export_face(face, name))
    return found, folder


@pytest.fixture(scope="module")
def page(request, faces):
    need_browser()
    folder = faces[1]
    for file in built_page(request.config.cache).glob("*.js"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "index.html").write_text("<canvas id=c></canvas><script type=module src=drawing.js></script>")
    with served(folder) as address, Chromium() as browser:
        yield browser.open(f"{address}/index.html")


def latents() -> list[np.ndarray]:
    """40 latents: rest, each expression alone, and mixtures as people make them."""
    pairs = [name.removesuffix("Left") for name in rig.NAMES if name.endswith("Left")]
    found = [rig.neutral()] + [rig.pose(**{p + "Left": 0.9, p + "Right": 0.9}) for p in pairs]
    single = (
        "jawOpen",
        "mouthPucker",
        "mouthFunnel",
        "mouthPress",
        "mouthUpperUp",
        "mouthLowerDown",
        "browInnerUp",
        "gazeX",
    )
    found += [rig.pose(**{name: 0.8}) for name in single] + [rig.pose(gazeY=way) for way in (-0.7, 0.7)]
    found += [
        rig.pose(headYaw=0.35),
        rig.pose(headPitch=-0.2),
        rig.pose(headRoll=0.2, headX=0.2),
        rig.pose(headScale=0.2),
    ]
    random = np.random.default_rng(4)
    while len(found) < 40:
        share = 0.6 * random.random(rig.DIM) * (random.random(rig.DIM) < 0.35)
        found.append((np.where(random.random(rig.DIM) < 0.5, rig.LOW, rig.HIGH) * share).astype(np.float32))
    return found


def drawn(page, latent: np.ndarray, frame: int | None = None) -> np.ndarray:
    asked = json.dumps(latent.astype(float).round(6).tolist())
    url = page.evaluate(
        f"(face.draw({asked}, {json.dumps(frame)}), document.getElementById('c').toDataURL('image/png'))"
    )
    return cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def load(page, name: str, width: int = SIZE, height: int = SIZE, exact: bool = True) -> None:
    page.evaluate(f"""(async () => {{
        const old = document.getElementById('c'), canvas = document.createElement('canvas');
        canvas.id = 'c'; canvas.width = {width}; canvas.height = {height}; old.replaceWith(canvas);
        const data = await (await fetch('{name}.glb')).arrayBuffer();
        window.face?.stage.renderer.dispose();
        window.face = await avatarFace.openFace(canvas, data, {json.dumps(exact)});
        window.face.resize({width}, {height});
    }})()""")


def inside(face, latent: np.ndarray) -> np.ndarray:
    """The pixels of the face."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    if isinstance(face, PortraitAvatar):
        cv2.fillPoly(mask, [np.round(face.points(latent)[FACE_OVAL, :2]).astype(np.int32)], 1)
    else:
        mask[(face.render(latent) != face.theme.colours()["background"]).any(axis=2)] = 1
    return mask > 0


def test_the_portrait_looks_as_the_renderer_draws_it(page, faces):
    face = faces[0]["portrait"]
    load(page, "portrait")
    for latent in latents():
        apart = np.abs(drawn(page, latent).astype(float) - face.render(latent))
        assert apart[inside(face, latent)].mean() < GREY_LEVELS
        assert apart.mean() < GREY_LEVELS  # hair, shoulders and background too
    assert page.console == []


def test_a_turned_laugh_cut_off_at_its_chin_looks_as_the_renderer_draws_it(page, faces):
    """The photo's own teeth, the line that closed lips make, what goes on beyond the border."""
    face = faces[0]["laugh"]
    assert face._mouth._photo_teeth is not None
    load(page, "laugh")
    for latent in latents()[::3] + [rig.pose(mouthUpperUp=1.0, jawOpen=0.3), rig.pose(headY=0.3, headPitch=0.2)]:
        apart = np.abs(drawn(page, latent).astype(float) - face.render(latent))
        assert apart[inside(face, latent)].mean() < GREY_LEVELS
        assert apart.mean() < GREY_LEVELS


@pytest.mark.parametrize("name", theme_names())
def test_screen_faces_look_as_the_renderer_draws_them(page, faces, name):
    face = faces[0][name]
    load(page, name)
    for latent in latents():
        apart = np.abs(drawn(page, latent).astype(float) - face.render(latent))
        assert apart[inside(face, latent)].mean() < GREY_LEVELS
        assert apart.mean() < GREY_LEVELS


def test_the_portrait_breathes_as_the_renderer_does(page, faces):
    load(page, "portrait")
    full = 50  # frames: the chest is full
    apart = np.abs(drawn(page, rig.neutral(), full).astype(float) - faces[0]["portrait"].render(rig.neutral(), full))
    assert apart.mean() < 0.5


def test_what_differs_is_seen(page, faces):
    """The comparison can fail: a smile is not a rest."""
    load(page, "portrait")
    smile = rig.pose(mouthSmileLeft=1.0, mouthSmileRight=1.0, jawOpen=0.6)
    apart = np.abs(drawn(page, smile).astype(float) - faces[0]["portrait"].render(rig.neutral()))
    assert apart[inside(faces[0]["portrait"], rig.neutral())].mean() > GREY_LEVELS


@pytest.mark.parametrize("width, height", [(1080, 1920), (960, 540), (300, 300)])
def test_any_size_shows_the_whole_face(page, faces, width, height):
    load(page, "portrait", width, height, exact=False)
    picture = drawn(page, rig.neutral())
    assert picture.shape == (height, width, 3)
    box = page.evaluate("(() => { const b = face.stage.faceBox(); return [b.left, b.top, b.right, b.bottom]; })()")
    assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
    assert (box[2] - box[0]) * (box[3] - box[1]) > 0.08 * width * height  # large enough to talk to
    corners = picture[[2, 2, -3, -3], [2, -3, 2, -3]].astype(int)
    assert (corners.max(axis=1) > 20).all()  # background everywhere, no black bars


def test_the_files_are_valid_gltf(faces, request):
    where = packages(request.config.cache)
    check = (
        "const v = require('gltf-validator'), fs = require('fs');"
        "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then((r) => console.log(JSON.stringify(r.issues)));"
    )
    for name in faces[0]:
        command = [page_bundle.find_node(), "-e", check, str(faces[1] / f"{name}.glb")]
        issues = json.loads(subprocess.run(command, cwd=where, capture_output=True, text=True, check=True).stdout)
        assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"][:5]
