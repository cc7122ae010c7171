from pathlib import Path

import numpy as np
import pytest

from data_loaders.bandai import Clip
from data_loaders.procedural import ProceduralWalks
from motion_diffusion.skeleton import JOINTS

SOURCE = {
    "Hips": "pelvis", "Spine": "spine1", "Chest": "spine3", "Neck": "neck", "Head": "head",
    **{
        f"{theirs}_{letter}": f"{side}_{ours}"
        for side, letter in (("left", "L"), ("right", "R"))
        for theirs, ours in {
            "Shoulder": "collar", "UpperArm": "shoulder", "LowerArm": "elbow", "Hand": "wrist",
            "UpperLeg": "hip", "LowerLeg": "knee", "Foot": "ankle", "Toes": "foot",
        }.items()
    },
}  # fmt: skip
"""Joints of the Bandai-Namco skeleton and those of ours that stand in for them."""


def write_bandai(path: Path, joints: np.ndarray) -> None:
    """Write joints (F, 22, 3) in metres, 30 frames a second, as a BVH file with the joint names of Bandai-Namco.

    Every joint hangs on the root by its position channels and has no rotation: the file says exactly these positions.
    """
    lines = ["HIERARCHY", "ROOT joint_Root", "{", "OFFSET 0 0 0", "CHANNELS 3 Xposition Yposition Zposition"]
    for name in SOURCE:
        lines += [f"JOINT {name}", "{", "OFFSET 0 0 0"]
        lines += ["CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"]
        lines += ["End Site", "{", "OFFSET 0 0 0", "}", "}"]
    lines += ["}", "MOTION", f"Frames: {len(joints)}", f"Frame Time: {1 / 30:.6f}"]
    for frame in joints:
        numbers = [0.0, 0.0, 0.0]
        for ours in SOURCE.values():
            numbers += [*(100 * frame[JOINTS.index(ours)]).tolist(), 0.0, 0.0, 0.0]
        lines.append(" ".join(f"{number:.5f}" for number in numbers))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(name="write_bandai")
def _write_bandai():
    return write_bandai


@pytest.fixture(scope="session")
def walk() -> np.ndarray:
    """A procedural walk (120, 22, 3), float64."""
    return ProceduralWalks(0, 120, 120).example(0).joints.astype(np.float64)


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Walks that go by the names of clips, with actions and styles of Bandai-Namco."""
    labels = [("walk", "tired"), ("run", "normal"), ("walk-turn-left", "tired"), ("bow", "proud"), ("walk", "normal")]
    walks = ProceduralWalks(1, 150, 60)
    return [
        Clip(f"dataset-2_{action}_{style}_{i:03d}", action, style, walks.example(i).joints)
        for i, (action, style) in enumerate(labels * 3)
    ]
