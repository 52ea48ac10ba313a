"""Launch files: every argument is described, and what they start exists. With launch installed they are loaded for real."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
NAMES = {"avatar", "robot_head", "telepresence_kiosk", "bag_replay"}


def test_the_launch_files_are_there():
    assert {f.name.removesuffix(".launch.py") for f in FILES} == NAMES


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_argument_has_a_default_and_a_description(file):
    tree = ast.parse(file.read_text())
    arguments = next(
        node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "ARGUMENTS"
    )
    names = []
    for entry in arguments.elts:
        name, _default, description = entry.elts
        names.append(name.value)
        assert len(description.value) > 10, name.value
    assert len(names) == len(set(names)) and "namespace" in names


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_executable_is_one_that_the_package_installs(file):
    installed = (ROOT / "CMakeLists.txt").read_text().split("foreach(node ")[1].split(")")[0].split()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Node":
            words = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if words.get("package") == "avatar_forcing_ros" and isinstance(words.get("executable"), str):
                assert words["executable"] in installed


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_the_file_loads(file):
    pytest.importorskip("launch_ros", reason="launch and launch_ros come with an apt ROS, not from PyPI")
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(file)).get_launch_description(LaunchContext())
    assert all(a.description for a in description.get_launch_arguments())
