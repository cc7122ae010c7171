"""Sentences for clips whose captions are labels: paraphrases of the label, and measurements of the motion.

The table assets/captions/phrases.csv contains paraphrases of each label. `expand_labels` replaces labels of a clip.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.captions.templates import NUMBER_WORDS, MotionFacts, mirror_words, motion_facts
from data_loaders.cleaning.defects import runs
from data_loaders.types import Caption, Clip
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.skeleton import ANKLES, FPS, frame_of
from motion_diffusion.errors import InputError

PHRASES = ASSETS / "captions" / "phrases.csv"
"""Table of labels, their actions, and verb phrases separated by semicolons, which follow "a person"."""

MAX_SENTENCES = 4
"""Maximum number of sentences per caption."""


_SUBJECTS = ("a person", "a person", "someone", "the person", "a human", "somebody")

_NUMBERS = NUMBER_WORDS[:13]

_STANDING_PELVIS = 0.93
"""Height in metres of this body's pelvis when standing."""

_LOW, _HIGH = 0.75, 0.85
"""Relative heights of the pelvis below which the body is down, and above which it is up."""

_CLIMB = 0.3
"""Minimum range of the pelvis' height in metres when climbing."""

_DOWN_AND_UP = {
    "sit-down-and-stand-up": ("sit down on a chair", "stand up from a chair", "sit", "stand up and sit down again"),
    "get-up": ("lie down on the floor", "stand up from lying on the floor", "lie", "get up and lie down again"),
    "fall": ("falling down", "stand up from lying on the floor", "lie", "get up and lie down again"),
}
"""Labels for parts of actions that go down and up again: parts that only go down, only go up, stay down, or go up and
down again."""

_CLIMBS = {
    "climb": ("climb up onto something", "climb down from something"),
    "climb-ladder": ("climb up a ladder", "climb down a ladder"),
    "climb-steps": ("climb up 3 steps", "climb down 3 steps"),
}
"""Labels for parts of climbing that only go up, and only down."""


@dataclass(frozen=True)
class Label:
    """Action and paraphrases of a label."""

    action: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class DetailedFacts(MotionFacts):
    """Measurements of a motion that captions may mention, with those of the body's height.

    Attributes:
        steps: Number of steps.
        lowest: Minimum height of the pelvis relative to its height when standing.
        highest: Maximum height of the pelvis relative to its height when standing.
    """

    steps: int
    lowest: float
    highest: float


