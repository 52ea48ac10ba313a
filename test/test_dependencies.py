"""Whatever the package imports or starts is declared: in package.xml for rosdep, in requirements for pip."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DECLARED = set(re.findall(r"<(?:exec_|build_|test_)?depend>([^<]+)</", (ROOT / "package.xml").read_text()))
ROS = {"rclpy", "launch", "launch_ros", "ament_index_python", "tf2_ros", "rosidl_generator_py"}
OPTIONAL = {"hri_msgs", "ffmpeg_image_transport_msgs"}  # read where they are there; nothing is missing without them
# Imported name -> name of the distribution, where they differ.
CALLED = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml", "pipecat": "pipecat-ai", "hibari": "hibari-tts",
    "pygame": "pygame-ce",
}  # fmt: skip
# What a requirement of ours brings because it needs it itself.
BROUGHT_BY = {"aioice": "aiortc", "ifaddr": "aiortc", "lz4": "rosbags", "flatbuffers": "onnxruntime"}
# Another choice of the user's, or one of two names of a thing that newer Pythons have.
CHOICES = {"kokoro", "compression", "backports"}


def _imported(folder: str) -> dict[str, str]:
    """Top-level modules that a folder's files import, and one file that does."""
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found |= {name.split(".")[0]: str(path.relative_to(ROOT)) for name in names}
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names | {"avatar_forcing_ros"}}


def _is_ros(name: str) -> bool:
    return name in ROS or name.endswith(("_msgs", "_interfaces", "_srvs"))


def test_every_ros_package_that_is_imported_is_in_package_xml():
    wanted = {n: f for folder in ("avatar_forcing_ros", "launch") for n, f in _imported(folder).items() if _is_ros(n)}
    assert len(wanted) > 5 and not {n: f for n, f in wanted.items() if n not in DECLARED | OPTIONAL}


def test_what_launch_files_start_is_in_package_xml():
    text = "".join(path.read_text() for path in (ROOT / "launch").glob("*.py"))
    packages = set(re.findall(r'package="(\w+)"', text)) - {"avatar_forcing_ros"}
    commands = {f"ros2{verb}" for verb in re.findall(r'\["ros2", "(\w+)"', text)}
    assert packages and commands and packages | commands <= DECLARED


def test_every_other_package_that_is_imported_is_in_the_requirements():
    files = [ROOT / "requirements.txt", *(ROOT / "requirements").glob("*.txt")]
    lines = [line for file in files for line in file.read_text().splitlines() if line and not line.startswith("#")]
    required = {re.match(r"[\w-]+", line).group().lower().replace("_", "-") for line in lines}
    imported = {n: f for n, f in _imported("avatar_forcing_ros").items() if not _is_ros(n)}
    missing = {
        n: f for n, f in imported.items()
        if CALLED.get(n, BROUGHT_BY.get(n, n)).lower().replace("_", "-") not in required and n not in CHOICES
    }  # fmt: skip
    assert len(imported) > 10 and not missing
