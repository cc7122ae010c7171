"""Imports run one way: motion_diffusion <- guidance, data_loaders <- visualize <- sample, train."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

BELOW = {
    "motion_diffusion": set(),
    "guidance": {"motion_diffusion"},
    "data_loaders": {"motion_diffusion"},
    "visualize": {"motion_diffusion", "guidance", "data_loaders"},
    "sample": {"motion_diffusion", "guidance", "data_loaders", "visualize"},
    "train": {"motion_diffusion", "guidance", "data_loaders", "visualize"},
}
"""The rooms, and those that each may import besides itself."""

COMMANDS = {"sample.evaluate", "sample.benchmark", "train.benchmark", "train.fit_scale", "train.matcher"}
"""Modules that are commands, in addition to every `__main__`."""

FACADE = "motion_diffusion"
"""The package itself, whose names are imported when they are first used."""

EXCEPTIONS = {("motion_diffusion.model", "sample.generate"), ("motion_diffusion.body.motion", "visualize.film")}
"""(module, imported module): `model.generate` and `motion.render`, imported when they are called. Do not add any."""


def is_on_the_roof(module: str) -> bool:
    """Whether a module may import anything, and may be imported from the roof only."""
    return module in COMMANDS | {FACADE} or module.endswith(".__main__") or module.startswith("visualize.studio")


def modules() -> dict[str, Path]:
    """All modules of the rooms by name."""
    paths = (path for room in BELOW for path in (ROOT / room).rglob("*.py"))
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    assert len(names) > 100
    return names


def imported_by(path: Path, known: dict[str, Path], *, at_once: bool = False) -> Iterator[str]:
    """Modules of the rooms that a file imports; `from package import module` counts as the module.

    at_once: only what is imported with the file, and not what its functions import when they are called.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known or node.module in known:
                    yield inner if inner in known else node.module


def test_imports_run_one_way():
    known = modules()
    wrong = set()
    for module, path in known.items():
        room = module.split(".")[0]
        for other in imported_by(path, known):
            if is_on_the_roof(module):
                continue
            if is_on_the_roof(other) or other.split(".")[0] not in BELOW[room] | {room}:
                wrong.add((module, other))
    assert wrong == EXCEPTIONS


def test_modules_have_no_import_cycles():
    """Following imports from a module never leads back to it, but for what functions import when they are called."""
    known = modules()
    graph = {module: set(imported_by(path, known, at_once=True)) - {module} for module, path in known.items()}
    while free := [module for module, others in graph.items() if not others & graph.keys()]:
        for module in free:
            del graph[module]
    assert not graph


def test_a_motion_is_generated_without_pytorch_s_compiler():
    """Importing it takes a third of the time of a fresh process; a library for rotations once did."""
    code = (
        "import sys, motion_diffusion as md; "
        "md.load('v-live').generate('a person walks', seconds=1); "
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
