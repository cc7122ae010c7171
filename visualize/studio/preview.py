"""Previews: motions of few sampling steps, shown while their plan is being changed.

A preview begins with the noise of the motion that `sample.generate.generate` makes for the same plan, and its goals are
met likewise, so that the motion changes gradually with the plan and settles into that motion. The body is not fitted
to it: the last estimate x̂0 is the motion, since x_0 = x̂0 in every sampler's last step.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from guidance.compose import parse_methods
from motion_diffusion.body.rotations import orientations
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Estimate
from motion_diffusion.model import MotionModel
from sample.editing import edited
from sample.generate import Request, Settings, generate, methods_of, sampling_of
from sample.segments import is_stitched
from visualize.studio.generation import Poses
from visualize.studio.job_queue import JobMonitor
from visualize.studio.plan import Plan

PREVIEW = Settings(steps=4, sampler="sde-dpm++2m", clean_up=False)
"""Sampler, steps and clean-up of previews: the nearest to the motion in full quality of those that take as long
(docs/LOG.md, "Previews while a goal is dragged").
"""
FAST_METHODS = ("masks", "imputation", "projection", "none")
"""Guidance methods that take no gradients and prescribe no steps; previews leave out others."""


def preview_settings(plan: Plan, model: MotionModel) -> Settings:
    """Settings of a plan's preview. A distilled model takes few steps as it is."""
    fast = [name for name in parse_methods(plan.guidance) if name in FAST_METHODS]
    guidance = "+".join(fast) or ("none" if plan.guidance == "none" else PREVIEW.guidance)
    settings = replace(plan.settings, guidance=guidance, clean_up=False)
    if model.config.recommended.only:
        return settings
    return replace(settings, steps=PREVIEW.steps, sampler=PREVIEW.sampler)


class _Finished(Exception):
    """Ends sampling with the last estimate."""

    def __init__(self, x0: Tensor):
        self.x0 = x0


def preview(plan: Plan, model: MotionModel, monitor: JobMonitor) -> Poses:
    """Generate the preview of a plan.

    Args:
        plan: To preview; of its takes the first.
        model: The plan's model.
        monitor: Stops it between steps.

    Raises:
        InputError: For a plan that cannot be generated.
        JobStopped: If the monitor stops the job.
    """
    settings, wanted = preview_settings(plan, model), plan.goal_set
    methods = methods_of(settings) if plan.goals or plan.base is not None else ()
    steps, done = sampling_of(settings.of(model), methods).steps, 0

    def on_step(t: int, estimate: Estimate) -> None:
        nonlocal done
        done += 1
        monitor.step(done / steps)
        if done == steps and plan.base is None:
            raise _Finished(estimate.x0)

    monitor.step(0.0)
    if plan.base is not None:
        part = plan.base.part(plan.generated_seconds)
        motion = edited(model, plan.text, part, goals=wanted, seed=plan.seed, settings=settings, on_step=on_step)
        return Poses.of(motion)
    try:
        generate(
            model, [plan.text], [plan.frames], goals=[wanted], seeds=[plan.seed], settings=settings, on_step=on_step
        )
    except _Finished as finished:
        stitched = is_stitched(plan.parts, model.max_frames)
        request = (Request.of_segments if stitched else Request.of_motions)(
            model, [plan.text], [plan.frames], [wanted], [plan.seed]
        )
        (joints,) = request.joints(finished.x0, guided=bool(methods)).double()
        return Poses.of_joints(joints, orientations(joints), FPS)
    raise AssertionError("sampling ended before its last step")
