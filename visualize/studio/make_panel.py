"""The panels that make takes, by which model and guidance and how many, and that say what is to be said of it."""

from __future__ import annotations

from sample.generate import Settings
from visualize.studio import words
from visualize.studio.bench import Bench
from visualize.studio.controls import QUIET, Act, Controls, put
from visualize.studio.document import COUNT, MAX_SEED, STEPS, Document
from visualize.studio.editor import Report

WAYS = (
    "projection", "classifier+projection", "masks+projection", "stages+projection", "classifier", "imputation",
    "classifier+imputation", "masks", "noise", "none",
)  # fmt: skip
"""Ways of guiding to choose from; each is explained in the README."""


class MakePanel:
    """Model, guidance, takes, and the work that is being done."""

    def __init__(self, controls: Controls):
        gui, models = controls.gui, controls.bench.models
        self._labels = {name: f"{name}  ({models.symbols[name]})" for name in models.names}
        names = {label: name for name, label in self._labels.items()}

        def field(name: str, together: str = "") -> Act:
            return lambda bench, value: bench.edit(lambda plan: plan.changed(name, value), together)

        self._model = controls.changed(
            gui.add_dropdown("Model", list(names), hint="in brackets: what it predicts"),
            lambda bench, value: bench.edit(lambda plan: plan.changed("model", names.get(value, value))),
        )
        self._guidance = controls.changed(
            gui.add_dropdown("Guidance", WAYS, hint="how the goals steer"), field("guidance")
        )
        self._count = controls.changed(
            gui.add_slider("Takes", 1, COUNT, 1, 2, hint="how many are made at once"), field("count", "count")
        )
        with gui.add_folder("More", expand_by_default=False):
            self._seed = controls.changed(
                gui.add_number("Seed", 0, min=0, max=MAX_SEED, step=1, hint="of the first take"),
                field("seed", "seed"),
            )
            self._steps = controls.changed(
                gui.add_slider("Steps", 5, STEPS, 5, 50, hint="more are finer and slower"), field("steps", "steps")
            )
            self._scale = controls.changed(
                gui.add_slider("Words", 0.0, 6.0, 0.5, Settings.text_scale, hint="how strongly they are followed"),
                field("text_scale", "scale"),
            )
            self._clean = controls.changed(
                gui.add_checkbox("Clean up", False, hint="standing feet stand, bones keep their lengths"),
                field("clean_up"),
            )
        self._make = controls.pressed(gui.add_button("Generate", icon="player-play"), lambda bench, _: bench.generate())
        self._stop = controls.pressed(gui.add_button("Stop", color=QUIET, visible=False), lambda bench, _: bench.stop())
        self._bar = gui.add_progress_bar(0.0, visible=False)
        gui.add_divider()

    def show(self, plan: Document) -> None:
        """Show the plan as it is."""
        put(self._model, "value", self._labels.get(plan.model, self._model.value))
        put(self._guidance, "options", WAYS if plan.guidance in WAYS else (*WAYS, plan.guidance))
        put(self._guidance, "value", plan.guidance)
        put(self._count, "value", plan.count)
        put(self._seed, "value", plan.seed)
        put(self._steps, "value", plan.steps)
        put(self._scale, "value", plan.text_scale)
        put(self._clean, "value", plan.clean_up)
        put(self._make, "label", "Generate" if plan.count == 1 else f"Generate {plan.count} takes")

    def show_work(self, bench: Bench) -> None:
        """Show how far the work is."""
        doing = bench.doing
        put(self._make, "visible", doing is None)
        put(self._stop, "visible", doing is not None)
        put(self._bar, "visible", doing is not None)
        put(self._bar, "value", 0.0 if doing is None else 100 * doing.share)


class ReportPanel:
    """What is to be said: whether the plan can be made, what is being done, what went wrong."""

    def __init__(self, controls: Controls):
        self._report = controls.gui.add_html("")
        self._said = controls.gui.add_html("")

    def show(self, report: Report, plan: Document) -> None:
        """Say whether the plan can be made, and done."""
        put(self._report, "content", words.report(report, plan))

    def show_work(self, bench: Bench) -> None:
        """Say what is being done, and what went wrong last."""
        said = words.note(words.first_up(bench.message), words.BAD) if bench.message else ""
        if (doing := bench.doing) is not None:
            ahead = bench.work.ahead(doing.job)
            waits = f", {ahead} before it" if ahead else ""
            said += words.note(f"{words.first_up(doing.what)}{waits} …")
        put(self._said, "content", said)
