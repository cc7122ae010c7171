"""Which joints of another skeleton stand for this body's: a small JSON file.

    {"version": 1, "up": "z", "joints": {"pelvis": "Hips", "left_hip": "LeftUpLeg", "left_knee": "LeftLeg", ...}}

On the left are this body's joints: all of `retarget.NEEDED`, and what the skeleton has of `retarget.OPTIONAL`. On the
right is what a file calls them; namespaces need not be given, so "Hips" is "mixamorig:Hips" too, and the end site of a
joint is "LeftFoot_end". Skeletons that many people have are in assets/mappings.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from data_loaders.retarget import NEEDED
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.errors import InputError

MAPPINGS = ASSETS / "mappings"

Axis = Literal["x", "y", "z"]
Floor = Literal["feet", "file"]
"""Where the floor is: under the feet that stand lowest, clip by clip, or at height 0 of the file."""

_LISTED = 100
"""Joints that are listed of a file, at most."""


class SkeletonMapping(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Of the format."""
    about: str = ""
    """Whose skeleton it is, for people."""
    up: Axis | None = None
    """Which axis of the files points up; y if nothing says another."""
    floor: Floor | None = None
    """Where the floor is; under the feet if nothing says otherwise."""
    joints: dict[str, str]
    """This body's joints, and what the files call those that stand for them."""

    @field_validator("joints")
    @classmethod
    def _complete(cls, joints: dict[str, str]) -> dict[str, str]:
        for name in joints:
            if name not in JOINTS:
                raise ValueError(f"this body has no {name!r}{_nearest(name, JOINTS)}; it has {', '.join(JOINTS)}")
        if missing := [name for name in NEEDED if name not in joints]:
            raise ValueError(f"{', '.join(missing)} missing; add the joints that stand for them")
        theirs = list(joints.values())
        if twice := [name for name in joints if theirs.count(joints[name]) > 1]:
            raise ValueError(f"{' and '.join(twice)} are both {joints[twice[0]]!r}; give each its own joint")
        return joints

    def missing(self, names: Sequence[str]) -> list[str]:
        """This body's joints whose counterpart is not among the names of a file."""
        return [ours for ours, theirs in self.joints.items() if not _called(theirs, names)]

    def indices(self, names: Sequence[str]) -> dict[str, int]:
        """Where this body's joints are among the names of a file. Raises InputError for any that is not there."""
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
    """Read a mapping file. Raises FileNotFoundError, or InputError that names the field and what is wrong with it."""
    if not path.is_file():
        raise FileNotFoundError(f"no mapping file {path}; write one like those in {MAPPINGS}")
    try:
        return SkeletonMapping.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = "".join(f"{part}: " for part in first["loc"])
        raise InputError(f"{path}: {field}{first['msg'].removeprefix('Value error, ')}; see {MAPPINGS}") from None


@cache
def shipped() -> dict[str, SkeletonMapping]:
    """The mappings of assets/mappings by name."""
    return {path.stem: load_mapping(path) for path in sorted(MAPPINGS.glob("*.json"))}


def best_mapping(names: Sequence[str]) -> str:
    """Which shipped mapping fits a file with these joints: of those whose joints are all there, the one with the most.

    Raises InputError if none fits.
    """
    mappings = shipped()
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
    """Without its namespace."""
    return name.rpartition(":")[2]


def _called(wanted: str, names: Sequence[str]) -> list[str]:
    """The names of a file that a mapping's name means: that name itself, or those that differ in the namespace."""
    return [wanted] if wanted in names else [name for name in names if _bare(name) == _bare(wanted)]


def _nearest(name: str, names: Sequence[str]) -> str:
    """A guess at what was meant, as a remark."""
    close = get_close_matches(_bare(name), [_bare(other) for other in names], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    """The joints of a file without its end sites, as many as a line can hold."""
    joints = [name for name in names if not name.endswith("_end")]
    return ", ".join(joints[:_LISTED]) + ", ..." * (len(joints) > _LISTED)
