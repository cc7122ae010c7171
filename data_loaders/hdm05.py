"""HDM05: 130 classes of short motions by five actors as ASF/AMC.

resources.mpi-inf.mpg.de/HDM05. A clip is `HDM_bd_depositFloorR_001_120.amc`: actor, class, number, and frames per
second; `HDM_bd.asf` is the actor's skeleton. The caption is derived from the name of the class by `describe`. Uncut
recordings (`HDM_bd_01-01_01_120.amc`) have no class and no caption.

References:
    Müller, Röder, Clausen, Eberhardt, Krüger, Weber 2007, "Documentation Mocap Database HDM05", CG-2007-2, Univ. Bonn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from data_loaders.captions.label_phrases import label_table, third_person
from data_loaders.captions.tables import Annotation
from data_loaders.captions.templates import NUMBER_WORDS
from data_loaders.skeleton_folders import SkeletonFolder, amc_source
from data_loaders.types import Caption, Source, Split, files_by_name, split_of
from motion_diffusion.errors import InputError

LICENCE = "CC BY-SA 3.0; HDM05, Müller et al. 2007"

ACTOR_SPLITS: dict[str, Split] = {"bd": "train", "bk": "train", "dg": "train", "mm": "val", "tr": "test"}
"""Split of each actor. A hash would leave splits empty with so few actors."""

_NAME = re.compile(r"HDM_([A-Za-z]+)_(.+?)(?:_\d+)*", re.IGNORECASE)
_FIRST = re.compile(r"([LR])([Ee]lbow|[Hh]and)?[Ss]tart")
_COUNT = re.compile(r"(\d+)(Reps|Steps|[Hh]ops)?")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z](?![a-z])")
_SIDES = {"L": "left", "R": "right", "Left": "left", "Right": "right"}
_NUMBERS = NUMBER_WORDS[:10]

_PHRASES = {
    "cartwheel": "do a cartwheel",
    "clap": "clap the hands",
    "clapAboveHead": "clap the hands above the head",
    "depositFloor": "put something down on the floor with the {side} hand",
    "depositHigh": "put something down high up with the {side} hand",
    "depositLow": "put something down low with the {side} hand",
    "depositMiddle": "put something down at middle height with the {side} hand",
    "elbowToKnee": "touch a knee with the opposite elbow",
    "grabFloor": "grab something from the floor with the {side} hand",
    "grabHigh": "grab something high up with the {side} hand",
    "grabLow": "grab something low with the {side} hand",
    "grabMiddle": "grab something at middle height with the {side} hand",
    "hopBothLegs": "hop on both legs",
    "hopLeg": "hop on the {side} leg",
    "jogCircle": "jog in a circle to the {side}",
    "jogOnPlaceStartAir": "jog on the spot",
    "jogOnPlaceStartFloor": "jog on the spot",
    "jumpDown": "jump down",
    "jumpingJack": "do jumping jacks",
    "kickFront": "kick forward with the {side} foot",
    "kickSide": "kick sideways with the {side} foot",
    "lieDownFloor": "lie down on the floor",
    "punchFront": "punch forward with the {side} hand",
    "punchSide": "punch sideways with the {side} hand",
    "rotateArmsBackward": "rotate the {side} arm backward",
    "rotateArmsBothBackward": "rotate both arms backward",
    "rotateArmsBothForward": "rotate both arms forward",
    "rotateArmsForward": "rotate the {side} arm forward",
    "runOnPlaceStartAir": "run on the spot",
    "runOnPlaceStartFloor": "run on the spot",
    "sitDownChair": "sit down on a chair",
    "sitDownFloor": "sit down on the floor",
    "sitDownKneelTieShoes": "kneel down and tie the shoes",
    "sitDownTable": "sit down on a table",
    "squat": "squat",
    "staircaseDown": "walk down stairs",
    "staircaseUp": "walk up stairs",
    "standUpKneelToStand": "stand up from kneeling",
    "standUpLieFloor": "stand up from lying on the floor",
    "standUpSitChair": "stand up from a chair",
    "standUpSitFloor": "stand up from sitting on the floor",
    "standUpSitTable": "stand up from sitting on a table",
    "throwBasketball": "throw a basketball",
    "throwFar": "throw something far with the {side} hand",
    "throwSittingHigh": "throw something high with the {side} hand while sitting",
    "throwSittingLow": "throw something low with the {side} hand while sitting",
    "throwStandingHigh": "throw something high with the {side} hand while standing",
    "throwStandingLow": "throw something low with the {side} hand while standing",
    "turn": "turn {side}",
    "walkBackwards": "walk backwards",
    "walkCircle": "walk in a circle to the {side}",
    "walkOnPlace": "walk on the spot",
}
"""Phrases for class names without sides, counts and starting feet. Other classes are described by the words of their
name."""


@dataclass(frozen=True)
class Hdm05(SkeletonFolder):
    """HDM05 as ASF/AMC, all of it or a part, cut into classes or not."""

    data_root: Path
    """Folder with the .amc files, in any subfolders. The actors' skeletons, such as HDM_bd.asf, are beside them, in a
    folder above, or in a folder asf there. Captions are derived from the names of the classes."""
    fps: float | None = None
    """Frames per second of the files, if their names do not specify it, e.g. 30 for copies with every fourth frame."""

    def source(self) -> Source:
        """List all clips of the folder. A clip's name is its path without suffix; all clips of an actor are in one
        split.

        Raises:
            FileNotFoundError: If there is no such folder or captions file.
            InputError: If there are no clips of HDM05, or an option's value or file is invalid.
        """
        named = files_by_name(self.data_root, "amc", "HDM05, with files such as HDM_bd_squat1Reps_001_120.amc")
        annotations: dict[str, Annotation] = {}
        splits: dict[str, Split] = {}
        for name, path in named.items():
            match = _NAME.fullmatch(path.stem)
            if not match:
                raise InputError(
                    f"{path} has no name of HDM05, such as HDM_bd_squat1Reps_001_120.amc; move it elsewhere"
                )
            actor, action = match[1].lower(), match[2]
            splits[name] = ACTOR_SPLITS.get(actor) or split_of(f"HDM05 actor {actor}")
            if not action[0].isdigit():
                annotations[name] = Annotation(captions_of(action), action=class_stem(action))
        return amc_source(
            self.data_root,
            named,
            annotations,
            splits,
            captions=self.captions,
            fps=self.fps,
            floor=self.floor,
            licence=LICENCE,
            files=[],
        )


def class_stem(action: str) -> str:
    """Class without sides, counts and starting feet: "kickLFront2Reps" becomes "kickFront"."""
    words = _WORD.findall(_COUNT.sub("", _FIRST.sub("", action)))
    return "".join(word for word in words if word not in _SIDES)


def captions_of(action: str) -> tuple[Caption, ...]:
    """Caption with all information of the class name, and its label if `label_phrases` has sentences for it."""
    sentence, label = Caption(f"a person {third_person(describe(action))}"), class_label(action)
    return (sentence, Caption(label)) if label in label_table() else (sentence,)


def class_label(action: str) -> str:
    """Class in words, without repetitions and starting foot."""
    words = _WORD.findall(_COUNT.sub("", _FIRST.sub("", action)))
    sides = [_SIDES[word] for word in words if word in _SIDES]
    phrase = _PHRASES.get(class_stem(action), "")
    if not phrase or ("{side}" in phrase) != (len(sides) == 1):
        phrase = " ".join(_SIDES.get(word, word.lower()) for word in words)
    return phrase.format(side="".join(sides[:1]))


def describe(action: str) -> str:
    """Class in words: "kickLFront2Reps" becomes "kick forward with the left foot twice"."""
    first, count = _FIRST.search(action), _COUNT.search(action)
    parts = [class_label(action)]
    if count:
        number = int(count[1])
        word = _NUMBERS[number] if number < len(_NUMBERS) else count[1]
        if (count[2] or "Steps") == "Steps":
            parts.append(f"for {word} step{'s' * (number != 1)}")
        else:
            parts.append({1: "once", 2: "twice"}.get(number, f"{word} times"))
    if first:
        parts.append(f"starting with the {_SIDES[first[1]]} {(first[2] or 'foot').lower()}")
    return ", ".join([" ".join(parts[: 1 + bool(count)]), *parts[1 + bool(count) :]])
