"""A node's own attributes are its own: one name of the base class or of rclpy, used for something else, breaks both."""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from avatar_forcing_ros import nodes  # noqa: E402
from avatar_forcing_ros.nodes.base import AvatarNode  # noqa: E402


def private_names(kind: type) -> set[str]:
    """What a class writes into `self`, and its methods: those with one underscore before them."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    written = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    methods = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name for name in written | methods if name.startswith("_") and not name.startswith("__")}


def own_classes() -> list[type]:
    for path in sorted(Path(nodes.__file__).parent.glob("*.py")):
        importlib.import_module(f"avatar_forcing_ros.nodes.{path.stem}")
    return [kind for kind in AvatarNode.__subclasses__() if kind.__module__.startswith(nodes.__name__)]


@pytest.mark.parametrize("kind", [AvatarNode, *own_classes()], ids=lambda kind: kind.__name__)
def test_no_name_is_used_twice(kind):
    above = set().union(*(private_names(base) for base in kind.__mro__[1:] if base.__module__ != "builtins"))
    assert not private_names(kind) & above
