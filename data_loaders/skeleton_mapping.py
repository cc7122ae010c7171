"""Mappings from the joints of another skeleton to those of this body, stored as small JSON files.

    {"version": 1, "up": "z", "joints": {"pelvis": "Hips", "left_hip": "LeftUpLeg", "left_knee": "LeftLeg", ...}}

Keys of `joints` are joints of this body: all of `retarget.REQUIRED_JOINTS`, and those of `retarget.OPTIONAL_JOINTS`
that the skeleton has. Values are names in the file. Namespaces may be omitted, so "Hips" matches "mixamorig:Hips", and
the end site of a joint is "LeftFoot_end". Mappings of common skeletons are in assets/mappings.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from data_loaders.retarget import REQUIRED_JOINTS
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError, first_problem

MAPPINGS = ASSETS / "mappings"

Axis = Literal["x", "y", "z"]
Floor = Literal["feet", "file"]
"""Position of the floor: below the lowest standing feet of each clip, or at height 0 of the file."""

_MAX_LISTED = 100
"""Maximum number of joints listed in an error message."""


class SkeletonMapping(BaseModel):
    """Contents of a mapping file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Version of the file format."""
    about: str = ""
    """Description of the skeleton."""
    up: Axis | None = None
    """Vertical axis of the files; y by default."""
    floor: Floor | None = None
    """Position of the floor; under the feet by default."""
    joints: dict[str, str]
    """Names of the file's joints by this body's joints."""

    @field_validator("joints")
    @classmethod
    def _complete(cls, joints: dict[str, str]) -> dict[str, str]:
        for name in joints:
            if name not in JOINTS:
                raise ValueError(f"this body has no {name!r}{_nearest(name, JOINTS)}; it has {', '.join(JOINTS)}")
        if missing := [name for name in REQUIRED_JOINTS if name not in joints]:
            raise ValueError(f"{', '.join(missing)} missing; add the joints that stand for them")
        theirs = list(joints.values())
        if twice := [name for name in joints if theirs.count(joints[name]) > 1]:
            raise ValueError(f"{' and '.join(twice)} are both {joints[twice[0]]!r}; give each its own joint")
        return joints

    def missing(self, names: Sequence[str]) -> list[str]:
        """This body's joints whose counterparts are not among the names of a file."""
        return [ours for ours, theirs in self.joints.items() if not _called(theirs, names)]

    def indices(self, names: Sequence[str]) -> dict[str, int]:
        """Indices of the mapped joints among the names of a file.

        Raises:
            InputError: If a name is missing or ambiguous.
        """
        found = {}
        for ours, theirs in self.joints.items():
            called = _called(theirs, names)
            if not called:
                raise InputError(
                    f"no joint {theirs!r} for {ours}{_nearest(theirs, names)}; there are {_listed(names)}; "
                    "give a mapping that fits"
                )
            if len(called) > 1:
                raise InputError(
                    f"{' and '.join(called)} could both be {theirs!r} for {ours}; give a mapping with whole names"
                )
            found[ours] = names.index(called[0])
        return found


def load_mapping(path: Path) -> SkeletonMapping:
    """Read a mapping file.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With the field and the problem.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no mapping file {path}; write one like those in {MAPPINGS}")
    try:
        return SkeletonMapping.model_validate_json(path.read_bytes())
    except ValidationError as error:
        place, problem = first_problem(error)
        raise InputError(": ".join(map(str, [path, *place, f"{problem}; see {MAPPINGS}"]))) from None


@cache
def shipped_mappings() -> dict[str, SkeletonMapping]:
    """Mappings of assets/mappings by name."""
    return {path.stem: load_mapping(path) for path in sorted(MAPPINGS.glob("*.json"))}


def best_mapping(names: Sequence[str]) -> str:
    """Name of the shipped mapping with the most joints among those whose joints are all in a file.

    Args:
        names: Names of the file's joints.

    Raises:
        InputError: If no mapping fits.
    """
    mappings = shipped_mappings()
    fit = [name for name, mapping in mappings.items() if not mapping.missing(names)]
    if fit:
        return max(fit, key=lambda name: len(mappings[name].joints))
    nearest = max(mappings, key=lambda name: len(mappings[name].joints) - len(mappings[name].missing(names)))
    missing_annotations = mappings[nearest].missing(names)
    some = ", ".join(mappings[nearest].joints[name] for name in missing_annotations[:4]) + ", ..." * (
        len(missing_annotations) > 4
    )
    raise InputError(
        f"no mapping in {MAPPINGS} fits its joints {_listed(names)}; write one for them and give it as mapping "
        f"(nearest is {nearest}.json, but there is no {some})"
    )


def _bare(name: str) -> str:
    """Name without namespace."""
    return name.rpartition(":")[2]


def _called(wanted: str, names: Sequence[str]) -> list[str]:
    """Names of a file that match a mapping's name: the same name, or else those that differ only in the namespace."""
    return [wanted] if wanted in names else [name for name in names if _bare(name) == _bare(wanted)]


def _nearest(name: str, names: Sequence[str]) -> str:
    """Suggestion of a similar name for an error message, or an empty string."""
    close = get_close_matches(_bare(name), [_bare(other) for other in names], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    """Names of a file's joints without end sites, shortened to `_MAX_LISTED`."""
    joints = [name for name in names if not name.endswith("_end")]
    return ", ".join(joints[:_MAX_LISTED]) + ", ..." * (len(joints) > _MAX_LISTED)
