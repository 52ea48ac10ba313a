"""Launch files: every argument is described, and what they start exists. With launch installed they are loaded for real."""

import ast
import importlib.util
from pathlib import Path

import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.ros.graph import launching
from avatar_forcing_ros.ros.settings import NODES

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
NAMES = {"avatar", "robot_head", "telepresence_kiosk", "bag_replay"}
NO_LAUNCH = "launch and launch_ros come with an apt ROS, not from PyPI"


def test_the_launch_files_are_there():
    assert {f.name.removesuffix(".launch.py") for f in FILES} == NAMES


def test_every_argument_has_a_description_and_defaults_can_be_replaced_by_name_only():
    table = launching.arguments(namespace="mine")
    assert table["namespace"][0] == "mine" and all(len(text) > 10 for _, text in table.values())
    assert "128 to 2160" in table["size"][1] and table["size"][0] == ""
    with pytest.raises(KeyError, match="nmespace"):
        launching.arguments(nmespace="mine")


def test_arguments_win_over_the_parameters_file_and_empty_ones_do_not():
    nothing = {name: "" for name in launching.arguments()}
    assert all(launching.given_parameters(node, nothing) == {} for node in ("face", "motion_generator", "renderer"))
    given = nothing | {
        "generator": "published", "size": "300", "camera_reliable": "true", "weights": "1e5", "presentation_delay": "0.2",
    }  # fmt: skip
    assert launching.given_parameters("renderer", given) == {"weights": "1e5", "size": 300, "presentation_delay": 0.2}
    assert launching.given_parameters("motion_generator", given) == {"generator": "published", "weights": "1e5"}
    assert launching.given_parameters("face", given) == {"reliable": True, "weights": "1e5", "space": "lia512"}
    assert launching.given_parameters("microphone", given) == {}
    # 0 is how a parameter says "as the back end has it".
    assert launching.given_parameters("motion_generator", nothing | {"commit_frames": "0"}) == {"commit_frames": 0}


@pytest.mark.parametrize(
    "argument, value, words",
    [
        ("camera_reliable", "maybe", "true or false"), ("size", "64", "128 to 2160"), ("size", "big", "whole number"),
        ("presentation_delay", "nan", "0.001 to 5"), ("generator", "magic", "reflex"), ("precision", "int4", "bfloat16"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_is_refused_in_one_line(argument, value, words):
    with pytest.raises(InputError, match=words) as refused:
        for node in ("face", "motion_generator", "renderer"):
            launching.given_parameters(node, {argument: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_executable_is_one_that_the_package_installs(file):
    installed = (ROOT / "CMakeLists.txt").read_text().split("foreach(node ")[1].split(")")[0].split()
    assert set(NODES) <= set(installed)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Node":
            words = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if words.get("package") == "avatar_forcing_ros" and isinstance(words.get("executable"), str):
                assert words["executable"] in installed


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_the_file_loads(file):
    pytest.importorskip("launch_ros", reason=NO_LAUNCH)
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    from launch import LaunchContext

    description = PythonLaunchDescriptionSource(str(file)).get_launch_description(LaunchContext())
    assert all(a.description for a in description.get_launch_arguments())


def test_each_node_of_the_face_gets_the_file_and_its_own_arguments(monkeypatch):
    pytest.importorskip("launch_ros", reason=NO_LAUNCH)
    from launch import LaunchContext

    spec = importlib.util.spec_from_file_location("avatar_launch", ROOT / "launch" / "avatar.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "Node", lambda **words: words)
    context = LaunchContext()
    defaults = {name: default for name, (default, _) in module.ARGUMENTS.items()}
    context.launch_configurations.update(defaults | {"params_file": "mine.yaml", "size": "300", "weights": "1e5"})
    found = {}
    for node in module._nodes(context):
        file, *own = node["parameters"]
        assert file == "mine.yaml"
        values = own[0] if own else {}
        found[node["name"]] = {k: v.evaluate(context) if hasattr(v, "evaluate") else v for k, v in values.items()}
    network = {"weights": "1e5"}
    assert found["renderer"] == {"size": 300, **network} and found["motion_generator"] == found["face"] == network
    assert found["microphone"] == found["speech"] == {}
