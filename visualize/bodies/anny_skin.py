"""Anny body (Brégier et al. 2025, Apache 2.0) fitted to this project's skeleton; age and build follow the prompt.

Anny's rest pose has its arms down and MakeHuman's joint positions. It is fitted once, at rest: scaled to our height,
trunk and head stretched between our hips, neck and head, and every limb rotated and stretched along our bone; skinning
weights blend in between. It then moves with our skeleton, and its joints coincide with the motion's at any age: a child
is as tall as an adult.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from motion_diffusion.body import rig
from motion_diffusion.body.rotations import shortest_arc
from motion_diffusion.body.skeleton import ANKLES, JOINTS
from visualize.bodies.surface import Skin
from visualize.drawing.style import suit_colours

Array = NDArray[np.float64]
REST: Array = rig.REST.numpy()
_HIP, _ANKLE, _NECK, _HEAD = (JOINTS.index(name) for name in ("left_hip", "left_ankle", "neck", "head"))
_ARM, _LEG = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "foot")
_LIMBS = [joint for joint, name in enumerate(JOINTS) if name.endswith(_ARM + _LEG)]
_LOWER = 0.09
"""Share of Anny's thigh by which our hips lie below Anny's."""


@dataclass(frozen=True)
class Phenotype:
    """Anny's parameters.

    Attributes:
        age: child 1/3, young 2/3, old 1.
        gender: male 0, female 1.
        weight: thin 0, heavy 1; extrapolates.
        muscle: weak 0, strong 1.
    """

    age: float = 2 / 3
    gender: float = 0.5
    weight: float = 0.5
    muscle: float = 0.5


_PERSON = r"(\w+ )?(person|man|woman|guy|lady|child|boy|girl|male|female)"
"""Nouns that "heavy" or "strong" must refer to; rain and kicks do not count."""
_WORDS: tuple[tuple[str, str, float], ...] = (
    ("age", "old|older|elderly|aged|senior|granny|grand(ma|pa|mother|father)", 1.0),
    ("age", "child|kid|boy|girl|toddler", 0.36),
    ("gender", "woman|women|female|lady|girl|grand(ma|mother)|granny|she|her", 1.0),
    ("gender", "man|men|male|guy|gentleman|boy|grand(pa|father)|he|his|him", 0.0),
    ("weight", f"(heavy|fat|overweight|obese|corpulent) {_PERSON}", 1.4),
    ("weight", f"(thin|skinny|slim|slender) {_PERSON}", -0.2),
    ("muscle", f"(strong|muscular|athletic) {_PERSON}|bodybuilder", 0.95),
    ("muscle", f"(weak|frail|feeble) {_PERSON}", 0.15),
)


def phenotype_from_text(text: str) -> Phenotype:
    """The age and build that a prompt mentions."""
    mentioned: dict[str, float] = {}
    for part, words, value in _WORDS:
        if re.search(rf"\b({words})\b", text.lower()):
            mentioned.setdefault(part, value)
    return Phenotype(**mentioned)


# Our joint that moves each of Anny's bones, by prefix of the bone's name.
_CARRIERS = {
    "root": "pelvis", "pelvis": "pelvis", "upperleg": "hip", "lowerleg": "knee", "foot": "ankle", "toe": "foot",
    "spine05": "pelvis", "spine04": "spine1", "spine03": "spine1", "spine02": "spine2", "spine01": "spine3",
    "clavicle": "collar", "shoulder01": "collar", "upperarm": "shoulder", "lowerarm": "elbow", "wrist": "wrist",
    "finger": "wrist", "metacarpal": "wrist", "neck": "neck", "head": "head", "eye": "head",
}  # fmt: skip


@lru_cache(maxsize=4)
def anny_skin(build: Phenotype) -> Skin:
    """Anny of a phenotype in the rest pose of our skeleton. The library's first use takes minutes to build a cache."""
    import anny
    from anny.paths import get_anny_cache_path

    if not get_anny_cache_path().exists():
        print(f"anny prepares its body once, in {get_anny_cache_path()}; this takes a minute or two", file=sys.stderr)
    model = anny.Anny(skinning_method="lbs", extrapolate_phenotypes=True)
    with torch.no_grad():
        made = model(phenotype_kwargs=asdict(build))
    turned = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # from z up, facing -y
    vertices = made["rest_vertices"][0].double().numpy() @ turned.T
    bones = dict(zip(model.bone_labels, made["rest_bone_heads"][0].double().numpy() @ turned.T, strict=True))
    carriers = np.array([_carrier(label) for label in model.bone_labels])
    shares = np.zeros((len(vertices), len(JOINTS)))
    rows = np.arange(len(vertices))[:, None]
    np.add.at(shares, (rows, carriers[model.vertex_bone_indices.numpy()]), model.vertex_bone_weights.double().numpy())
    joints = np.argsort(-shares, axis=1)[:, :4]
    weights = np.take_along_axis(shares, joints, axis=1)
    return Skin(
        _fit_to_skeleton(vertices, bones, shares),
        model.get_triangular_faces().numpy(),
        joints,
        weights / weights.sum(axis=1, keepdims=True),
        suit_colours(shares),
    )


