"""The session of one client: plan with history, tool state, takes and the running job.

All methods run on the page's event loop. The session knows nothing of the page that displays it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import ValidationError
from torch import Tensor

from guidance.goals.goal_file import explain
from guidance.goals.goal_set import Goal
from guidance.goals.poses import Pose
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import JOINTS, frame_of
from motion_diffusion.errors import InputError
from visualize.studio.file_transfer import read_goals, read_upload, safe_label, write_download
from visualize.studio.generation import (
    Models,
    PlanReport,
    Poses,
    Take,
    generate_takes,
    plan_continuation,
    plan_regeneration,
    report_plan,
)
from visualize.studio.goal_editing import FloorPoint
from visualize.studio.job_queue import Job, JobMonitor, JobQueue, Outcome
from visualize.studio.live import LiveCallbacks, LiveMotion, same_motion
from visualize.studio.plan import (
    HINTS,
    History,
    Plan,
    example_plan,
    plan_from_motion,
    planned_joints,
    with_part_seconds,
    with_part_text,
)
from visualize.studio.threads import Task
from visualize.studio.tools import Tool, ToolState, apply_click, apply_stroke, move_handle
from visualize.studio.undoing_report import UndoingReport, report_undoing

MAX_TAKES = 24
"""Maximum number of takes; the oldest are dropped."""
MAX_MOTIONS = 8
"""Maximum number of loaded motions that goal files may take poses from."""
T = TypeVar("T")


@dataclass(frozen=True)
class RunningJob:
    """A job that is queued or running.

    Attributes:
        label: for messages.
        job: in the queue.
        share: finished share, 0 to 1.
    """

    label: str
    job: Job
    share: float = 0.0


@dataclass(eq=False, kw_only=True)
class Session:
    """The state of one client and the operations on it.

    Attributes:
        models: offered by the studio.
        queue: shared job queue.
        owner: identifies the client in the queue.
        post: runs a task on the event loop, even if the loop is full.
        post_newest: runs a task on the event loop instead of the pending one of the same key.
        post_later: runs a task on the event loop after some seconds, instead of the pending one of the same key.
        deliver: sends a file to the client, by name and content.
        history: of the plan.
        tool_state: selected tool and its options.
        selected: index of the selected goal.
        held: index of the goal that is being dragged.
        live: motion that follows the plan.
        live_take: last take made by it, which the next one replaces; None once it is kept.
        chosen: displayed take.
        message: last error or notice.
        done: what the person has done of that which hints ask for; see `plan.HINTS`.
        refusals: number of refused edits. Its change makes the page display the plan again.
        takes: oldest first.
        plays: number of times that playback was to begin.
        running: current job.
        undoing: last undoing report and the take that it is about.
    """

    models: Models
    queue: JobQueue
    owner: Hashable
    post: Callable[[Task], None]
    post_newest: Callable[[str, Task], None]
    post_later: Callable[[str, float, Task], None]
    deliver: Callable[[str, bytes], None]
    history: History[Plan] = field(init=False)
    tool_state: ToolState = field(default_factory=ToolState)
    selected: int | None = None
    held: int | None = None
    live: LiveMotion = field(init=False)
    live_take: Take | None = None
    chosen: Take | None = None
    message: str = ""
    done: frozenset[str] = frozenset()
    refusals: int = 0
    takes: tuple[Take, ...] = ()
    plays: int = 0
    running: RunningJob | None = None
    undoing: tuple[Take, UndoingReport] | None = None
    _motions: dict[str, Motion] = field(default_factory=dict)
    _take_count: int = 0
    _drags: int = 0

    def __post_init__(self) -> None:
        self.history = History(self._of_model(Plan(), self.models.default))
        callbacks = LiveCallbacks(self.post, self.post_later, self._find_take, self._show_take, self._add_live_take)
        self.live = LiveMotion(self.models, self.queue, self.owner, callbacks)

    @property
    def plan(self) -> Plan:
        """Current plan."""
        return self.history.now

    def edit(self, edit_plan: Callable[[Plan], Plan], change: str = "") -> None:
        """Change the plan. If the change is refused, `message` gives the reason.

        Args:
            edit_plan: maps the plan to its successor.
            change: see `History.push`.
        """
        if (plan := self.attempt(lambda: edit_plan(self.plan))) is not None:
            self._set_history(self.history.push(plan, change))

    def select_model(self, name: str) -> None:
        """Select a model, with the steps and the strength of the prompt that it recommends."""
        self.edit(lambda plan: self._of_model(plan, name))

    def _of_model(self, plan: Plan, name: str) -> Plan:
        plan = plan.changed("model", name)
        if (own := self.models.recommended.get(name)) is not None:
            plan = plan.changed("steps", own.steps).changed("text_scale", own.text_scale)
        return plan

    def undo(self) -> None:
        """Undo the last change of the plan."""
        self._set_history(self.history.undo())

    def redo(self) -> None:
        """Redo the last undone change."""
        self._set_history(self.history.redo())

    def restore(self, kept: str) -> None:
        """Start with a plan stored by the browser, or with the default one if it is invalid."""
        if (plan := self.attempt(lambda: Plan.from_json(kept))) is not None and plan.model in self.models.names:
            self.history = History(plan)
            self.live.follow(plan)
        self.message = ""

    def set_part_seconds(self, part: int, seconds: float) -> None:
        """Set the duration of a part of the plan."""
        self.edit(lambda plan: with_part_seconds(plan, part, seconds), f"seconds {part}")

    def set_part_text(self, part: int, text: str) -> None:
        """Set the prompt of a part of the plan."""
        self.edit(lambda plan: with_part_text(plan, part, text), f"text {part}")
        self.mark_done("prompt")

    def mark_done(self, *names: str) -> None:
        """Note what has been done, so that its hint goes away."""
        self.done |= {name for name, _ in HINTS if name in names}

    def try_example(self, label: str) -> None:
        """Replace prompt and goals by those of an example, and select its goal."""
        self.edit(lambda plan: example_plan(plan, label))
        self.select_tool("Move")
        self.select(0)
        self.plays += 1
        self.mark_done("try")

    def select_tool(self, tool: Tool) -> None:
        """Select a tool and stop extending the current path."""
        self.tool_state = replace(self.tool_state, tool=tool, extending=None)

    def set_tool_options(self, *, joint: str | None = None, face_along: bool | None = None) -> None:
        """Set the joint of key frames, and whether the body faces along paths."""
        joint = self.tool_state.joint if joint not in JOINTS else joint
        along = self.tool_state.face_along if face_along is None else face_along
        self.tool_state = replace(self.tool_state, joint=joint, face_along=along)

    def set_time(self, time: float) -> None:
        """Set the time at which tools place goals, in seconds."""
        self.tool_state = replace(self.tool_state, time=time)

    def clear(self) -> None:
        """Remove all goals and the edited motion."""
        self.edit(Plan.standalone)

    def click(self, place: FloorPoint) -> None:
        """Apply the tool to a click on the floor."""
        self._apply_tool(lambda: apply_click(self.plan, self.tool_state, place, self._joints_for_tool()))

    def draw_stroke(self, points: list[FloorPoint]) -> None:
        """Apply the tool to a stroke on the floor."""
        self._apply_tool(lambda: apply_stroke(self.plan, self.tool_state, points, self._joints_for_tool()))
        self.tool_state = replace(self.tool_state, extending=None)

    def add_goal(self, goal: Goal) -> None:
        """Add a goal and select it."""
        self._apply_tool(lambda: (self.plan.with_goal(goal), len(self.plan.goals)))

    def move_goal(self, index: int, number: int, spot: tuple[float, float, float], *, done: bool) -> None:
        """Move a handle of a goal to a point. All moves until it is released are undone together.

        Args:
            index: of the goal.
            number: of its handle.
            spot: x, y, z in metres.
            done: whether the handle is released.
        """
        if index < len(self.plan.goals):
            moved = move_handle(self.plan.goals[index], number, spot)
            self.edit(lambda plan: plan.with_goal(moved, index), f"drag {self._drags}")
            self.select(index)
            self.held = None if done else index
        self._drags += done
        self.mark_done("try", "drag")

    def remove_goal(self) -> None:
        """Remove the selected goal."""
        if (index := self.selected) is not None:
            self.edit(lambda plan: plan.without_goal(index))

    def select(self, index: int | None) -> None:
        """Select a goal by its index, or none."""
        self.selected = index if index is not None and 0 <= index < len(self.plan.goals) else None

    def pin_pose(self) -> None:
        """Add the displayed pose as a goal at its time."""
        if self.chosen is not None:
            frame = min(frame_of(self.tool_state.time), self.chosen.motion.frames - 1)
            self.add_goal(Pose.of(self.chosen.motion.joints[frame : frame + 1], frame=frame))

    def joints_at(self, time: float) -> Tensor:
        """Joints (22, 3) of the displayed motion at `time` seconds, or those of the plan without one."""
        if self.live.poses is not None:
            return self.live.poses.joints_at(time)
        return planned_joints(self.plan, time) if self.chosen is None else self.chosen.joints_at(time)

    def report(self) -> PlanReport:
        """Check the current plan."""
        return report_plan(self.plan, self.models)

    def attempt(self, run: Callable[[], T]) -> T | None:
        """Call a function. If it refuses, `message` gives the reason and the result is None."""
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
        if self.held is not None and self.held >= len(self.plan.goals):
            self.held = None
        self.live.follow(self.plan)

    def _apply_tool(self, use: Callable[[], tuple[Plan, int | None]]) -> None:
        """Apply a tool: set the plan and select the goal that it created or changed."""
        if (result := self.attempt(use)) is not None:
            plan, index = result
            self._set_history(self.history.push(plan))
            self.select(index)
            self.tool_state = replace(self.tool_state, extending=self.selected)
            self.mark_done("try")

    def _joints_for_tool(self) -> Tensor:
        """Joints at the tool's time; for a path, at the start of the plan."""
        return self.joints_at(self.plan.start if self.tool_state.tool == "Path" else self.tool_state.time)

    def generate(self) -> None:
        """Generate takes of the plan."""
        plan = self.plan

        def run(monitor: JobMonitor) -> list[Take]:
            return generate_takes(plan, self.models.get(plan.model), monitor, self.models.text_motion_encoder)

        self._submit("making", run, self.add_takes)

    def stop(self) -> None:
        """Stop the running job."""
        if self.running is not None:
            self.queue.stop(self.running.job)

    def add_takes(self, takes: list[Take]) -> None:
        """Number takes, add them, and play the first of them. A live take of the same motion leaves the list."""
        if (live := self.live_take) is not None and same_motion(live.plan, takes[0].plan):
            self.takes, self.live_take = tuple(take for take in self.takes if take is not live), None
            self._take_count -= live.number == self._take_count
        numbered = [replace(take, number=self._take_count + k) for k, take in enumerate(takes, 1)]
        self._take_count += len(takes)
        self.takes = (*self.takes, *numbered)[-MAX_TAKES:]
        self._show_take(numbered[0])
        self.plays += 1

    def keep_take(self) -> None:
        """Keep the live take: the next one is added beside it."""
        self.live_take = None

    def _add_live_take(self, take: Take) -> None:
        """Put a take in the place of the live one, or add it."""
        if (live := self.live_take) is None or live not in self.takes:
            self._take_count += 1
            self.live_take = replace(take, number=self._take_count)
            self.takes = (*self.takes, self.live_take)[-MAX_TAKES:]
        else:
            self.live_take = replace(take, number=live.number)
            self.takes = tuple(self.live_take if old is live else old for old in self.takes)
        self.chosen = self.live_take

    def _find_take(self, plan: Plan) -> Take | None:
        """The take that generating a plan would give first."""
        seed = plan.seed
        those = (take for take in self.takes if take.motion.provenance.get("seed") == seed)
        return next((take for take in those if same_motion(plan, take.plan)), None)

    def _show_take(self, take: Take) -> None:
        self.live.settle()
        self.chosen = take

    def choose(self, number: int) -> None:
        """Choose a take by its number."""
        if (take := next((take for take in self.takes if take.number == number), None)) is not None:
            self._show_take(take)
            self.plays += 1

    def keep_only_chosen(self) -> None:
        """Remove all takes but the chosen one."""
        self.takes = () if self.chosen is None else (self.chosen,)

    def continue_take(self) -> None:
        """Plan a continuation of the chosen take, which is kept."""
        if (take := self.chosen) is not None:
            self.keep_take()
            self.edit(lambda plan: plan_continuation(take, plan))

    def regenerate_part(self, start: float, end: float) -> None:
        """Plan to regenerate the chosen take, which is kept, from second `start` to second `end`."""
        if (take := self.chosen) is not None:
            self.keep_take()
            self.edit(lambda plan: plan_regeneration(take, plan, start, end))

    def analyse_undoing(self) -> None:
        """Measure how much of the guidance of the chosen take the network undid."""
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
        """Load goals, and the prompt if there is one, from a goal file."""
        self.edit(lambda plan: plan.with_goal_file(read_goals(content, self._motions)))

    def load_motion(self, name: str, content: bytes) -> None:
        """Add a motion as a take and, if its file has one, load its plan."""

        def run(monitor: JobMonitor) -> tuple[Motion, Poses]:
            motion = read_upload(name, content)
            monitor.step(0.5)
            return motion, Poses.of(motion)

        def done(loaded: tuple[Motion, Poses]) -> None:
            motion, poses = loaded
            self._motions = dict([*self._motions.items(), (safe_label(name), motion)][-MAX_MOTIONS:])
            plan, notice = self._plan_from_motion(motion)
            offered = plan if plan.model in self.models.names else plan.changed("model", self.plan.model)
            self.edit(lambda _: offered)
            self.add_takes([Take(motion, plan, poses)])
            self.message = notice

        self._submit("loading", run, done)

    def save_goals(self) -> None:
        """Send goals and prompt as a goal file. `message` names the command for a plan that edits a motion."""
        if (content := self.attempt(self.plan.to_goal_file)) is None:
            return
        self.deliver("plan.json", content)
        if (base := self.plan.base) is not None:
            how = "--continue-from" if base.end is None else f"--between {base.start:g} {base.end:g} --regenerate"
            self.message = f"the file goes with the motion: python -m sample {how} MOTION.npz --goals plan.json"

    def download(self, kind: str) -> None:
        """Send the chosen take as a file."""
        if (take := self.chosen) is not None:
            self._submit(
                "writing the file",
                lambda monitor: write_download(take, kind, monitor),
                lambda file: self.deliver(*file),
            )

    def close(self) -> None:
        """Cancel all jobs of this client."""
        self.queue.cancel_all(self.owner)

    def _plan_from_motion(self, motion: Motion) -> tuple[Plan, str]:
        """The plan in a motion's provenance or the current one without goals, and a message about it."""
        try:
            plan = plan_from_motion(motion, self.plan)
        except InputError as error:
            return self.plan.standalone(), f"loaded without a plan: {error}"
        if plan.model in self.models.names:
            return plan, ""
        return plan, f"{plan.model[:60]} made this, which is not offered here; the plan stays with {self.plan.model}"

    def _submit(self, label: str, run: Callable[[JobMonitor], T], done: Callable[[T], None]) -> None:
        """Queue a job unless one is running; `done` is called on the event loop with its result."""
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
