"""Evaluation protocols by name: those of the field's papers, and a quick one; and the units of work they consist of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from motion_diffusion.body.skeleton import KEY_JOINTS

POOL = 32
"""Motions among which a text must find its own, for R-precision."""


@dataclass(frozen=True)
class Condition:
    """Key frames of generated motions. Conditions of the same group are averaged into one column."""

    group: str
    frames: int = 0
    """Number of key frames in every motion."""
    share: float = 0.0
    """Share of the frames that are key frames, if not 0; it takes precedence."""
    joints: tuple[str, ...] = ("pelvis",)
    """Joints given at the key frames."""
    height: bool = True
    """Whether the pelvis is given in space, or only its position on the floor."""
    guided: bool = True
    """Whether the model is guided to the key frames, or generates from the text alone and is only measured at them."""

    def count(self, length: int) -> int:
        """Number of key frames of a motion with `length` frames."""
        return max(1, round(self.share * length)) if self.share else self.frames


@dataclass(frozen=True)
class Protocol:
    """Conditions, and numbers of motions and repetitions. `dataclasses.replace` changes them."""

    name: str
    conditions: tuple[Condition, ...]
    num: int
    """Motions in a replication, `POOL` or more."""
    replications: int
    """Repetitions with other clips, key frames and seeds."""
    prompts: int
    """Prompts with `REPEATS` motions each, for multimodality and trajectory diversity; 0 for none."""


REPEATS = 30
"""Motions of the same prompt for multimodality (Guo et al. 2022)."""

PROTOCOLS = {
    "quick": Protocol(
        "quick",
        (
            Condition("unguided", 5, height=False, guided=False),
            Condition("5 key frames", 5, height=False),
        ),
        num=96,
        replications=2,
        prompts=0,
    ),
    "text": Protocol("text", (Condition("unguided", guided=False),), num=1024, replications=20, prompts=100),
    "gmd": Protocol("gmd", (Condition("5 key frames", 5, height=False),), num=1024, replications=20, prompts=100),
    "omnicontrol": Protocol(
        "omnicontrol",
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
"""quick: a table within ten minutes on two cores. text: Guo et al. 2022. gmd: five random key frames of the pelvis on
the floor (Karunratanakul et al. 2023). omnicontrol: one joint at 1, 2, 5, 25 % and all of the frames, averaged over
these densities for each joint (Xie et al. 2024)."""


@dataclass(frozen=True)
class Unit:
    """A unit of work: a condition in a replication, or real clips, which have no condition."""

    group: str
    replication: int
    condition: Condition | None = None
    several: bool = False
    """Whether to generate `REPEATS` motions for each of a few prompts."""


REAL, OTHER = "real clips", "training clips"
"""Groups of real clips: those of the test split, and those of the training split for comparison."""


def units_of(protocol: Protocol) -> Iterator[Unit]:
    """All units of a protocol."""
    for replication in range(protocol.replications):
        yield Unit(REAL, replication)
        yield Unit(OTHER, replication)
        for condition in protocol.conditions:
            yield Unit(condition.group, replication, condition)
    if protocol.prompts:
        for condition in protocol.conditions:
            yield Unit(condition.group, 0, condition, several=True)
