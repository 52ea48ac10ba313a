"""Imported last by a process that is forked: what it has imported stays out of garbage collections, which would write to the memory
that its forks share."""

import gc
import importlib.util
import sys

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage, Image

from avatar_forcing_ros import msg
from avatar_forcing_ros.ros.sound import STAMPED


def _leave_out_generator() -> None:
    """Messages import `rosidl_generator_py` for one function. All else of it, which writes messages' code, takes longer to import
    than NumPy, and megabytes: so the package is put in place with that function alone."""
    spec = importlib.util.find_spec("rosidl_generator_py")
    if spec is None or "rosidl_generator_py" in sys.modules:
        return
    package = sys.modules["rosidl_generator_py"] = importlib.util.module_from_spec(spec)
    try:
        from rosidl_generator_py.import_type_support_impl import import_type_support
    except ImportError:  # a distribution that keeps it elsewhere
        del sys.modules["rosidl_generator_py"]
    else:
        package.import_type_support = import_type_support  # type: ignore[attr-defined]


_leave_out_generator()
for _type in (
    *(getattr(msg, name) for name in dir(msg) if name[0].isupper()),
    STAMPED,
    DiagnosticArray,
    CompressedImage,
    Image,
):
    if hasattr(_type, "__import_type_support__"):
        _type.__import_type_support__()  # else each node loads it, at its first publisher
gc.collect()
gc.freeze()