@cache
def label_table(path: Path = PHRASES) -> dict[str, Label]:
    """Read the table. Labels for one side are completed by those for the other side.

    Raises:
        InputError: If a row has no action or no phrases.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    result = {}
    for number, row in enumerate(rows, 2):
        phrases = tuple(phrase.strip() for phrase in (row["phrases"] or "").split(";") if phrase.strip())
        if not row["action"] or not phrases:
            raise InputError(f"{path}: line {number}: give label, action and phrases, separated by ;")
        result[row["label"]] = Label(row["action"], phrases)
    swapped = {
        mirror_words(name): Label(mirror_words(label.action), tuple(map(mirror_words, label.phrases)))
        for name, label in result.items()
    }
    return swapped | result


def detailed_facts(joints: NDArray[np.floating]) -> DetailedFacts:
    """Measure joints (F, 22, 3) at 20 frames per second, the floor at y = 0."""
    facts, heights = motion_facts(joints), joints[:, 0, 1] / _STANDING_PELVIS
    return DetailedFacts(
        facts.distance, facts.turn, facts.speed, count_steps(joints), float(heights.min()), float(heights.max())
    )


def count_steps(joints: NDArray[np.floating]) -> int:
    """Count the steps of joints (F, 22, 3): displacements of an ankle by 15 cm or more between slow moments."""
    steps = 0
    for ankle in ANKLES:
        way = joints[:, ankle][:, [0, 2]]
        slow = np.linalg.norm(np.diff(way, axis=0), axis=-1) * FPS < 0.4
        pieces = np.split(way[:-1], np.flatnonzero(np.diff(slow)) + 1)
        held = [piece.mean(0) for piece in pieces[0 if slow[0] else 1 :: 2]]
        steps += sum(bool(np.linalg.norm(b - a) > 0.15) for a, b in pairwise(held))
    return steps


def label_captions(label: str, joints: NDArray[np.floating], *, times: int = 0, seed: str = "") -> list[str]:
    """Two to `MAX_SENTENCES` different sentences for a motion.

    Args:
        label: Label of the table.
        joints: (F, 22, 3).
        times: Number of repetitions, if known.
        seed: Seed of the random choices.

    Raises:
        InputError: If the table does not contain the label.
    """
    known = label_table()
    if label not in known:
        raise InputError(f"no phrases for the label {label!r}; write some into {PHRASES.name}")
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed} {label}".encode()).digest()[:8], "big"))
    phrases, facts = known[label].phrases, fact_phrases(known[label].action, detailed_facts(joints))
    often = f" {_NUMBERS[times]} times" if 1 < times < len(_NUMBERS) else ""
    result = [f"a person {phrases[0]}{often}"]
    for phrase in rng.permutation(phrases[1:])[: MAX_SENTENCES - 2]:
        result.append(f"{rng.choice(_SUBJECTS)} {phrase}")
    if facts:
        result.append(f"{rng.choice(_SUBJECTS)} {rng.choice(phrases[:2])} {_some(facts, rng)}")
    return list(dict.fromkeys(result))


def label_of_part(label: str, joints: NDArray[np.floating]) -> str:
    """Label for joints (F, 22, 3) that may be only a part of a motion with the given label.

    In a part of "sit down and stand up", the body may only sit down; a part of climbing may go up or down, or be a
    walk to the ladder.
    """
    action, heights = label_table()[label].action, joints[:, 0, 1] / _STANDING_PELVIS
    if action in _DOWN_AND_UP:
        down, up, low, up_and_down = _DOWN_AND_UP[action]
        if heights.min() > _LOW:
            return "stand simple"
        if heights.max() < _HIGH:
            return low
        first, last = heights[0] > _LOW, heights[-1] > _LOW
        return label if first and last else down if first else up if last else up_and_down
    if action.startswith("climb") and np.ptp(joints[:, 0, 1]) < _CLIMB:
        return "walk" if detailed_facts(joints).distance > 1 else "stand simple"
    if action in _CLIMBS and abs(rise := joints[-1, 0, 1] - joints[0, 0, 1]) > _CLIMB:
        up, down = _CLIMBS[action]
        return up if rise > 0 else down
    return label


def part_boundaries(label: str, joints: NDArray[np.floating]) -> list[int]:
    """Frames at which a motion (F, 22, 3) with a label that goes down and up is cut into parts that go one way.

    They are in the middle of each time up and each time down except for the first and last one.
    """
    if label not in label_table() or label_table()[label].action not in _DOWN_AND_UP:
        return []
    heights = joints[:, 0, 1] / _STANDING_PELVIS
    held = [(start, end, True) for start, end in runs(heights > _HIGH)]
    held += [(start, end, False) for start, end in runs(heights < _LOW)]
    times: list[tuple[int, int, bool]] = []
    for start, end, up in sorted(held):
        if times and times[-1][2] == up:
            start = times.pop()[0]
        times.append((start, end, up))
    return [(start + end) // 2 for start, end, _ in times[1:-1]]


def expand_labels(clip: Clip) -> Clip:
    """Replace captions that are labels of the table by sentences, and set the clip's action to that of its label.

    Events after a label and a colon become a sentence: "play basketball: dribble, shoot". Other captions are kept, and
    so is the action of a clip with a style.
    """
    captions: list[Caption] = []
    named = {clip.action.lower()} & label_table().keys()
    for number, caption in enumerate(clip.captions):
        label, _, events = caption.text.lower().partition(": ")
        if label not in label_table():
            captions.append(caption)
            continue
        end = frame_of(caption.end) if caption.end else len(clip.joints)
        part = clip.joints[min(frame_of(caption.start), len(clip.joints) - 2) : end]
        part = part if len(part) > 1 else clip.joints
        named.discard(label)
        label = label_of_part(label, part)
        named.add(label)
        some = label_captions(label, part, seed=f"{clip.name} {number}")
        if events:
            verbs = [third_person(event) for event in events.split(", ")]
            some.insert(0, f"a person {_listed(list(dict.fromkeys(verbs)))}, playing {label.removeprefix('play ')}")
        captions += [replace(caption, text=text) for text in some]
    actions = {label_table()[name].action for name in named}
    action = actions.pop() if len(actions) == 1 and not clip.style else clip.action
    return replace(clip, captions=tuple(dict.fromkeys(captions)), action=action)


def third_person(does: str) -> str:
    """Third person of a verb phrase: "carry a box" becomes "carries a box"."""
    verb, _, rest = does.partition(" ")
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        verb = f"{verb[:-1]}ies"
    else:
        verb += "es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else "s"
    return f"{verb} {rest}".strip()


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def fact_phrases(action: str, facts: DetailedFacts) -> list[str]:
    """Phrases for measurements that are notable for an action."""
    words = []
    degrees, goes = float(np.degrees(facts.turn)), action.split("-")[0] in ("walk", "run", "sneak", "march", "low")
    if goes and not any(word in action for word in ("turn", "veer", "spiral", "stop")):
        if abs(degrees) > 135:
            words.append("turning around")
        elif abs(degrees) > 40:
            words.append(f"turning {'left' if degrees > 0 else 'right'}")
        elif facts.distance > 2 and abs(degrees) < 12:
            words.append("in a straight line")
    if goes and facts.distance > 1:
        words.append(f"for about {_metres(facts.distance)}")
    if goes and 1 < facts.steps < len(_NUMBERS):
        words.append(f"taking {_NUMBERS[facts.steps]} steps")
    if action.startswith("jump") and facts.highest > 1.25:
        words.append("high up")
    if action == "squat":
        words.append("deeply" if facts.lowest < 0.55 else "slightly")
    return words


def _metres(distance: float) -> str:
    metres = round(distance)
    number = _NUMBERS[metres] if metres < len(_NUMBERS) else str(metres)
    return f"{number} metre{'s' * (metres != 1)}"


def _some(words: Sequence[str], rng: Generator) -> str:
    """One or two of the phrases."""
    return " ".join(rng.permutation(words)[: 1 + (rng.random() < 0.4)])
