"""Live display: the displayed motion follows the plan while it is being changed.

A change of the plan asks for a preview. At most one preview of a client is computed and one waits, which is that of
the newest plan, so that a preview shows the plan as it was when its computation began. Once the plan has rested for
`REST` seconds, the motion is made in full quality from the same noise. It takes the place of the last motion made so,
unless that one was kept.

A preview has few sampling steps. It begins with the noise of the motion that `sample.generate.generate` makes for the
same plan, and its goals are met likewise, so that the motion changes gradually with the plan and settles into that
motion. The body is not fitted to it: the last estimate x̂0 is the motion, since x_0 = x̂0 in every sampler's last step.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from guidance.compose import parse_methods
from motion_diffusion.body.rotations import orientations
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Estimate
from motion_diffusion.model import MotionModel
from sample.editing import edited
from sample.generate import Request, Settings, generate, methods_of, sampling_of
from sample.segments import is_stitched
from visualize.studio.generation import Models, Poses, Take, generate_takes
from visualize.studio.job_queue import Job, JobMonitor, JobQueue, Outcome, Urgency
from visualize.studio.plan import Plan
from visualize.studio.threads import Task

REST = 0.3
"""Seconds without a change after which a motion is made in full quality."""
PREVIEW = Settings(steps=4, sampler="sde-dpm++2m")
"""Sampler and steps of previews: the nearest to the motion in full quality of those that take as long
(docs/LOG.md, "Previews while a goal is dragged").
"""
FAST_METHODS = ("masks", "imputation", "projection", "none")
"""Guidance methods that take no gradients and prescribe no steps; previews leave out others."""
R = TypeVar("R")


def preview_settings(plan: Plan, model: MotionModel) -> Settings:
    """Settings of a plan's preview. A distilled model takes few steps as it is."""
    fast = [name for name in parse_methods(plan.guidance) if name in FAST_METHODS]
    guidance = "+".join(fast) or ("none" if plan.guidance == "none" else PREVIEW.guidance)
    settings = replace(plan.settings, guidance=guidance)
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


def same_motion(one: Plan, other: Plan | None) -> bool:
    """Whether the first takes of two plans are the same motion."""
    return other is not None and one.changed("count", 1) == other.changed("count", 1)


@dataclass(frozen=True)
class LiveCallbacks:
    """How live display reaches its session.

    Attributes:
        post: runs a task on the event loop, even if the loop is full.
        post_later: runs a task on the event loop after some seconds, instead of the pending one of the same key.
        find: the take of a plan, if there is one.
        choose: displays a take.
        finished: receives a motion in full quality.
    """

    post: Callable[[Task], None]
    post_later: Callable[[str, float, Task], None]
    find: Callable[[Plan], Take | None]
    choose: Callable[[Take], None]
    finished: Callable[[Take], None]


class LiveMotion:
    """The live motion of one client. Its methods run on the page's event loop.

    Attributes:
        enabled: whether the motion follows the plan.
        poses: preview on display; None while a take is displayed.
    """

    def __init__(self, models: Models, queue: JobQueue, owner: Hashable, callbacks: LiveCallbacks):
        self.enabled = True
        self.poses: Poses | None = None
        self._models, self._queue, self._owner, self._callbacks = models, queue, owner, callbacks
        self._plan: Plan | None = None
        """The plan that is followed; None while nothing has changed since a take was displayed."""
        self._last: Plan | None = None
        self._final: Job | None = None

    @property
    def following(self) -> bool:
        """Whether the motion of the newest plan in full quality is still to come."""
        return self._plan is not None

    def enable(self, enabled: bool, plan: Plan) -> None:
        """Begin or end following the plan."""
        self.enabled, self._last = enabled, None
        self.settle()
        self.follow(plan)

    def follow(self, plan: Plan) -> None:
        """Display the motion of a plan: its take if there is one, or else previews until it is made."""
        if not self.enabled or same_motion(plan, self._last):
            return
        self._last = plan
        if (take := self._callbacks.find(plan)) is not None:
            self.settle()
            self._callbacks.choose(take)
            return
        self._stop_final()
        self._plan = plan
        self._submit(plan, self._preview, self._show_preview, Urgency.PREVIEW)
        self._callbacks.post_later("rest", REST, self._make_final)

    def settle(self) -> None:
        """Display takes again and drop what is still to come."""
        self._plan = self.poses = None
        self._stop_final()

    def _preview(self, plan: Plan, monitor: JobMonitor) -> Poses:
        return preview(plan, self._models.get(plan.model), monitor)

    def _show_preview(self, poses: Poses) -> None:
        if self.following:
            self.poses = poses

    def _make_final(self) -> None:
        if self._plan is not None:
            self._final = self._submit(self._plan, self._generate, self._show_final, Urgency.FINAL)

    def _generate(self, plan: Plan, monitor: JobMonitor) -> Take:
        model = self._models.get(plan.model)
        return generate_takes(plan.changed("count", 1), model, monitor, self._models.text_motion_encoder)[0]

    def _show_final(self, take: Take) -> None:
        if same_motion(take.plan, self._plan):
            self.settle()
            self._callbacks.finished(take)

    def _stop_final(self) -> None:
        if self._final is not None:
            self._queue.stop(self._final)
            self._final = None

    def _submit(
        self, plan: Plan, run: Callable[[Plan, JobMonitor], R], show: Callable[[R], None], urgency: Urgency
    ) -> Job:
        """Queue a job. Plans that cannot be generated are reported with the plan, not here."""

        def done(outcome: Outcome) -> None:
            if outcome.result is not None:
                self._callbacks.post(lambda: show(outcome.result))

        return self._queue.submit(self._owner, lambda monitor: run(plan, monitor), done=done, urgency=urgency)
