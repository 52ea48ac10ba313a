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


def test_arguments_win_over_the_parameters_file_and_empty_ones_do_not(monkeypatch):
    pytest.importorskip("launch_ros", reason="launch and launch_ros come with an apt ROS, not from PyPI")
    import importlib.util

    from launch import LaunchContext

    spec = importlib.util.spec_from_file_location("avatar_launch", ROOT / "launch" / "avatar.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "Node", lambda **words: words)

    def parameters(**arguments):
        """{node: the parameters that it gets on top of the file's}"""
        context, found = LaunchContext(), {}
        defaults = {name: default for name, default, _ in module.ARGUMENTS if isinstance(default, str)}
        context.launch_configurations.update(defaults | {"params_file": "mine.yaml"} | arguments)
        for node in module._nodes(context):
            file, *own = node["parameters"]
            assert file == "mine.yaml"
            values = own[0] if own else {}
            found[node["name"]] = {k: v.evaluate(context) if hasattr(v, "evaluate") else v for k, v in values.items()}
        return found

    assert parameters() == {"microphone": {}, "speech": {}, "face": {}, "motion_generator": {}, "renderer": {}}
    given = parameters(generator="published", size="300", camera_reliable="true", weights="1e5", presentation_delay="0.2")
    assert given["renderer"] == {"size": 300, "weights": "1e5", "presentation_delay": 0.2}
    assert given["motion_generator"] == {"generator": "published", "weights": "1e5"}
    assert given["face"] == {"reliable": True, "space": "lia512", "weights": "1e5"}
    assert not given["microphone"] and not given["speech"]
    with pytest.raises(ValueError, match="'maybe' is neither"):
        parameters(camera_reliable="maybe")
