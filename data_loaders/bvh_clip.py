"""A BVH file of any skeleton on this project's body. One that has this very body is taken as it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.formats.bvh import Bvh, read_bvh
from data_loaders.skeleton_mapping import Axis, Floor, Mapping
from data_loaders.skeleton_motion import SAME, motion_of, on_this_body
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import relative_to_parents
from motion_diffusion.body.skeleton import FPS, JOINTS, OFFSETS, PARENTS

Array = NDArray[np.float64]


def read_bvh_joints(
    path: Path,
    mapping: Mapping | None = None,
    *,
    scale: float | None = None,
    up: Axis | None = None,
    floor: Floor | None = None,
    longest: float | None = None,
) -> Array:
    """A BVH file as joints (F, 22, 3) of this body at 20 frames a second, y up, where the file has them.

    mapping: by default the shipped one that fits. scale: metres in one unit, if the legs shall be refused that are no
    person's by it; joints come out the same in any unit, as large as this body. up, floor: by default what the mapping
    says, else y, and under the feet (of this very body at height 0). Raises FileNotFoundError, or InputError that names
    the file. longest: seconds that it may last.
    """
    bvh = read_bvh(path, scale=scale or 1.0, longest=longest)
    return on_this_body(path, bvh, mapping, scale=scale, up=up, floor=floor)[0]


def read_bvh_motion(
    path: Path, mapping: Mapping | None = None, *, up: Axis | None = None, longest: float | None = None
) -> Motion:
    """The same as a motion, in which files of this very skeleton keep their rotations, to the last digits.

    Of another body, whose motion is put on this one, its provenance says {"retargeted": true}.
    """
    bvh = read_bvh(path, scale=1.0, longest=longest)
    if mapping is None and up in (None, "y") and (rig := _rig(bvh)) is not None:
        return Motion.of(rig, provenance={"file": path.name})
    joints, own = on_this_body(path, bvh, mapping, up=up)
    return motion_of(path, joints, retargeted=not own)


def _rig(bvh: Bvh) -> Rig | None:
    """The motion in a file of this very skeleton in any unit, as this project writes them; None of any other."""
    if any(name not in bvh.names for name in JOINTS):
        return None
    places = [bvh.names.index(name) for name in JOINTS]
    above = [bvh.parents[place] for place in places[1:]]
    bones, wanted = bvh.offsets[places[1:]], OFFSETS[1:].numpy()
    metres = (bones * wanted).sum() / max(np.square(bones).sum(), 1e-12)
    if above != [places[parent] for parent in PARENTS[1:]] or np.abs(metres * bones - wanted).max() > SAME:
        return None
    world = torch.from_numpy(bvh.orientations(places))
    root = torch.from_numpy(metres * bvh.world(places[:1])[:, 0])
    return Rig(relative_to_parents(world), root, 1 / bvh.frame_time).at(FPS)
