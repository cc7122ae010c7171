"""Panel of the prompt: text and duration of each part, suggestions while it is typed, and what the model cannot do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from motion_diffusion.prompts import Known, words_of
from visualize.studio.plan import MAX_PART_SECONDS, MAX_PARTS, MIN_PART_SECONDS, Plan
from visualize.studio.session import Session
from visualize.studio.widgets import GOOD, Controls, headed, note, set_if_changed

ADD_PART, REMOVE_PART = "Add a prompt", "Remove the last"
MAX_SUGGESTIONS = 4
PERSON = "a person"
_SUBJECT = re.compile(r"^\s*(?:\S+\s+){0,4}?(?:person|man|woman|somebody|someone|he|she)\b", re.IGNORECASE)


def suggest_actions(text: str, known: Known | None) -> tuple[str, ...]:
    """Actions that a model knows and that fit the word being typed, those with most training data first.

    Args:
        text: Prompt, whose last word may be incomplete. After a subject, or a space, all actions fit.
        known: What the model was trained on; None if it does not say.

    Returns:
        Up to `MAX_SUGGESTIONS` predicates, such as "waves the right hand"; none for a text that ends in one already.
    """
    if known is None:
        return ()
    rest = _SUBJECT.sub("", text)
    typed = words_of(rest)
    word = typed[-1] if typed and not rest.endswith(" ") else ""
    if any(words_of(action.example.removeprefix(PERSON)) == typed for action in known.actions):
        return ()
    fitting = []
    for action in known.actions:
        phrases = (action.example.removeprefix(f"{PERSON} "), *action.phrases)
        fitting += [phrase for phrase in phrases if any(each.startswith(word) for each in words_of(phrase))][:1]
    return tuple(dict.fromkeys(fitting))[:MAX_SUGGESTIONS]


def with_action(text: str, action: str) -> str:
    """The prompt with its subject, or "a person" without one, and another action."""
    subject = _SUBJECT.match(text)
    return f"{subject.group().strip() if subject else PERSON} {action}"


@dataclass(eq=False)
class _PartWidgets:
    """Widgets of one part of the prompt."""

    text: Any
    seconds: Any
    known: str = ""
    """Text last read from or written to the widget. Newer input is not overwritten."""

    def show(self, text: str) -> None:
        """Display a text, unless it came from the widget."""
        if text != self.known:
            self.known = text
            set_if_changed(self.text, "value", text)


class PromptPanel:
    """Prompt and duration of each part."""

    def __init__(self, controls: Controls):
        self._controls, gui = controls, controls.gui
        self._parts: list[_PartWidgets] = []
        self._typed = 0
        """The part that was last typed in, to which suggestions apply."""
        self._base = gui.add_html("")
        self._folder = gui.add_folder(None)
        self._suggestions = controls.on_press(gui.add_button_group("Model knows", (PERSON,), visible=False), self._use)
        self._unlearned = gui.add_html("")
        controls.on_press(gui.add_button_group("Sequence", (ADD_PART, REMOVE_PART)), _add_or_remove_part)

    def show(self, session: Session) -> None:
        """Display the plan, and suggestions for what is being typed."""
        plan = session.plan
        set_if_changed(self._base, "content", _of_base(plan))
        while len(self._parts) > len(plan.parts):
            surplus = self._parts.pop()
            surplus.text.remove()
            surplus.seconds.remove()
        while len(self._parts) < len(plan.parts):
            self._parts.append(self._add(len(self._parts)))
        fixed = plan.base is not None and plan.base.end is not None
        for widgets, part in zip(self._parts, plan.parts, strict=True):
            widgets.show(part.text)
            set_if_changed(widgets.seconds, "value", part.seconds)
            set_if_changed(widgets.seconds, "disabled", fixed)
        self._typed = min(self._typed, len(plan.parts) - 1)
        suggestions = suggest_actions(plan.parts[self._typed].text, session.models.known.get(plan.model))
        if suggestions:
            set_if_changed(self._suggestions, "options", suggestions)
        set_if_changed(self._suggestions, "visible", bool(suggestions))

    def show_unlearned(self, lines: Sequence[str]) -> None:
        """Display what the model did not learn of the prompt."""
        set_if_changed(self._unlearned, "content", headed("The model has not learned this.", lines) if lines else "")

    def _use(self, session: Session, action: str) -> None:
        session.set_part_text(self._typed, with_action(session.plan.parts[self._typed].text, action))

    def _add(self, k: int) -> _PartWidgets:
        gui = self._controls.gui
        with self._folder:
            part = _PartWidgets(
                gui.add_text("Prompt" if k == 0 else "Then", "", hint="what the person does"),
                gui.add_slider("Length, s", MIN_PART_SECONDS, MAX_PART_SECONDS, 0.05, 4.0),
            )

        def set_text(session: Session, text: str) -> None:
            part.known = text
            self._typed = k
            session.set_part_text(k, text)

        self._controls.on_change(part.text, set_text)
        self._controls.on_change(part.seconds, lambda session, value: session.set_part_seconds(k, value))
        return part


def _of_base(plan: Plan) -> str:
    if plan.base is None:
        return ""
    if plan.base.end is None:
        return note(f"Continues a take after {plan.start:.2f} s.", GOOD)
    return note(f"Regenerates {plan.base.start:.2f}–{plan.base.end:.2f} s of a take.", GOOD)


def _add_or_remove_part(session: Session, value: str) -> None:
    parts = session.plan.parts
    if value == ADD_PART and len(parts) < MAX_PARTS:
        added = parts[-1].model_copy(update={"seconds": 3.0})
        session.edit(lambda plan: plan.changed("parts", (*parts, added)))
    elif value == REMOVE_PART and len(parts) > 1:
        session.edit(lambda plan: plan.changed("parts", parts[:-1]))