def _carrier(bone: str) -> int:
    name = next(ours for theirs, ours in _CARRIERS.items() if bone.startswith(theirs))
    sided = {"L": "left_", "R": "right_"}.get(bone.rpartition(".")[2], "")
    return JOINTS.index(name if name in JOINTS else sided + name)


def _fit_to_skeleton(vertices: Array, bones: dict[str, Array], shares: Array) -> Array:
    """Fit Anny's vertices at rest to our skeleton.

    Args:
        vertices: (V, 3) metres.
        bones: head of each of Anny's bones, (3,) metres.
        shares: (V, 22) weights of our joints.

    Returns:
        (V, 3) metres.
    """
    scale = (REST[_NECK, 1] - REST[_ANKLE, 1]) / (bones["neck01"][1] - bones["foot.L"][1])
    hips = bones["upperleg01.L"] + _LOWER * (bones["lowerleg01.L"] - bones["upperleg01.L"])
    result = (1 - shares[:, _LIMBS].sum(axis=1))[:, None] * _trunk(vertices, bones, hips, scale)
    for left, letter in ((1, "L"), (-1, "R")):
        hip = np.array([left * REST[_HIP, 0] / scale, *hips[1:]])
        arm = [bones[f"{name}.{letter}"] for name in ("upperarm01", "lowerarm01", "wrist")]
        leg = [hip, *(bones[f"{name}.{letter}"] for name in ("lowerleg01", "foot", "toe2-1"))]
        for theirs, names in ((arm, _ARM), (leg, _LEG)):
            joints = [JOINTS.index(("left_" if left > 0 else "right_") + name) for name in names]
            for carried, matrix, start, end in _limb(theirs, joints, scale):
                result += shares[:, carried].sum(axis=1)[:, None] * ((vertices - start) @ matrix.T + end)
    return result


def _trunk(vertices: Array, bones: dict[str, Array], hips: Array, scale: float) -> Array:
    """Scale the vertices, stretch their heights between hips, neck and head, and shift them forward to our joints."""
    theirs = np.array([hips, bones["neck01"], bones["head"]])
    ours = REST[[_HIP, _NECK, _HEAD]]
    beyond = np.array([-1.0, 1.0])  # metres below the hips and above the head, which are not stretched
    knots = np.concatenate([theirs[:1, 1] + beyond[0], theirs[:, 1], theirs[-1:, 1] + beyond[1]])
    heights = np.concatenate([ours[:1, 1] + scale * beyond[0], ours[:, 1], ours[-1:, 1] + scale * beyond[1]])
    y = np.interp(vertices[:, 1], knots, heights)
    fore = np.interp(vertices[:, 1], theirs[:, 1], ours[:, 2] - scale * theirs[:, 2])
    return np.stack([scale * vertices[:, 0], y, scale * vertices[:, 2] + fore], axis=-1)


def _limb(theirs: list[Array], joints: list[int], scale: float) -> Iterator[tuple[list[int], Array, Array, Array]]:
    """Affine maps of the bones of a limb: joints that they move, matrix, origin before and origin after.

    Bones are rotated by the shortest arc and stretched. A hand moves with the forearm; a foot rotates about the
    vertical.
    """
    matrix = scale * np.eye(3)
    for place, (joint, end) in enumerate(pairwise(joints)):
        bone, wanted = theirs[place + 1] - theirs[place], REST[end] - REST[joint]
        if joint in ANKLES:
            level = [vector * [1, 0, 1] / np.linalg.norm(vector * [1, 0, 1]) for vector in (bone, wanted)]
            yield [joint, end], scale * _shortest_turn(*level), theirs[place], REST[joint]
            return
        along, length = bone / np.linalg.norm(bone), np.linalg.norm(bone)
        turn = _shortest_turn(along, wanted / np.linalg.norm(wanted))
        stretch = np.linalg.norm(wanted) / length - scale
        matrix = scale * turn
        yield [joint], matrix + stretch * turn @ np.outer(along, along), theirs[place], REST[joint]
    yield joints[-1:], matrix, theirs[-1], REST[joints[-1]]


def _shortest_turn(a: Array, b: Array) -> Array:
    rotation: Array = shortest_arc(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    return rotation
