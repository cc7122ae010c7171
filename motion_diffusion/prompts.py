"""Prompts that a model knows: the actions, styles and words that it was trained on, and detection of unlike words.

Actions and words are stored as `known.json` beside a model's config.json. The training command writes the file from the
training clips. Models without it work as usual, and their prompts are not checked.

A word of a prompt is known if a caption has it in any form, or if it does not describe an action
(assets/captions/everyday.txt). A word that does (assets/captions/meanings.txt) is also known if a caption has a word of
the same meaning. Any other word is known if it is a misspelling of a known word, or if the cosine of its vector with
that of a known word is at least `ALIKE`. Everyday words that describe an action together, such as "stands up", are
known if a phrase of the captions combines them (assets/captions/combinations.txt).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_diffusion.assets import ASSETS
from motion_diffusion.atomic_io import atomic, read_json
from motion_diffusion.errors import InputError
from motion_diffusion.network.text_encoders import StaticEmbedding, text_encoder

KNOWN = "known.json"

MAX_BYTES = 2**20
"""Maximum size of the file; with 150 actions it has 90 kB."""

MAX_STYLES = 4
"""Maximum number of styles listed per action in a table."""


@dataclass(frozen=True)
class KnownStyle:
    """A style of an action, e.g. "elderly", and the hours of it in the training clips."""

    name: str
    hours: float


@dataclass(frozen=True)
class KnownAction:
    """An action in the training clips."""

    name: str
    """For example "raise up both hands"."""
    hours: float
    """Hours of training clips, without mirrored copies."""
    example: str
    """A prompt for the action."""
    phrases: tuple[str, ...] = ()
    """Phrases that follow "a person"."""
    styles: tuple[KnownStyle, ...] = ()


@dataclass(frozen=True)
class Known:
    """All actions and words that a model was trained on."""

    actions: tuple[KnownAction, ...]
    """Sorted by hours, descending."""
    words: tuple[str, ...]
    """Words of the captions, sorted."""
    version: Literal[1] = 1

    @property
    def hours(self) -> float:
        """Hours of all actions."""
        return sum(action.hours for action in self.actions)

    def table(self) -> str:
        """A Markdown table of the actions: minutes, an example, and styles with their minutes."""
        head = ("action", "minutes", "for example", "styles, minutes of each")
        actions = [
            (action.name, f"{60 * action.hours:.1f}", action.example, in_words(action.styles))
            for action in self.actions
        ]
        widths = [max(map(len, column)) for column in zip(head, *actions, strict=True)]
        rows = [head, ["-" * width for width in widths], *actions]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows
        )

    def write(self, folder: Path) -> None:
        """Write known.json into a model's directory."""
        with atomic(folder / KNOWN) as path:
            path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def in_words(styles: Sequence[KnownStyle]) -> str:
    """The most frequent styles with their minutes, in one line; empty without any."""
    some = [f"{style.name} {60 * style.hours:.1f}" for style in styles[:MAX_STYLES]]
    if more := len(styles) - len(some):
        some.append(f"and {more} more")
    return ", ".join(some)


