"""Settings as ROS parameters of a node: nested names in files, on the command line and while it lives."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS: parameters are of its nodes")

from rclpy.parameter import Parameter  # noqa: E402

from avatar_forcing_ros.models.config import Anchor  # noqa: E402
from avatar_forcing_ros.nodes.motion_generator import MotionGenerator  # noqa: E402

FILE = """
/**:
  ros__parameters:
    seed: 7
    anchor:
      gain: 0.25
      slew: 0.5
"""


def test_a_group_of_settings_is_nested_parameters(domain, tmp_path):
    (tmp_path / "own.yaml").write_text(FILE)
    given = ["--ros-args", "--params-file", str(tmp_path / "own.yaml"), "-p", "anchor.slew:=0.125"]
    rclpy.init(args=given, domain_id=int(domain))
    try:
        node = MotionGenerator()
        settings = node.settings
        assert (settings.seed, settings.anchor.gain, settings.anchor.slew) == (7, 0.25, 0.125)
        assert settings.anchor.enabled and settings.anchor.dead_band is None
        (result,) = node.set_parameters([Parameter("anchor.gain", value=2.0)])
        assert not result.successful and "anchor.gain is 2.0; give 0 to 1" in result.reason
        (result,) = node.set_parameters([Parameter("anchor.dead_band", value=4.0)])
        assert result.successful and node.settings.anchor.dead_band == 4.0 and node.settings.anchor.gain == 0.25
        options = node._network_options(type("Made", (), {"anchor": Anchor(time_constant=9.0)}))
        assert options["anchor"] == Anchor(time_constant=9.0, dead_band=4.0, gain=0.25, slew=0.125)
        node.set_parameters([Parameter("anchor.enabled", value=False)])
        assert node._network_options(type("Made", (), {"anchor": None}))["anchor"] is None
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
