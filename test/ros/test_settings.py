"""Settings: one table per node from which parameters, options, launch arguments and their page are made."""

import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import yaml

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.ros.setting import setting, settings_in
from avatar_forcing_ros.ros.settings import NODES, MotionGeneratorSettings, NodeSettings, RendererSettings
from avatar_forcing_ros.run.live import plan
from avatar_forcing_ros.run.session import Session

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", NODES.values(), ids=NODES)
def test_every_setting_is_described_and_its_default_is_one_that_it_may_be(kind):
    for one in settings_in(kind).values():
        assert len(one.description) > 10 and one.range != "" or one.low is None
        assert one.from_ros(one.to_ros(one.default)) == one.default
        assert not one.optional or one.none_means, one.name
    assert len(settings_in(kind)) == sum(
        len(fields(f.metadata["group"])) if "group" in f.metadata else 1 for f in fields(kind)
    ), "a field that neither `setting` nor `group` made is no parameter"


def test_none_is_one_documented_value_at_the_boundary_and_nothing_else_is():
    commit = settings_in(MotionGeneratorSettings)["commit_frames"]
    assert commit.from_ros(0) is None and commit.to_ros(None) == 0 and "0: as the back end has it" in commit.text
    guidance = settings_in(MotionGeneratorSettings)["audio_guidance"]
    assert guidance.from_ros(-1.0) is None and guidance.from_ros(0.0) == 0.0
    with pytest.raises(InputError, match="audio_guidance is -0.5; give 0 to 10, or -1.0 for: as the back end has it"):
        guidance.from_ros(-0.5)
    portrait = settings_in(RendererSettings)["portrait"]
    assert portrait.from_ros("") is None and portrait.to_ros(None) == ""


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("size", 127, "128 to 2160 pixels"),
        ("presentation_reserve", float("nan"), "nan"),
        ("avatar", "x", "screen_face"),
    ],
)
def test_a_value_out_of_bounds_is_refused_in_one_line(name, value, words):
    with pytest.raises(InputError, match=words):
        settings_in(RendererSettings)[name].from_ros(value)


def test_a_setting_without_what_it_needs_is_a_fault_of_ours():
    @dataclass(frozen=True)
    class Wrong(NodeSettings):
        amount: float | None = setting(None, "may be None, but nothing stands for it")

    with pytest.raises(TypeError, match="amount"):
        Setting = settings_in(Wrong)
        assert not Setting


def test_the_parameters_file_names_settings_only():
    """What it sets is what a node has, within its bounds."""
    roles = {"microphone": "audio_ingest", "speech": "audio_ingest", "face": "face_ingest"}
    for node, content in yaml.safe_load((ROOT / "config" / "nodes.yaml").read_text()).items():
        name = node.removeprefix("/**/")
        known = settings_in(NODES[roles.get(name, name)])
        for parameter, value in content["ros__parameters"].items():
            assert known[parameter].from_ros(value) is not None


def test_the_nodes_of_a_run_get_what_the_session_says_and_nothing_that_is_left_open():
    session = Session(out="o.mp4", user_video="me.mp4", avatar_audio="a.wav", seed=3, commit=5, audio_topic="/mine")
    nodes = {n.name: n for n in plan(session)}
    generator = nodes["motion_generator"].parameters
    assert generator["seed"] == 3 and generator["commit_frames"] == 5 and "portrait" not in generator
    assert "presentation_delay" not in nodes["renderer"].parameters
    assert nodes["face"].parameters["space"] == "rig" and nodes["camera_source"].parameters["audio_topic"] == "/mine"
    assert not nodes["speech_source"].parameters["audio_topic"]  # the topic is one of the user's bag
    for node in nodes.values():
        known = settings_in(NODES[node.executable])
        for name, value in node.parameters.items():
            known[name].from_ros(value)


def test_the_page_of_parameters_is_in_step_with_the_settings():
    tool = ROOT / "tools" / "docs" / "parameters.py"
    checked = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, f"run {tool}\n{checked.stderr}"