def read_known(folder: Path) -> Known | None:
    """Read known.json of a model's directory; None if it has none. InputError if it is damaged."""
    path, remedy = folder / KNOWN, "remove it, or make it again with python -m data_loaders known"
    if not path.is_file():
        return None
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path} has {size / 2**20:.1f} MB, more than {MAX_BYTES // 2**20}; {remedy}")
    return read_json(path, Known, remedy)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without digits: "T-pose" is "t" and "pose"."""
    return re.findall(r"[^\W\d_]+", text.lower().replace("'s", ""))


EVERYDAY = ASSETS / "captions" / "everyday.txt"

MEANINGS = ASSETS / "captions" / "meanings.txt"

COMBINATIONS = ASSETS / "captions" / "combinations.txt"

ALIKE = 0.55
"""Cosine to a known word from which a word counts as known."""

SHORT = 4
"""Minimum letters of a word that is in no list to be checked."""

MISSPELT, MISSPELT_SHORT = 0.8, 0.75
"""Similarity (difflib ratio) from which a word that the text encoder lacks counts as a misspelling; the second for
words of up to five letters, one of which may be wrong.
"""

NEAREST, NAMED = 2, 4
"""Maximum phrases, and words, named in a warning."""

JUDGED = 64
"""Maximum words of a prompt that are checked; text encoders read about as many."""

_BETWEEN = re.compile(r"[,.;:!?]|\b(?:and|then|before|after|while|but|afterwards)\b")


@dataclass(frozen=True)
class Unknown:
    """The unknown part of a prompt."""

    words: tuple[str, ...]
    """As they appear in the prompt: "cartwheel", "stands up"."""
    nearest: tuple[str, ...]
    """The most similar known phrases, nearest first."""

    @property
    def warning(self) -> str:
        """A one-line warning."""
        some = " or ".join(f'"{word}"' for word in self.words[:NAMED])
        near = ", ".join(f'"{phrase}"' for phrase in self.nearest)
        return f"nothing like {some} was learned; nearest: {near}"


@dataclass(frozen=True)
class _Combination:
    """Groups of base forms: a clause matches if it has a word of each group and none of `without`."""

    groups: tuple[frozenset[str], ...]
    without: frozenset[str]

    def found(self, clause: Sequence[str]) -> list[str]:
        """The matching words of a clause; empty if it does not match."""
        plain = [set(forms(word)) for word in clause]
        if any(each & self.without for each in plain):
            return []
        places: list[int] = []
        for group in self.groups:
            place = next((i for i, each in enumerate(plain) if each & group and i not in places), None)
            if place is None:
                return []
            places.append(place)
        return [clause[i] for i in sorted(places)]


def unknown_in(text: str, known: Known) -> Unknown | None:
    """The part of a prompt that is unlike everything learned; None if there is none."""
    vocabulary = _vocabulary(known)
    text = " ".join(text.split()[:JUDGED])
    strange = [word for word in dict.fromkeys(words_of(text)) if not vocabulary.has(word)]
    for words in vocabulary.strange_together(text):
        if not set(words.split()) & {word for one in strange for word in one.split()}:
            strange.append(words)
    if not strange:
        return None
    return Unknown(tuple(strange), vocabulary.nearest(text, strange))


class _Vocabulary:
    """Precomputed forms and vectors of everything known."""

    def __init__(self, known: Known):
        self.common = _everyday()
        self.learned = {form for word in known.words for form in forms(word)}
        self.spelt = sorted({*known.words, *self.common})
        self.content = [word for word in known.words if not self.common & set(forms(word))]
        self.directions = _directions(self.content) if self.content else torch.zeros(0, 1)
        phrases = [(action, phrase) for action in known.actions for phrase in action.phrases]
        self.owners = [action.name for action, _ in phrases]
        self.phrases = [phrase for _, phrase in phrases]
        self.places = _directions(self.phrases) if phrases else torch.zeros(0, 1)
        clauses = [clause for phrase in self.phrases for clause in _clauses(phrase)]
        self.together = {c for c in _combinations() if any(c.found(clause) for clause in clauses)}

    def likeness(self, word: str) -> float:
        """1 for a known word, otherwise its largest cosine to a known word."""
        if self.common & (plain := set(forms(word))) or self.learned & plain:
            return 1.0
        if meanings := [line for line in _meanings() if plain & line]:
            return float(any(line & self.learned for line in meanings))
        if (len(word) < SHORT and word.isascii()) or self._is_joined(word):
            return 1.0
        share = MISSPELT_SHORT if len(word) <= SHORT + 1 else MISSPELT
        if not _is_whole(word) and any(get_close_matches(form, self.spelt, 1, share) for form in plain):
            return 1.0
        return float((self.directions @ _directions([word])[0]).max()) if self.content else 0.0

    def _is_joined(self, word: str) -> bool:
        """Whether a word is composed of two known words: "sidekick", "downstairs"."""
        places = range(SHORT - 1, len(word) - SHORT + 2)
        known = self.common | self.learned
        return any(word[:i] in known and known & set(forms(word[i:])) for i in places)

    def has(self, word: str) -> bool:
        """Whether a word is known."""
        return self.likeness(word) >= ALIKE

    def strange_together(self, text: str) -> list[str]:
        """Combinations of everyday words that no known phrase has."""
        found = [c.found(clause) for clause in _clauses(text) for c in _combinations() if c not in self.together]
        return list(dict.fromkeys(" ".join(words) for words in found if words))

    def nearest(self, text: str, strange: Sequence[str]) -> tuple[str, ...]:
        """Known phrases of different actions that are most similar to a text, whose unknown words count twice."""
        if not self.phrases:
            return ()
        like = (self.places @ _directions([" ".join([text, *strange])])[0]).tolist()
        best: dict[str, tuple[float, str]] = {}
        for owner, phrase, value in zip(self.owners, self.phrases, like, strict=True):
            best[owner] = max(best.get(owner, (-2.0, "")), (value, phrase))
        without_sides: dict[str, str] = {}
        for _, phrase in sorted(best.values(), reverse=True):
            without_sides.setdefault(re.sub(r"\b(left|right)\b", "", phrase), phrase)
        return tuple(without_sides.values())[:NEAREST]


@lru_cache(maxsize=8)
def _vocabulary(known: Known) -> _Vocabulary:
    return _Vocabulary(known)


def _clauses(text: str) -> list[list[str]]:
    return [words for part in _BETWEEN.split(text.lower()) if (words := words_of(part))]


def _directions(texts: Sequence[str]) -> Tensor:
    """(N, 128) normalised sums of word vectors."""
    vectors, _ = _encoder()(texts)
    return F.normalize(vectors.sum(1), dim=-1)


def _encoder() -> StaticEmbedding:
    encoder = text_encoder("static")
    assert isinstance(encoder, StaticEmbedding)
    return encoder


def _is_whole(word: str) -> bool:
    """Whether the text encoder has a word as one piece, so that it is not a misspelling."""
    _, visible = _encoder()([word])
    return int(visible.sum()) == 1


def _rows(lines: Iterable[str]) -> list[list[str]]:
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


@cache
def _everyday() -> frozenset[str]:
    return frozenset(word for row in _rows(EVERYDAY.read_text(encoding="utf-8").splitlines()) for word in row)


@cache
def _meanings() -> tuple[frozenset[str], ...]:
    return tuple(frozenset(row) for row in _rows(MEANINGS.read_text(encoding="utf-8").splitlines()))


@cache
def _combinations() -> tuple[_Combination, ...]:
    result = []
    for row in _rows(COMBINATIONS.read_text(encoding="utf-8").splitlines()):
        groups = [frozenset(cell.split("|")) for cell in row if not cell.startswith("-")]
        without = [frozenset(cell[1:].split("|")) for cell in row if cell.startswith("-")]
        result.append(_Combination(tuple(groups), frozenset().union(*without)))
    return tuple(result)


_ENDINGS = (
    ("ies", "y"), ("ied", "y"), ("es", ""), ("s", ""), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("er", ""),
    ("er", "e"), ("est", ""), ("ly", ""), ("ily", "y"), ("wards", "ward"), ("ation", "ate"),
    ("ion", ""), ("ion", "e"), ("ness", ""), ("ful", ""), ("less", ""),
)  # fmt: skip
"""Endings of English words, and their replacement in the base form."""

_IRREGULAR = dict(
    pair.split("/")
    for pair in (
        "ran/run went/go gone/go came/come sat/sit stood/stand lay/lie lain/lie lying/lie laid/lay threw/throw "
        "thrown/throw took/take taken/take knelt/kneel fell/fall fallen/fall kept/keep held/hold swung/swing "
        "hung/hang bent/bend made/make gave/give given/give got/get began/begin begun/begin struck/strike "
        "leapt/leap leant/lean slid/slide spun/spin swam/swim rose/rise risen/rise shook/shake caught/catch "
        "fought/fight drank/drink did/do done/do feet/foot men/man women/woman children/child knives/knife"
    ).split()
)
"""Irregular forms and their base forms."""


def forms(word: str) -> Iterator[str]:
    """The word and its possible base forms: "waves", "wave", "wav"."""
    yield word
    if word in _IRREGULAR:
        yield _IRREGULAR[word]
    for ending, instead in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 1:
            yield stem + instead
            if not instead and len(stem) > 3 and stem[-1] == stem[-2]:  # "jogging"
                yield stem[:-1]
