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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import motion_diffusion.threads  # before PyTorch, whose threads it tells how to wait

if TYPE_CHECKING:
    from guidance.classifier import Classifier
    from guidance.goals.goal_set import GoalSet, Segment
    from guidance.goals.heading import Heading
    from guidance.goals.obstacles import Obstacle
    from guidance.goals.orientations import Orientation
    from guidance.goals.poses import Pose
    from guidance.goals.positions import Joint, PathGoal, Waypoint
    from guidance.goals.relations import Contact, Loop, Relation
    from guidance.imputation import Imputation
    from guidance.masks import Masks
    from guidance.moment_matching import MomentMatching
    from guidance.noise_optimization import NoiseOptimization
    from guidance.projection import Projection
    from guidance.protocol import Guidance, GuidanceProblem
    from guidance.spherical import Spherical
    from guidance.training_free import TrainingFree
    from guidance.twisted_smc import TwistedSMC
    from guidance.two_stage import TwoStage
    from motion_diffusion.body.motion import Motion
    from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction
    from motion_diffusion.diffusion.samplers import SAMPLERS, Estimate, Sampler
    from motion_diffusion.diffusion.schedule import SCHEDULES, Schedule
    from motion_diffusion.diffusion.text_guidance import TextGuidance
    from motion_diffusion.engine import EngineName
    from motion_diffusion.model import ModelConfig, MotionModel
    from motion_diffusion.network.text_encoders import TEXT_ENCODERS, TextEncoder
    from motion_diffusion.sampling import MotionDenoiser
    from sample.generate import Settings
    from sample.generate import generate_motions as generate

_MODULES = {
    "guidance.classifier": ("Classifier",),
    "guidance.goals.goal_set": ("GoalSet", "Segment"),
    "guidance.goals.heading": ("Heading",),
    "guidance.goals.obstacles": ("Obstacle",),
    "guidance.goals.orientations": ("Orientation",),
    "guidance.goals.poses": ("Pose",),
    "guidance.goals.positions": ("Joint", "PathGoal", "Waypoint"),
    "guidance.goals.relations": ("Contact", "Loop", "Relation"),
    "guidance.imputation": ("Imputation",),
    "guidance.masks": ("Masks",),
    "guidance.moment_matching": ("MomentMatching",),
    "guidance.noise_optimization": ("NoiseOptimization",),
    "guidance.projection": ("Projection",),
    "guidance.protocol": ("Guidance", "GuidanceProblem"),
    "guidance.spherical": ("Spherical",),
    "guidance.training_free": ("TrainingFree",),
    "guidance.twisted_smc": ("TwistedSMC",),
    "guidance.two_stage": ("TwoStage",),
    "motion_diffusion.body.motion": ("Motion",),
    "motion_diffusion.diffusion.prediction": ("PREDICTIONS", "Prediction"),
    "motion_diffusion.diffusion.samplers": ("Estimate", "SAMPLERS", "Sampler"),
    "motion_diffusion.diffusion.schedule": ("SCHEDULES", "Schedule"),
    "motion_diffusion.diffusion.text_guidance": ("TextGuidance",),
    "motion_diffusion.model": ("ModelConfig", "MotionModel"),
    "motion_diffusion.network.text_encoders": ("TEXT_ENCODERS", "TextEncoder"),
    "motion_diffusion.sampling": ("MotionDenoiser",),
    "sample.generate": ("Settings",),
}  # fmt: skip
_PLACES = {name: (module, name) for module, names in _MODULES.items() for name in names}
_PLACES["generate"] = ("sample.generate", "generate_motions")

__all__ = [*_PLACES, "load", "load_goals"]


def load(name: str, *, engine: EngineName = "torch") -> MotionModel:
    """Load a shipped model by its name, or any model or training run by its directory.

    Args:
        name: Name or directory.
        engine: What evaluates the network: "torch", "onnx" (ONNX Runtime, the extra `onnx`), or "auto" for the faster.

    Raises:
        FileNotFoundError: If there is none; the message lists those that are shipped.
        InputError: If its files are damaged, or the engine is not installed.
    """
    from motion_diffusion.model import MotionModel

    return MotionModel.load(name, engine=engine)


def load_goals(path: str | Path) -> GoalSet:
    """Read a goal file, with the motions that it names.

    Raises:
        FileNotFoundError: If there is none.
        InputError: For what is no goal file; the message names the goal and the field.
    """
    from data_loaders.load_motion import read_motion
    from guidance.goals.goal_file import load_goals

    return load_goals(path, read_motion=read_motion)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
