"""TODO."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor

from guidance.goals.goal_set import Goal, GoalSet, Pose, explain
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError
from visualize.studio.event_loop import Task
from visualize.studio.file_transfer import read_goals, read_upload, safe_label, write_download
from visualize.studio.generation import (
    Models,
    PlanReport,
    Take,
    display_rig,
    generate_takes,
    plan_continuation,
    plan_regeneration,
    report_plan,
    rest_pose,
)
from visualize.studio.jobs import Job, JobMonitor, JobQueue, Outcome
from visualize.studio.plan import History, Plan, plan_from_motion, with_part_seconds, with_part_text
from visualize.studio.tools import FloorPoint, Tool, ToolState, apply_click, apply_stroke
from visualize.studio.undoing_report import UndoingReport, report_undoing

MAX_TAKES = 24
"""Takes that are kept; the oldest go first."""
MAX_MOTIONS = 8
"""Motion files that goal files may take poses from."""
T = TypeVar("T")


@dataclass(frozen=True)
class RunningJob:
    """Work that is waiting or being done."""

    label: str
    job: Job
    share: float = 0.0


@dataclass(eq=False, kw_only=True)
class Session:
    """TODO."""

    models: Models
    queue: JobQueue
    owner: Hashable
    post: Callable[[Task], None]
    """Has something done on the person's thread, whatever else waits there."""
    post_newest: Callable[[str, Task], None]
    """Has something done there instead of what still waits under the same name."""
    deliver: Callable[[str, bytes], None]
    """Hands a file over: its name and content."""
    history: History[Plan] = field(init=False)
    tool_state: ToolState = field(default_factory=ToolState)
    selected: int | None = None
    """The goal that is in hand, by its number from 0."""
    chosen: Take | None = None
    """The take that is seen."""
    message: str = ""
    """What went wrong last."""
    refusals: int = 0
    """How much was refused so far, so that a page shows the plan again in place of what was given instead."""
    takes: tuple[Take, ...] = ()
    running: RunningJob | None = None
    undoing: tuple[Take, UndoingReport] | None = None
    """What was found out about the undoing of guidance, and for which take."""
    _motions: dict[str, Motion] = field(default_factory=dict)
    _take_count: int = 0

    def __post_init__(self) -> None:
        self.history = History(Plan(model=self.models.default))

    @property
    def plan(self) -> Plan:
        """As it stands."""
        return self.history.now

    def edit(self, edit_plan: Callable[[Plan], Plan], change: str = "") -> None:
        """Change the plan. What it refuses is said in `message`. what: see `History.did`."""
        if (plan := self.attempt(lambda: edit_plan(self.plan))) is not None:
            self._set_history(self.history.push(plan, change))

    def undo(self) -> None:
        """Take the last change back."""
        self._set_history(self.history.undo())

    def redo(self) -> None:
        """Do again what was undone."""
        self._set_history(self.history.redo())

    def restore(self, kept: str) -> None:
        """Begin with a plan that a browser kept; with the usual one if it is something else."""
        if (plan := self.attempt(lambda: Plan.from_json(kept))) is not None and plan.model in self.models.names:
            self.history = History(plan)
        self.message = ""

    def set_part_seconds(self, part: int, seconds: float) -> None:
        """Let a part of the plan last so long."""
        self.edit(lambda plan: with_part_seconds(plan, part, seconds), f"seconds {part}")

    def set_part_text(self, part: int, text: str) -> None:
        """Let a part of the plan say something else."""
        self.edit(lambda plan: with_part_text(plan, part, text), f"text {part}")

    def select_tool(self, tool: Tool) -> None:
        """Hold another tool, or begin anew with this one."""
        self.tool_state = replace(self.tool_state, tool=tool, extending=None)

    def set_tool_options(self, *, joint: str | None = None, face_along: bool | None = None) -> None:
        """Use the tool for another joint, or for paths that are faced along or not."""
        joint = self.tool_state.joint if joint not in JOINTS else joint
        along = self.tool_state.face_along if face_along is None else face_along
        self.tool_state = replace(self.tool_state, joint=joint, face_along=along)

    def set_time(self, time: float) -> None:
        """Use the tool for another second."""
        self.tool_state = replace(self.tool_state, time=time)

    def clear(self) -> None:
        """Plan a motion of its own, without goals."""
        self.edit(Plan.standalone)

    def click(self, place: FloorPoint) -> None:
        """A click on the floor."""
        self._apply_tool(lambda: apply_click(self.plan, self.tool_state, place, self._joints_for_tool()))

    def draw_stroke(self, points: list[FloorPoint]) -> None:
        """A stroke on the floor."""
        self._apply_tool(lambda: apply_stroke(self.plan, self.tool_state, points, self._joints_for_tool()))
        self.tool_state = replace(self.tool_state, extending=None)

    def replace_goal(self, index: int, goal: Goal, change: str = "") -> None:
        """Put a goal in the place of another."""
        self.edit(lambda plan: plan.with_goal(goal, index), change)

    def add_goal(self, goal: Goal) -> None:
        """Add a goal, and take it in hand."""
        self._apply_tool(lambda: (self.plan.with_goal(goal), len(self.plan.goals)))

    def remove_goal(self) -> None:
        """Take the goal in hand away."""
        if (index := self.selected) is not None:
            self.edit(lambda plan: plan.without_goal(index))

    def select(self, index: int | None) -> None:
        """Take a goal in hand, or none."""
        self.selected = index if index is not None and 0 <= index < len(self.plan.goals) else None

    def pin_pose(self) -> None:
        """Make the pose that is seen a goal of its time."""
        if self.chosen is not None:
            frame = min(round(self.tool_state.time * FPS), self.chosen.motion.frames - 1)
            self.add_goal(Pose.of(self.chosen.motion.joints[frame : frame + 1], frame=frame))

    def joints_at(self, time: float) -> Tensor:
        """(22, 3): where the body is at a second: in the chosen take, else at rest where the plan has its pelvis."""
        if self.chosen is not None:
            return self.chosen.joints_at(time)
        joints, frame = rest_pose(), min(round(time * FPS), self.plan.frames - 1)
        if self.plan.base is not None:
            source = self.plan.base.motion.joints
            joints = source[min(frame, len(source) - 1)]
        known = self._pelvis_targets[: frame + 1].isfinite().all(-1).nonzero()[:, 0]
        if len(known):
            x, z = self._pelvis_targets[known[-1]].tolist()
            joints = joints - joints[:1] * torch.tensor([1.0, 0.0, 1.0]) + torch.tensor([x, 0.0, z])
        return joints

    @property
    def _pelvis_targets(self) -> Tensor:
        """(frames, 2): x and z that the plan wants of the pelvis, NaN where it says nothing."""
        plan = self.plan
        ways: list[Goal] = [
            goal
            for goal in plan.goals
            if goal.kind in ("waypoint", "path") and round(goal.last_time * FPS) < plan.frames
        ]
        wanted = GoalSet(goals=ways).observe(plan.frames)
        return torch.where(wanted.mask, wanted.values, torch.nan)[:, 0, [0, 2]]

    def report(self) -> PlanReport:
        """Check the current plan."""
        return report_plan(self.plan, self.models)

    def attempt(self, run: Callable[[], T]) -> T | None:
        """What a function gives; None if it refuses, which is said in `message`."""
        self.message = ""
        try:
            return run()
        except (InputError, OSError) as error:
            self.message = " ".join(str(error).split())
        except ValidationError as error:
            self.message = explain(error)
        self.refusals += 1
        return None

    def _set_history(self, history: History[Plan]) -> None:
        self.history = history
        self.select(self.selected)

    def _apply_tool(self, use: Callable[[], tuple[Plan, int | None]]) -> None:
        """Use a tool: change the plan, and take the goal in hand that it made."""
        if (result := self.attempt(use)) is not None:
            plan, index = result
            self._set_history(self.history.push(plan))
            self.select(index)
            self.tool_state = replace(self.tool_state, extending=self.selected)

    def _joints_for_tool(self) -> Tensor:
        """The body at the time of the tool in hand: for a path, where it begins."""
        return self.joints_at(self.plan.start if self.tool_state.tool == "Path" else self.tool_state.time)

    def generate(self) -> None:
        """Have takes made of the plan."""
        plan, first = self.plan, self._take_count + 1

        def run(monitor: JobMonitor) -> list[Take]:
            return generate_takes(plan, self.models.get(plan.model), first, monitor, self.models.text_motion_encoder)

        def done(takes: list[Take]) -> None:
            self._take_count += len(takes)
            self.add_takes(takes)

        self._submit("making", run, done)

    def stop(self) -> None:
        """Stop the work."""
        if self.running is not None:
            self.queue.stop(self.running.job)

    def add_takes(self, takes: list[Take]) -> None:
        """Put new takes on the table, the first of them chosen."""
        self.takes = (*self.takes, *takes)[-MAX_TAKES:]
        self.chosen = takes[0]

    def choose(self, number: int) -> None:
        """Choose a take by its number."""
        self.chosen = next((take for take in self.takes if take.number == number), self.chosen)

    def keep_only_chosen(self) -> None:
        """Keep the chosen take alone."""
        self.takes = () if self.chosen is None else (self.chosen,)

    def continue_take(self) -> None:
        """Plan what comes after the chosen take."""
        if (take := self.chosen) is not None:
            self.edit(lambda plan: plan_continuation(take, plan))

    def regenerate_part(self, start: float, end: float) -> None:
        """Plan the chosen take anew from second `start` to second `end`."""
        if (take := self.chosen) is not None:
            self.edit(lambda plan: plan_regeneration(take, plan, start, end))

    def analyse_undoing(self) -> None:
        """Find out what became of the guidance of the chosen take."""
        if (take := self.chosen) is None:
            return
        seed = take.motion.provenance.get("seed")

        def run(monitor: JobMonitor) -> UndoingReport:
            model = self.models.get(take.plan.model)
            return report_undoing(take.plan, model, seed if isinstance(seed, int) else take.plan.seed, monitor)

        def done(found: UndoingReport) -> None:
            self.undoing = (take, found)

        self._submit("looking into it", run, done)

    def load_goals(self, content: bytes) -> None:
        """Take goals, and words if it has some, from a goal file."""
        self.edit(lambda plan: plan.with_goal_file(read_goals(content, self._motions)))

    def load_motion(self, name: str, content: bytes) -> None:
        """Put a motion on the table, and, if the file says what it was made from, its plan."""

        def run(monitor: JobMonitor) -> tuple[Motion, Rig]:
            motion = read_upload(name, content)
            monitor.step(0.5)
            return motion, display_rig(motion)

        def done(loaded: tuple[Motion, Rig]) -> None:
            motion, rig = loaded
            self._take_count += 1
            self._motions = dict([*self._motions.items(), (safe_label(name), motion)][-MAX_MOTIONS:])
            plan, said = self._plan_from_motion(motion)
            offered = plan if plan.model in self.models.names else plan.changed("model", self.plan.model)
            self.edit(lambda _: offered)
            self.add_takes([Take(self._take_count, motion, plan, rig)])
            self.message = said

        self._submit("loading", run, done)

    def save_goals(self) -> None:
        """Hand the plan's goals and words over as a goal file. What else it takes to make more of a motion is said."""
        if (content := self.attempt(self.plan.to_goal_file)) is None:
            return
        self.deliver("plan.json", content)
        if (base := self.plan.base) is not None:
            how = "--continue-from" if base.end is None else f"--between {base.start:g} {base.end:g} --regenerate"
            self.message = f"the file goes with the motion: python -m sample {how} MOTION.npz --goals plan.json"

    def download(self, kind: str) -> None:
        """Hand the chosen take over as a file."""
        if (take := self.chosen) is not None:
            self._submit(
                "writing the file",
                lambda monitor: write_download(take, kind, monitor),
                lambda file: self.deliver(*file),
            )

    def close(self) -> None:
        """The person is gone."""
        self.queue.cancel_all(self.owner)

    def _plan_from_motion(self, motion: Motion) -> tuple[Plan, str]:
        """What a motion says that it was made from, the words as they are if it has no plan; and what to say of it."""
        try:
            plan = plan_from_motion(motion, self.plan)
        except InputError as error:
            return self.plan.standalone(), f"loaded without a plan: {error}"
        if plan.model in self.models.names:
            return plan, ""
        return plan, f"{plan.model[:60]} made this, which is not offered here; the plan stays with {self.plan.model}"

    def _submit(self, label: str, run: Callable[[JobMonitor], T], done: Callable[[T], None]) -> None:
        """Have something done in its turn, one thing at a time; `done` is told the result, here."""
        if self.running is not None:
            self.message = f"still {self.running.label}; let it finish, or stop it"
            return

        def progress(share: float) -> None:
            self.post_newest("progress", lambda: self._set_progress(share))

        def ended(outcome: Outcome) -> None:
            self.post(lambda: self._finish(outcome, done))

        job = self.attempt(lambda: self.queue.submit(self.owner, run, done=ended, progress=progress))
        if job is not None:
            self.running = RunningJob(label, job)

    def _set_progress(self, share: float) -> None:
        if self.running is not None:
            self.running = replace(self.running, share=share)

    def _finish(self, outcome: Outcome, done: Callable[[T], None]) -> None:
        self.running = None
        if outcome.stopped:
            self.message = "stopped"
        elif outcome.error:
            self.message = outcome.error
        else:
            done(outcome.result)
