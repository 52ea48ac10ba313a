"""The published network's path through the graph, with a tiny network of made-up weights in its motion space."""

import json

import numpy as np
import pytest

from avatar_forcing_ros import cli
from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.media.open import open_media

INPUTS = ("--user-video", str(SAMPLE_USER_VIDEO), "--avatar-audio", str(SAMPLE_AVATAR_AUDIO))


def run(*arguments) -> int:
    return cli.main(["run", *INPUTS, *map(str, arguments)])


def test_offline_run_with_the_network_in_its_own_motion_space(tmp_path, tiny_weights):
    images = []
    for name in ("a", "b"):
        out = tmp_path / f"{name}.mp4"
        assert (
            run("--generator", "published", "--weights", tiny_weights, "--out", out, "--offline", "--duration", 2) == 0
        )
        figures = json.loads(out.with_suffix(".json").read_text())
        assert figures["generator"] == "published" and figures["frames"] == 50 and figures["user_face_share"] > 0.9
        with open_media(str(out)) as reader:
            images.append(np.stack([frame.image for frame in reader.video()]))
    assert images[0].shape == (50, 16, 16, 3) and (images[0] == images[1]).all()


def test_live_run_with_the_network_in_every_node(tmp_path, tiny_weights):
    pytest.importorskip("rclpy", reason="needs ROS: a plain Python install has no graph")
    out = tmp_path / "live.mp4"
    for seconds in (6, 15, 30):  # on a busy machine the networks may take longer to begin than a short run lasts
        arguments = ("--generator", "published", "--weights", tiny_weights, "--out", out, "--duration", seconds)
        assert run(*arguments) == 0
        figures = json.loads(out.with_suffix(".json").read_text())
        if figures["user_face_share"] is not None:
            break
    # A slow machine leaves out images; that they come, and from the network's blocks, does not depend on its speed.
    assert figures["frames"] >= 3 and figures["blocks"] >= 2 and figures["user_face_share"] > 0.5
    assert figures["held_frames"] < figures["frames"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--generator", "published"), "--weights"),
        (("--generator", "published", "--weights", "/nowhere"), "/nowhere"),
        (("--generator", "published", "--weights", "w", "--avatar", "portrait"), "motion spaces"),
        (("--avatar", "neural"), "motion spaces"),
    ],
)
def test_a_network_that_cannot_run_is_one_line(tmp_path, capsys, arguments, words):
    assert run(*arguments, "--offline", "--out", tmp_path / "o.mp4") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("avatar-forcing: ")]
    assert len(lines) == 1 and words in lines[0]


def test_weights_are_checked_and_refused_with_one_line(tmp_path, capsys):
    (tmp_path / "flow_transformer.pth").write_bytes(b"no tensors")
    assert cli.main(["weights", "check", str(tmp_path)]) == 1
    assert cli.main(["weights", "convert", str(tmp_path / "none"), str(tmp_path / "o.safetensors")]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(errors) == 2 and all(line.startswith("avatar-forcing: ") for line in errors)
