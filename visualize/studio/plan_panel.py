"""The panels of the plan: what is done and for how long, and the tools to draw with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motion_diffusion.body.skeleton import JOINTS
from visualize.studio import words
from visualize.studio.bench import Bench
from visualize.studio.controls import Controls, put
from visualize.studio.document import PART_LONGEST, PART_SHORTEST, PARTS, Document
from visualize.studio.tools import HINTS, TOOLS

THEN, SHORTER = "And then …", "Not the last"


@dataclass(eq=False)
class _Part:
    """The widgets of a part."""

    words: Any
    seconds: Any
    known: str = ""
    """The words when they were last read or written. What is typed since then is not written over."""

    def show(self, text: str) -> None:
        """Show words, unless it was the widget that said them."""
        if text != self.known:
            self.known = text
            put(self.words, "value", text)


class WordsPanel:
    """What the person does, one thing after the other, and for how long."""

    def __init__(self, controls: Controls):
        self._controls, gui = controls, controls.gui
        self._parts: list[_Part] = []
        self._base = gui.add_html("")
        self._folder = gui.add_folder(None)
        controls.pressed(gui.add_button_group("", (THEN, SHORTER)), _more_or_less)

    def show(self, plan: Document) -> None:
        """Show the plan as it is."""
        put(self._base, "content", _of_base(plan))
        while len(self._parts) > len(plan.parts):
            part = self._parts.pop()
            part.words.remove()
            part.seconds.remove()
        while len(self._parts) < len(plan.parts):
            self._parts.append(self._add(len(self._parts)))
        fixed = plan.base is not None and plan.base.end is not None
        for part, said in zip(self._parts, plan.parts, strict=True):
            part.show(said.text)
            put(part.seconds, "value", said.seconds)
            put(part.seconds, "disabled", fixed)

    def _add(self, k: int) -> _Part:
        gui = self._controls.gui
        with self._folder:
            part = _Part(
                gui.add_text("Words" if k == 0 else "Then", "", hint="what the person does"),
                gui.add_slider("Seconds", PART_SHORTEST, PART_LONGEST, 0.05, 4.0),
            )

        def say(bench: Bench, text: str) -> None:
            part.known = text
            bench.say(k, text)

        self._controls.changed(part.words, say)
        self._controls.changed(part.seconds, lambda bench, value: bench.last(k, value))
        return part


def _of_base(plan: Document) -> str:
    if plan.base is None:
        return ""
    if plan.base.end is None:
        return words.note(f"Goes on from a motion, after {plan.begin:.2f} s.", words.GOOD)
    return words.note(f"Makes {plan.base.start:.2f}–{plan.base.end:.2f} s of a motion anew.", words.GOOD)


def _more_or_less(bench: Bench, value: str) -> None:
    parts = bench.plan.parts
    if value == THEN and len(parts) < PARTS:
        said = parts[-1].model_copy(update={"seconds": 3.0})
        bench.edit(lambda plan: plan.changed("parts", (*parts, said)))
    elif value == SHORTER and len(parts) > 1:
        bench.edit(lambda plan: plan.changed("parts", parts[:-1]))


class DrawPanel:
    """The tools."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        controls.pressed(gui.add_button_group("Draw", TOOLS), lambda bench, value: bench.take_up(value))
        self._hint = gui.add_html("")
        joints = [joint.replace("_", " ") for joint in JOINTS]
        self._joint = controls.changed(
            gui.add_dropdown("Joint", joints), lambda bench, value: bench.hold(joint=value.replace(" ", "_"))
        )
        self._along = controls.changed(
            gui.add_checkbox("Face along", False, hint="whether the body faces where the path goes"),
            lambda bench, value: bench.hold(face_along=value),
        )
        controls.pressed(gui.add_button_group("Step", ("Undo", "Redo", "Clear")), _step)

    def show(self, bench: Bench) -> None:
        """Show the tool in hand."""
        hand = bench.hand
        put(self._hint, "content", words.box(f'<b style="color:{words.GOOD}">{hand.tool}.</b> {HINTS[hand.tool]}'))
        put(self._joint, "visible", hand.tool == "Key frame")
        put(self._joint, "value", hand.joint.replace("_", " "))
        put(self._along, "visible", hand.tool == "Path")
        put(self._along, "value", hand.face_along)


def _step(bench: Bench, value: str) -> None:
    if value == "Undo":
        bench.undo()
    elif value == "Redo":
        bench.redo()
    else:
        bench.clear()
