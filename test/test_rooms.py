"""The house: imports between rooms point down, none goes in a circle, and no room or file outgrows its walls."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "avatar_forcing_ros"
# From the roof to the ground. A room may import from rooms on floors below its own; `SAME_FLOOR` names what else it may.
FLOORS = (
    {"cli"},
    {"nodes", "bench", "web"},
    {"run", "learning", "serving"},
    {"ros", "generators", "voice"},
    {"motion", "media"},
    {"presentation", "audio", "models"},
    {"timeline", "errors", "paths", "assets"},
)
SAME_FLOOR = {
    ("errors", "assets"), ("paths", "errors"), ("paths", "assets"), ("ros", "generators"), ("web", "bench"), ("nodes", "web"), ("presentation", "audio"), ("ros", "voice"), ("voice", "generators"),
}  # fmt: skip
MOST_LINES, MOST_FILES, MOST_POSITIONAL = 400, 14, 6


def _imports() -> dict[str, set[str]]:
    """Module -> modules of this package that it imports, anywhere in the file."""
    modules = {}
    for path in (ROOT / PACKAGE).rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = path
    found = {}
    for name, path in modules.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [n if (n := f"{node.module}.{a.name}") in modules else node.module for a in node.names]
            else:
                continue
            found[name] |= {n for n in names if n in modules and n != name}
    return found


IMPORTS = _imports()
FLOOR_OF = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_stands_on_a_floor():
    rooms = {_room(m) for m in IMPORTS} - {""}
    assert not rooms - set(FLOOR_OF), "give each room a floor in FLOORS"


def test_imports_point_down():
    wrong = [
        f"{a} -> {b}"
        for a, targets in IMPORTS.items()
        for b in targets
        if _room(a) and _room(b) and _room(a) != _room(b)
        if FLOOR_OF[_room(a)] >= FLOOR_OF[_room(b)] and (_room(a), _room(b)) not in SAME_FLOOR
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_import_goes_in_a_circle():
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if state.get(module) == 2:
            return
        assert state.get(module) != 1, " -> ".join((*trail[trail.index(module) :], module))
        state[module] = 1
        for target in sorted(IMPORTS[module]):
            visit(target, (*trail, module))
        state[module] = 2

    for module in sorted(IMPORTS):
        visit(module, ())


@pytest.mark.parametrize("folder", [PACKAGE, "test", "tools", "launch", "fresh_machine"])
def test_files_and_folders_stay_small(folder):
    paths = [p for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts and "node_modules" not in p.parts]
    long = [f"{p.relative_to(ROOT)}: {n} lines" for p in paths if (n := len(p.read_text().splitlines())) > MOST_LINES]
    assert not long, "\n".join(long)
    full = {p.parent for p in paths}
    crowded = [
        f"{d.relative_to(ROOT)}: {n} files"
        for d in full
        if (n := sum(1 for p in d.glob("*.py") if p.name != "__init__.py")) > MOST_FILES
    ]
    assert not crowded, "\n".join(crowded)


def test_objects_of_many_fields_are_made_by_their_names():
    """Functions of many arguments are ruff's (PLR0917). A private class whose objects are the rows of a table may do without."""
    trees = {p: ast.parse(p.read_text()) for room in (PACKAGE, "tools") for p in (ROOT / room).rglob("*.py")}
    own = {n.name for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node.func)}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and len(node.args) > MOST_POSITIONAL
        if (name := ast.unparse(node.func).split(".")[-1]) in own and not name.startswith("_")
    ]
    assert own and not wrong, "\n".join(wrong)


def test_contributing_lists_the_rooms_that_there_are():
    """Its table's first column: rooms of the package, its files beside them, and the folders of the repository."""
    rows = [
        line.split("|")[1] for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("| `")
    ]
    listed = {name.rstrip("/").split("/")[-1] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    package = {p.name for p in (ROOT / PACKAGE).iterdir() if p.is_dir() and any(p.rglob("*.py"))}
    package |= {p.name for p in (ROOT / PACKAGE).glob("*.py")} - {"__init__.py"}
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if known.returncode:
        pytest.skip("needs git: which folders are the repository's")
    folders = {name.split("/")[0] for name in known.stdout.splitlines() if "/" in name and not name.startswith(".")}
    assert listed == package | folders - {PACKAGE}
