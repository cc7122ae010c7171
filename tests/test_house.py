"""The house is in order: what conda installs is what pip installs, and every import is one of ours to make."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("data_loaders", "guidance", "motion_diffusion", "sample", "train", "visualize")
IMPORTED_AS = {"pillow": "PIL", "openai-clip": "clip"}


def test_environment_has_the_packages_of_pyproject():
    wanted = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    listed = re.findall(r"^      - (\S+)$", (ROOT / "environment.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(wanted))


def test_constraints_pin_all_that_is_installed():
    """What we ask for, what that asks for, and so on, as far as it is installed here."""
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pinned = {canonicalize_name(name) for name in pins}
    assert pins["torch"] == "2.13.0"
    needed: set[str] = set()
    queue = [(Requirement(line), "") for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    while queue:
        requirement, extra = queue.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name not in needed and _installed(name):
            needed.add(name)
            asked = [*requirement.extras, ""]
            queue += [(Requirement(line), extra) for line in metadata.requires(name) or [] for extra in asked]
    assert len(needed) > 80
    assert needed - pinned == set()


def _installed(name: str) -> bool:
    """Whether a distribution is installed; some are for other platforms."""
    return any(metadata.Distribution.discover(name=name))


def test_every_import_is_declared():
    """No package is used that only happens to be installed."""
    declared = {re.split(r"[<>=]", line)[0] for line in PROJECT["dependencies"]}
    extras = "accelerate anny clip onnx onnxruntime pyvista smplx transformers viser"  # imported late
    declared = {IMPORTED_AS.get(name, name) for name in declared} | set(extras.split())
    imported: dict[str, str] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            imported |= {name.split(".")[0]: str(path) for name in names}
    foreign = set(imported) - set(sys.stdlib_module_names) - set(PACKAGES)
    assert foreign - declared == set()
