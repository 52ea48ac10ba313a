"""Imported last by a process that is forked: what it has imported stays out of garbage collections, which would write to the memory
that its forks share."""

import gc

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CompressedImage, Image

from avatar_forcing_ros import msg
from avatar_forcing_ros.ros.sound import STAMPED

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
