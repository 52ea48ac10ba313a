"""Files that come with the package. README.md beside this file says where each is from."""

from pathlib import Path

_FOLDER = Path(__file__).parent
DEFAULT_PORTRAIT = _FOLDER / "portrait.jpg"
SAMPLE_USER_VIDEO = _FOLDER / "sample" / "user.mp4"
SAMPLE_AVATAR_AUDIO = _FOLDER / "sample" / "avatar.wav"
EMBEDDED_WEIGHTS = DEFAULT_PORTRAIT.parent / "embedded.safetensors"
EMBEDDED_NETWORK = _FOLDER / "embedded"  # the same network as ONNX files, which run without PyTorch
BACK_CHANNEL = _FOLDER / "back_channel.json"  # tells an "mhm" from the beginning of a sentence
HOST = _FOLDER / "host.yaml"  # the script of the host in the box
