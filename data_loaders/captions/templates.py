"""Captions composed from action and style labels and from measurements of the motion.

The actions and styles are those of the Bandai-Namco data set. Captions vary randomly but never contradict the motion.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.augment import facing
from motion_diffusion.body.skeleton import FPS

VERBS: dict[str, tuple[str, ...]] = {
    "walk": ("walks", "walks forward", "is walking", "walks along", "goes for a walk", "strolls", "takes a walk",
        "moves forward on foot", "walks ahead", "paces forward"),
    "walk-back": ("walks backwards", "steps back", "is walking backward", "walks in reverse", "moves backwards",
        "backs away", "goes backwards", "retreats step by step"),
    "walk-left": ("walks to the left", "goes left", "sidesteps to the left", "moves over to the left",
        "steps sideways to the left", "is walking left", "shuffles left", "walks towards the left side"),
    "walk-right": ("walks to the right", "goes right", "sidesteps to the right", "moves over to the right",
        "steps sideways to the right", "is walking right", "shuffles right", "walks towards the right side"),
    "walk-turn-left": ("walks and turns left", "turns left while walking", "walks and makes a left turn",
        "walks, then turns to the left", "is walking and takes a left", "walks around a corner to the left",
        "goes forward and turns left", "strolls and turns to the left", "makes a left turn on foot"),
    "walk-turn-right": ("walks and turns right", "turns right while walking", "walks and makes a right turn",
        "walks, then turns to the right", "is walking and takes a right", "walks around a corner to the right",
        "goes forward and turns right", "strolls and turns to the right", "makes a right turn on foot"),
    "run": ("runs", "runs forward", "is running", "jogs", "goes for a run", "jogs ahead", "runs along",
        "moves forward at a run", "is jogging"),
    "dash": ("dashes", "sprints", "runs fast", "dashes forward", "is sprinting", "rushes forward", "races ahead",
        "runs at full speed"),
    "raise-up-both-hands": ("raises both hands", "lifts both arms", "puts both hands up", "holds up both hands",
        "raises the arms", "throws both hands up", "reaches up with both hands", "is raising both hands"),
    "raise-up-left-hand": ("raises the left hand", "lifts the left arm", "puts the left hand up",
        "holds up a left hand", "raises a hand on the left", "reaches up with the left hand",
        "is raising the left hand", "puts up the left arm"),
    "raise-up-right-hand": ("raises the right hand", "lifts the right arm", "puts the right hand up",
        "holds up a right hand", "raises a hand on the right", "reaches up with the right hand",
        "is raising the right hand", "puts up the right arm"),
    "wave-both-hands": ("waves both hands", "waves with both arms", "is waving both hands",
        "swings both hands in the air", "waves with both hands", "signals with both hands",
        "greets with both hands waving", "waves both arms overhead"),
    "wave-left-hand": ("waves the left hand", "waves with the left arm", "is waving the left hand",
        "swings the left hand in the air", "waves with the left hand", "signals with the left hand",
        "greets with the left hand waving", "waves hello with the left hand"),
    "wave-right-hand": ("waves the right hand", "waves with the right arm", "is waving the right hand",
        "swings the right hand in the air", "waves with the right hand", "signals with the right hand",
        "greets with the right hand waving", "waves hello with the right hand"),
    "bow": ("bows", "takes a bow", "is bowing", "bends forward in a bow", "bows politely", "makes a bow",
        "greets with a bow", "lowers the head and bows"),
    "bye": ("waves goodbye", "says goodbye", "says bye", "gives a goodbye wave", "waves bye", "gestures goodbye",
        "signals farewell", "bids farewell"),
    "byebye": ("waves bye-bye", "says bye-bye", "waves goodbye again and again", "waves bye bye",
        "makes a bye-bye gesture", "waves farewell", "keeps waving goodbye", "gives a big goodbye wave"),
    "call": ("calls someone", "calls out", "beckons", "calls someone over", "makes a calling gesture",
        "shouts to someone", "is calling out", "gestures to come over"),
    "guide": ("shows the way", "guides someone", "points the way", "makes a guiding gesture", "invites someone along",
        "directs a guest", "is guiding someone", "gestures this way"),
    "respond": ("responds", "answers", "reacts to someone", "replies with a gesture", "gives a response",
        "is responding", "makes a gesture in reply", "answers with a gesture"),
    "dance-short": ("dances", "is dancing", "does a dance", "performs a dance", "dances around", "moves in a dance",
        "dances to music", "shows a dance"),
    "dance-long": ("dances", "is dancing", "does a long dance", "performs a dance", "dances on and on",
        "moves in a dance", "dances to music", "shows a dance"),
    "kick": ("kicks", "does a kick", "is kicking", "throws a kick", "kicks in the air", "practises kicks",
        "swings a leg in a kick", "performs kicks"),
    "punch": ("punches", "throws punches", "is punching", "throws a punch", "punches the air", "boxes",
        "practises punches", "strikes with the fists"),
    "slash": ("slashes", "swings a sword", "is slashing", "cuts with a sword", "makes a slash", "slashes the air",
        "strikes with a blade", "swings as with a sword"),
}  # fmt: skip
"""Verb phrases for each action, which follow "a person"."""

LOCOMOTION = ("walk", "walk-back", "walk-left", "walk-right", "walk-turn-left", "walk-turn-right", "run", "dash")
"""Actions that move the body to another place."""

_MANNERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "normal": ((), ()),
    "active": (("active", "energetic", "lively", "vigorous"),
        ("energetically", "in a lively way", "full of energy")),
    "angry": (("angry", "furious", "mad", "enraged"),
        ("angrily", "in anger", "as if furious")),
    "childish": (("childish", "childlike", "playful", "silly"),
        ("childishly", "like a child", "playfully")),
    "chimpira": (("swaggering", "thuggish", "cocky", "rowdy"),
        ("with a swagger", "like a thug", "like a punk")),
    "elderly": (("elderly", "aged", "frail", "old"),
        ("like an elderly person", "with the care of old age", "like a senior")),
    "exhausted": (("exhausted", "drained", "tired", "worn-out"),
        ("as if exhausted", "with no strength left", "tiredly")),
    "feminine": (("feminine", "womanly", "ladylike", "graceful"),
        ("in a feminine way", "like a woman", "gracefully")),
    "giant": (("giant", "huge", "gigantic", "hulking"),
        ("like a giant", "with heavy weight", "like a huge creature")),
    "happy": (("happy", "cheerful", "joyful", "merry"),
        ("happily", "cheerfully", "with joy")),
    "masculine": (("masculine", "manly", "strong", "virile"),
        ("in a masculine way", "like a man", "in a manly way")),
    "masculinity": (("very masculine", "macho", "manly", "tough"),
        ("with masculinity", "in a macho way", "like a tough guy")),
    "musical": (("musical", "rhythmic", "swinging", "dancing"),
        ("rhythmically", "as if to music", "in a musical way")),
    "not-confident": (("shy", "timid", "insecure", "hesitant"),
        ("without confidence", "timidly", "hesitantly")),
    "old": (("old", "aged", "elderly", "senile"),
        ("like an old person", "as if very old", "with old bones")),
    "proud": (("proud", "haughty", "confident", "arrogant"),
        ("proudly", "with pride", "with the chest out")),
    "sad": (("sad", "gloomy", "unhappy", "depressed"),
        ("sadly", "in sorrow", "with a hanging head")),
    "tired": (("tired", "weary", "sleepy", "fatigued"),
        ("wearily", "as if tired", "with tired steps")),
    "youthful": (("youthful", "young", "fresh", "sprightly"),
        ("like a young person", "youthfully", "with youth")),
}  # fmt: skip
"""Adjectives for the person and adverbs for the action of each style; none for the normal style."""

STYLES = frozenset(_MANNERS)
"""Styles with adjectives and adverbs."""

_SUBJECTS = ("a person", "a person", "someone", "a figure", "the person", "a human", "somebody")

NUMBER_WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen",
)  # fmt: skip
"""Words for the numbers from 0."""

_SIDES = {"left": "right", "right": "left", "counterclockwise": "clockwise", "clockwise": "counterclockwise"}


def adjectives(style: str) -> tuple[str, ...]:
    """Adjectives for a person of a style; none for the normal style."""
    return _MANNERS[style][0]


def adverbs(style: str) -> tuple[str, ...]:
    """Adverbs for an action in a style; none for the normal style."""
    return _MANNERS[style][1]


@dataclass(frozen=True)
class MotionFacts:
    """Measurements of a motion that captions may mention.

    Attributes:
        distance: Length of the path along the floor in metres.
        turn: Total turn of the body in radians, positive to the left.
        speed: Mean speed in m/s.
    """

    distance: float
    turn: float
    speed: float


def motion_facts(joints: NDArray[np.floating]) -> MotionFacts:
    """Measure the path, the total turn and the mean speed of joints (F, 22, 3) at 20 frames per second."""
    path = joints[:, 0, [0, 2]]
    distance = float(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum())
    angle = np.unwrap(facing(joints))
    return MotionFacts(distance, float(angle[-1] - angle[0]), distance * FPS / max(len(joints) - 1, 1))


def plain_caption(action: str, style: str) -> str:
    """Simplest caption of an action and a style: "a tired person walks"."""
    words = adjectives(style)[:1]
    return f"{_article(words[0])} {words[0]} person {VERBS[action][0]}" if words else f"a person {VERBS[action][0]}"


def is_labelled(action: str, style: str) -> bool:
    """Whether captions can be composed from an action and a style."""
    return action in VERBS and bool(style)


def true_caption(action: str, style: str, facts: MotionFacts) -> str:
    """Simplest caption that is specific about the path: it states "straight ahead" for a walk without a turn."""
    plain = plain_caption(action, style)
    return f"{plain} straight ahead" if _is_straight([action], facts) else plain


def caption(actions: Sequence[str], style: str, facts: MotionFacts, rng: Generator) -> str:
    """Random caption of one or more consecutive actions in a style.

    Args:
        actions: Actions in order, keys of `VERBS`.
        style: Style, one of `STYLES`.
        facts: Measurements of the motion.
        rng: Source of randomness.
    """
    verbs = [str(rng.choice(VERBS[action])) if rng.random() < 0.7 else VERBS[action][0] for action in actions]
    does = verbs[0]
    for verb in verbs[1:]:
        does += str(rng.choice([", then ", " and then ", " and "])) + verb
    subject, manner = str(rng.choice(_SUBJECTS)), ""
    if adjectives(style) and rng.random() < 0.92:
        if rng.random() < 0.65:
            word = str(rng.choice(adjectives(style)))
            subject = f"{_article(word)} {word} {rng.choice(['person', 'person', 'person', 'human', 'figure'])}"
        else:
            manner = str(rng.choice(adverbs(style)))
    travels = all(action in LOCOMOTION for action in actions)
    extra = _fact_phrase(actions, facts, rng) if travels and rng.random() < 0.6 else ""
    return " ".join(part for part in (subject, does, manner, extra) if part)


def _fact_phrase(actions: Sequence[str], facts: MotionFacts, rng: Generator) -> str:
    """Phrase for one of the facts; empty if there is nothing notable."""
    phrases: list[str] = []
    degrees = float(np.degrees(facts.turn))
    side, clock = ("left", "counterclockwise") if degrees > 0 else ("right", "clockwise")
    if abs(degrees) > 25 and not any("turn" in action for action in actions):
        if abs(degrees) < 60:
            phrases += [f"curving slightly to the {side}", f"bearing {side}", f"in a slight curve to the {side}"]
        elif abs(degrees) < 135:
            phrases += [f"turning {side}", f"in a curve to the {side}", f"turning to the {side}"]
        else:
            phrases += [f"turning around to the {side}", f"in a half circle to the {side}", f"{clock} in an arc"]
    elif _is_straight(actions, facts):
        phrases += ["in a straight line", "straight ahead", "straight on"]
    if facts.distance > 1 and rng.random() < 0.35:
        metres = NUMBER_WORDS[min(round(facts.distance), 15)]
        phrases = [f"for about {metres} metre{'' if metres == 'one' else 's'}"]
    if all(action.startswith("walk") for action in actions) and rng.random() < 0.4:
        if facts.speed > 1.25:
            phrases = ["quickly", "fast", "at a brisk pace"]
        elif facts.speed < 0.7:
            phrases = ["slowly", "at a slow pace", "unhurriedly"]
    return str(rng.choice(phrases)) if phrases else ""


def _is_straight(actions: Sequence[str], facts: MotionFacts) -> bool:
    """Whether a motion is notably straight: a path long enough to turn on, without a turn."""
    turned = abs(float(np.degrees(facts.turn)))
    return turned < 12 and facts.distance > 2 and set(actions) <= {"walk", "run", "dash"}


def mirror_words(text: str) -> str:
    """Exchange left and right, clockwise and counterclockwise, in captions and names of actions."""

    def other(match: re.Match[str]) -> str:
        word = _SIDES[match[0].lower()]
        return word.capitalize() if match[0][0].isupper() else word

    return re.sub(r"\b(counterclockwise|clockwise|left|right)\b", other, text, flags=re.IGNORECASE)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
