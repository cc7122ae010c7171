"""What one person has on the table: a plan, takes, and the work that is being done.

Everything here happens on one thread, the person's own; what other threads have to say is posted to it. It knows no
page, which shows what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.errors import InputError
from visualize.studio import files, making
from visualize.studio.desk import Task
from visualize.studio.document import Document, plan_of
from visualize.studio.editor import Editor
from visualize.studio.making import Take
from visualize.studio.undone import Undone, undone
from visualize.studio.work import Job, Outcome, Watch, Work

TAKES = 24
"""Takes that are kept; the oldest go first."""
MOTIONS = 8
"""Motion files that goal files may take poses from."""

T = TypeVar("T")


@dataclass(frozen=True)
class Doing:
    """Work that is waiting or being done."""

    what: str
    job: Job
    share: float = 0.0


@dataclass(eq=False, kw_only=True)
class Bench(Editor):
    """One person's table."""

    work: Work
    person: Hashable
    post: Callable[[Task], None]
    """Has something done on the person's thread, whatever else waits there."""
    post_newest: Callable[[str, Task], None]
    """Has something done there instead of what still waits under the same name."""
    deliver: Callable[[str, bytes], None]
    """Hands a file over: its name and content."""
    takes: tuple[Take, ...] = ()
    doing: Doing | None = None
    looked: tuple[Take, Undone] | None = None
    """What was found out about the undoing of guidance, and for which take."""
    _motions: dict[str, Motion] = field(default_factory=dict)
    _made: int = 0

    def generate(self) -> None:
        """Have takes made of the plan."""
        plan, first = self.plan, self._made + 1

        def run(watch: Watch) -> list[Take]:
            return making.make(plan, self.models.get(plan.model), first, watch, self.models.matcher)

        def done(takes: list[Take]) -> None:
            self._made += len(takes)
            self.show(takes)

        self._have_done("making", run, done)

    def stop(self) -> None:
        """Stop the work."""
        if self.doing is not None:
            self.work.stop(self.doing.job)

    def show(self, takes: list[Take]) -> None:
        """Put new takes on the table, the first of them chosen."""
        self.takes = (*self.takes, *takes)[-TAKES:]
        self.chosen = takes[0]

    def choose(self, number: int) -> None:
        """Choose a take by its number."""
        self.chosen = next((take for take in self.takes if take.number == number), self.chosen)

    def keep(self) -> None:
        """Keep the chosen take alone."""
        self.takes = () if self.chosen is None else (self.chosen,)

    def go_on(self) -> None:
        """Plan what comes after the chosen take."""
        if (take := self.chosen) is not None:
            self.edit(lambda plan: making.going_on(take, plan))

    def make_anew(self, start: float, end: float) -> None:
        """Plan the chosen take anew from second `start` to second `end`."""
        if (take := self.chosen) is not None:
            self.edit(lambda plan: making.anew(take, plan, start, end))

    def look_into(self) -> None:
        """Find out what became of the guidance of the chosen take."""
        if (take := self.chosen) is None:
            return
        seed = take.motion.provenance.get("seed")

        def run(watch: Watch) -> Undone:
            model = self.models.get(take.plan.model)
            return undone(take.plan, model, seed if isinstance(seed, int) else take.plan.seed, watch)

        def done(found: Undone) -> None:
            self.looked = (take, found)

        self._have_done("looking into it", run, done)

    def load_goals(self, content: bytes) -> None:
        """Take goals, and words if it has some, from a goal file."""
        self.edit(lambda plan: plan.with_goal_file(files.read_goals(content, self._motions)))

    def load_motion(self, name: str, content: bytes) -> None:
        """Put a motion on the table, and, if the file says what it was made from, its plan."""

        def run(watch: Watch) -> tuple[Motion, Rig]:
            motion = files.read_upload(name, content)
            watch.step(0.5)
            return motion, making.rig_shown(motion)

        def done(loaded: tuple[Motion, Rig]) -> None:
            motion, rig = loaded
            self._made += 1
            self._motions = dict([*self._motions.items(), (files.label(name), motion)][-MOTIONS:])
            plan, said = self._plan_of(motion)
            offered = plan if plan.model in self.models.names else plan.changed("model", self.plan.model)
            self.edit(lambda _: offered)
            self.show([Take(self._made, motion, plan, rig)])
            self.message = said

        self._have_done("loading", run, done)

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
            self._have_done(
                "writing the file", lambda watch: files.download(take, kind, watch), lambda file: self.deliver(*file)
            )

    def leave(self) -> None:
        """The person is gone."""
        self.work.leave(self.person)

    def _plan_of(self, motion: Motion) -> tuple[Document, str]:
        """What a motion says that it was made from, the words as they are if it has no plan; and what to say of it."""
        try:
            plan = plan_of(motion, self.plan)
        except InputError as error:
            return self.plan.alone(), f"loaded without a plan: {error}"
        if plan.model in self.models.names:
            return plan, ""
        return plan, f"{plan.model[:60]} made this, which is not offered here; the plan stays with {self.plan.model}"

    def _have_done(self, what: str, run: Callable[[Watch], T], done: Callable[[T], None]) -> None:
        """Have something done in its turn, one thing at a time; `done` is told the result, here."""
        if self.doing is not None:
            self.message = f"still {self.doing.what}; let it finish, or stop it"
            return

        def progress(share: float) -> None:
            self.post_newest("progress", lambda: self._progressed(share))

        def ended(outcome: Outcome) -> None:
            self.post(lambda: self._ended(outcome, done))

        job = self.attempt(lambda: self.work.submit(self.person, run, done=ended, progress=progress))
        if job is not None:
            self.doing = Doing(what, job)

    def _progressed(self, share: float) -> None:
        if self.doing is not None:
            self.doing = replace(self.doing, share=share)

    def _ended(self, outcome: Outcome, done: Callable[[T], None]) -> None:
        self.doing = None
        if outcome.stopped:
            self.message = "stopped"
        elif outcome.error:
            self.message = outcome.error
        else:
            done(outcome.result)
