"""Sentences about a clip that has a label: what its label says, in other words, and what the clip itself shows."""

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

from data_loaders.augment import facing
from data_loaders.captions.templates import mirror_words
from data_loaders.types import Caption, Clip
from motion_diffusion.assets import ASSETS
from motion_diffusion.body.skeleton import FEET, FPS
from motion_diffusion.errors import InputError

PHRASES = ASSETS / "captions" / "phrases.csv"
"""A label, the action that it stands for, and what somebody does, in words that follow "a person", separated by ;."""

SENTENCES = 4
"""About each clip, at most."""

_ANKLES = FEET[::2]

_SUBJECTS = ("a person", "a person", "someone", "the person", "a human", "somebody")

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

_STANDING_PELVIS = 0.93
"""m: height of the pelvis of this body when it stands."""

_LOW, _HIGH = 0.75, 0.85
"""Shares of its height when it stands below which a pelvis is down, and above which it is up."""

_CLIMB = 0.3
"""m that a pelvis rises and falls by who climbs."""

_DOWN_AND_UP = {
    "sit-down-and-stand-up": ("sit down on a chair", "stand up from a chair", "sit"),
    "get-up": ("lie down on the floor", "stand up from lying on the floor", "lie"),
    "fall": ("falling down", "stand up from lying on the floor", "lie"),
}
"""Actions that go down and up again, and labels for parts that only go down, only go up, or stay down."""


@dataclass(frozen=True)
class Label:
    """What a label stands for."""

    action: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class DetailedFacts:
    """What a clip shows: metres of its way, radians that it turns (to the left), m/s, steps, and the lowest and the
    highest that its pelvis gets, as shares of how high it stands."""

    distance: float
    turn: float
    speed: float
    steps: int
    lowest: float
    highest: float


@cache
def label_table(path: Path = PHRASES) -> dict[str, Label]:
    """The table, and labels that it has for one side only for the other too. Raises InputError for a row without an
    action or phrases."""
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
    """Measure joints (F, 22, 3), 20 frames a second, the floor at 0."""
    path, angle = joints[:, 0, [0, 2]], np.unwrap(facing(joints))
    distance = float(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum())
    heights = joints[:, 0, 1] / _STANDING_PELVIS
    return DetailedFacts(
        distance,
        float(angle[-1] - angle[0]),
        distance * FPS / max(len(joints) - 1, 1),
        count_steps(joints),
        float(heights.min()),
        float(heights.max()),
    )


def count_steps(joints: NDArray[np.floating]) -> int:
    """How often a foot is set down elsewhere: swings of an ankle by 15 cm or more between times that it is slow."""
    steps = 0
    for ankle in _ANKLES:
        way = joints[:, ankle][:, [0, 2]]
        slow = np.linalg.norm(np.diff(way, axis=0), axis=-1) * FPS < 0.4
        pieces = np.split(way[:-1], np.flatnonzero(np.diff(slow)) + 1)
        held = [piece.mean(0) for piece in pieces[0 if slow[0] else 1 :: 2]]
        steps += sum(bool(np.linalg.norm(b - a) > 0.15) for a, b in pairwise(held))
    return steps


def label_captions(label: str, joints: NDArray[np.floating], *, times: int = 0, seed: str = "") -> list[str]:
    """Two to `SENTENCES` different sentences about joints (F, 22, 3). times: how often it is done, if that is known.

    The same for the same seed. Raises InputError for a label that the table does not have.
    """
    known = label_table()
    if label not in known:
        raise InputError(f"no phrases for the label {label!r}; write some into {PHRASES.name}")
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed} {label}".encode()).digest()[:8], "big"))
    phrases, facts = known[label].phrases, fact_phrases(known[label].action, detailed_facts(joints))
    often = f" {_NUMBERS[times]} times" if 1 < times < len(_NUMBERS) else ""
    result = [f"a person {phrases[0]}{often}"]
    for phrase in rng.permutation(phrases[1:])[: SENTENCES - 2]:
        result.append(f"{rng.choice(_SUBJECTS)} {phrase}")
    if facts:
        result.append(f"{rng.choice(_SUBJECTS)} {rng.choice(phrases[:2])} {_some(facts, rng)}")
    return list(dict.fromkeys(result))


def label_of_part(label: str, joints: NDArray[np.floating]) -> str:
    """A label of the table for joints (F, 22, 3) that may be a part of what has that label: who sits down and stands up
    may only sit down in it, and who climbs may stand before the ladder."""
    action, heights = label_table()[label].action, joints[:, 0, 1] / _STANDING_PELVIS
    if action in _DOWN_AND_UP:
        down, up, low = _DOWN_AND_UP[action]
        if heights.min() > _LOW:
            return "stand simple"
        if heights.max() < _HIGH:
            return low
        return label if heights[0] > _HIGH and heights[-1] > _HIGH else down if heights[0] > heights[-1] else up
    if action.startswith("climb") and np.ptp(joints[:, 0, 1]) < _CLIMB:
        return "walk" if detailed_facts(joints).distance > 1 else "stand simple"
    return label


def expand_labels(clip: Clip) -> Clip:
    """A clip whose captions are labels of the table with sentences in their place, and the action of its label.

    Events that follow a label after a colon are told one after the other: "play basketball: dribble, shoot". Captions
    that are sentences already stay, and so does an action that comes with a style.
    """
    captions: list[Caption] = []
    named = {clip.action.lower()} & label_table().keys()
    for number, caption in enumerate(clip.captions):
        label, _, events = caption.text.lower().partition(": ")
        if label not in label_table():
            captions.append(caption)
            continue
        end = round(caption.end * FPS) if caption.end else len(clip.joints)
        part = clip.joints[min(round(caption.start * FPS), len(clip.joints) - 2) : end]
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
    """What somebody does, from what to do: "carry a box" is "carries a box"."""
    verb, _, rest = does.partition(" ")
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        verb = f"{verb[:-1]}ies"
    else:
        verb += "es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else "s"
    return f"{verb} {rest}".strip()


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def fact_phrases(action: str, seen: DetailedFacts) -> list[str]:
    """Words for what the clip shows beside its action, each true of it."""
    words = []
    degrees, goes = float(np.degrees(seen.turn)), action.split("-")[0] in ("walk", "run", "sneak", "march", "low")
    if goes and not any(word in action for word in ("turn", "veer", "spiral", "stop")):
        if abs(degrees) > 135:
            words.append("turning around")
        elif abs(degrees) > 40:
            words.append(f"turning {'left' if degrees > 0 else 'right'}")
        elif seen.distance > 2 and abs(degrees) < 12:
            words.append("in a straight line")
    if goes and seen.distance > 1:
        words.append(f"for about {_metres(seen.distance)}")
    if goes and 1 < seen.steps < len(_NUMBERS):
        words.append(f"taking {_NUMBERS[seen.steps]} steps")
    if action.startswith("jump") and seen.highest > 1.25:
        words.append("high up")
    if action == "squat":
        words.append("deeply" if seen.lowest < 0.55 else "slightly")
    return words


def _metres(distance: float) -> str:
    metres = round(distance)
    number = _NUMBERS[metres] if metres < len(_NUMBERS) else str(metres)
    return f"{number} metre{'s' * (metres != 1)}"


def _some(words: Sequence[str], rng: Generator) -> str:
    """One or two of them."""
    return " ".join(rng.permutation(words)[: 1 + (rng.random() < 0.4)])
