"""What is measured, by name: the field's protocols as its papers have them, and a quick one."""

from __future__ import annotations

from dataclasses import dataclass

from motion_diffusion.body.skeleton import KEY_JOINTS


@dataclass(frozen=True)
class Condition:
    """One way of asking for motions. Figures of the conditions of a group are averaged into one column."""

    group: str
    frames: int = 0
    """Key frames, so many in every motion ..."""
    share: float = 0.0
    """... or such a share of all; both 0 for none."""
    joints: tuple[str, ...] = ("pelvis",)
    """Joints that are given there."""
    height: bool = True
    """Whether the pelvis is given in space, or only above a place on the floor."""
    guided: bool = True
    """Whether the model is guided to what is given, or has the words alone and is only measured at it."""

    def count(self, length: int) -> int:
        """Key frames of a motion of so many frames."""
        return max(1, round(self.share * length)) if self.share else self.frames


@dataclass(frozen=True)
class Protocol:
    """Conditions, and how often what is done."""

    conditions: tuple[Condition, ...]
    num: int
    """Motions a replication."""
    replications: int
    prompts: int
    """Sentences of which `REPEATS` motions each are made, for multimodality and the diversity of ways; 0 for none."""


REPEATS = 30
"""Motions of one sentence that multimodality is measured on (Guo et al. 2022)."""

PROTOCOLS = {
    "quick": Protocol(
        (
            Condition("unguided", 5, height=False, guided=False),
            Condition("5 key frames", 5, height=False),
        ),
        num=96,
        replications=2,
        prompts=0,
    ),
    "text": Protocol((Condition("unguided", guided=False),), num=1024, replications=20, prompts=100),
    "gmd": Protocol((Condition("5 key frames", 5, height=False),), num=1024, replications=20, prompts=100),
    "omnicontrol": Protocol(
        tuple(
            Condition(joint, frames, share, (joint,))
            for joint in KEY_JOINTS
            for frames, share in ((1, 0), (2, 0), (5, 0), (0, 0.25), (0, 1.0))
        ),
        num=1024,
        replications=10,
        prompts=0,
    ),
}
"""quick: a table within ten minutes on two cores. text: Guo et al. 2022. gmd: five random key frames of the pelvis'
place on the floor (Karunratanakul et al. 2023). omnicontrol: one joint at 1, 2, 5, 25 % and all of the frames; of every
joint the mean over these densities (Xie et al. 2024)."""
