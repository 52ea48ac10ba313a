"""The page's panel: a key or a long press opens it, and what is chosen there happens."""

import pytest
from page_files import built_page, need_browser

from avatar_forcing_ros.motion.gltf import export_face
from avatar_forcing_ros.web.chromium import Chromium, fake_camera

pytest.importorskip("aiortc", reason="needs the extra [kiosk]")
from page_world import Graph, begin, connected, until, wait

from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar

OPEN = "!document.getElementById('panel').hidden"


@pytest.fixture(scope="module")
def place(request, tmp_path_factory):
    """(the built page, two small faces)"""
    need_browser()
    folder, faces = tmp_path_factory.mktemp("faces"), {}
    for name in ("beacon", "lumen"):
        faces[name] = folder / f"{name}.glb"
        faces[name].write_bytes(export_face(ScreenFaceAvatar(256, name), name))
    return built_page(request.config.cache), faces


def control(page, label: str, act: str):
    """Acts on the control (`it`) whose label begins with these words."""
    find = f"[...document.querySelectorAll('#panel label')].find((l) => l.textContent.startsWith({label!r})).querySelector('input, select')"
    return page.evaluate(f"(() => {{ const it = {find}; {act} }})()")


def choose(value: str) -> str:
    return f"it.value = '{value}'; it.dispatchEvent(new Event('change'));"


def test_the_panel_shows_and_changes_what_the_page_does(place):
    pages, faces = place
    graph = Graph(pages, faces["beacon"], faces=faces)
    with Chromium(fake_camera(), size=(420, 760)) as browser:
        try:
            viewer, page = begin(browser, f"{graph.address}/?view"), begin(browser, f"{graph.address}/")
            connected(viewer)
            connected(page)
            assert not page.evaluate(OPEN)
            page.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'p' }))")
            assert page.evaluate(OPEN)
            rows = page.evaluate("document.querySelector('#panel dl').innerText")
            for row in ("connected", "ms", "the machine itself", "drawn here"):
                assert row in rows, rows
            inside = page.evaluate(
                "[...document.querySelectorAll('#panel *')].every((e) => e.scrollWidth <= e.clientWidth + 1 || !e.clientWidth)"
            )
            assert inside  # no text is cut off

            count = graph.microphones
            control(page, "Mute my microphone", "it.click();")
            assert page.evaluate("document.querySelectorAll('#panel input')[0].checked")
            wait(lambda: graph.microphones > count, "silence, which is still sent")
            control(page, "Colours", choose("dark"))
            assert page.evaluate("document.documentElement.dataset.theme") == "dark"
            assert page.evaluate("getComputedStyle(document.body).color") == "rgb(232, 238, 243)"
            control(page, "Colours", choose("light"))
            assert page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 32, 42)"
            control(page, "Colours", choose("auto"))
            assert page.evaluate("document.documentElement.dataset.theme ?? null") is None
            until(page, "document.getElementById('captions').innerText.length > 0", "a caption")
            control(page, "Captions", "it.click();")
            until(page, "document.getElementById('captions').innerText === ''", "no captions")
            control(page, "Face", choose("lumen"))
            wait(lambda: graph.server.hub.face == "lumen", "the other face")
            viewer.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'p' }))")
            assert viewer.evaluate("document.querySelectorAll('#panel input').length") == 2  # it has no microphone
            control(viewer, "Face", choose("beacon"))  # a viewer may not: the server keeps its face
            page.evaluate("dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
            assert not page.evaluate(OPEN)
            assert graph.server.hub.face == "lumen"

            page.evaluate(
                "document.getElementById('face').dispatchEvent(new PointerEvent('pointerdown', { bubbles: true }))"
            )
            until(page, OPEN, "a long press")
            page.close()
            viewer.close()
        finally:
            graph.close()
