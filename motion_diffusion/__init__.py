"""Text and goals to skeletal human motion, by diffusion.

    import motion_diffusion as md

    model = md.load("v-masks")
    motion = model.generate("a tired person walks", seconds=6, goals=[md.Waypoint(time=2, x=0.0, z=2.0)], seed=0)
    motion.save("motion.npz")
    motion.render("motion.mp4")

Names are imported when they are first used, so that `import motion_diffusion` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guidance.classifier import Classifier
    from guidance.goals.goal_set import (
        Contact,
        GoalSet,
        Heading,
        Joint,
        Loop,
        Obstacle,
        Orientation,
        PathGoal,
        Pose,
        Relation,
        Segment,
        Waypoint,
        load_goals,
    )
    from guidance.imputation import Imputation
    from guidance.masks import Masks
    from guidance.noise_optimization import NoiseOptimization
    from guidance.projection import Projection
    from guidance.protocol import Guidance, GuidanceProblem
    from guidance.two_stage import TwoStage
    from motion_diffusion.body.motion import Motion
    from motion_diffusion.model import MotionModel
    from sample.generate import Settings
    from sample.generate import generate_motions as generate

_MODULES = {
    "guidance.classifier": ("Classifier",),
    "guidance.goals.goal_set": (
        "Contact", "GoalSet", "Heading", "Joint", "Loop", "Obstacle", "Orientation", "PathGoal", "Pose", "Relation",
        "Segment", "Waypoint", "load_goals",
    ),
    "guidance.imputation": ("Imputation",),
    "guidance.masks": ("Masks",),
    "guidance.noise_optimization": ("NoiseOptimization",),
    "guidance.projection": ("Projection",),
    "guidance.protocol": ("Guidance", "GuidanceProblem"),
    "guidance.two_stage": ("TwoStage",),
    "motion_diffusion.body.motion": ("Motion",),
    "motion_diffusion.model": ("MotionModel",),
    "sample.generate": ("Settings",),
}  # fmt: skip
_PLACES = {name: (module, name) for module, names in _MODULES.items() for name in names}
_PLACES["generate"] = ("sample.generate", "generate_motions")

__all__ = [*_PLACES, "load"]


def load(name: str) -> MotionModel:
    """Load a shipped model by its name, or any model or training run by its directory.

    Raises:
        FileNotFoundError: If there is none; the message lists those that are shipped.
        InputError: If its files are damaged.
    """
    from motion_diffusion.model import MotionModel

    return MotionModel.load(name)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
