"""Actions, styles and words of training clips, kept beside models (see `motion_diffusion.prompts`)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from data_loaders.captions.templates import STYLES, VERBS, adjectives, adverbs, mirror_words
from data_loaders.types import Clip
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.prompts import Known, KnownAction, KnownStyle, words_of

MAX_ACTIONS, MAX_PHRASES, MAX_WORDS = 300, 12, 5000
"""Maximum numbers of actions (the longest ones), of phrases per action and of words (the most frequent ones)."""

MIN_COUNT = 2
"""Minimum number of captions with a word, if there are more than `MAX_WORDS`; most rarer words are misspelt."""

_SUBJECT = re.compile(
    r"^(?:(?:a|an|the|this|some)\s(?:\w+\s){0,2}?)?(?:person|human|figure|man|woman|someone|somebody)\s+", re.IGNORECASE
)

_BEFORE_VERB = re.compile(r"^(?:is|are|be|being|was|to|then|first|and|who|that|starts|begins|\w+ly)\s+", re.IGNORECASE)


@dataclass
class _Total:
    """Sums over the clips of an action."""

    frames: int = 0
    styles: Counter[str] = field(default_factory=Counter)
    phrases: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)


def collect_known(clips: Sequence[Clip], *, mirrored: bool) -> Known:
    """Collect the actions, styles and words of clips.

    Args:
        clips: Training clips.
        mirrored: Whether half of them are mirrored copies, which do not count towards durations.
    """
    totals: defaultdict[str, _Total] = defaultdict(_Total)
    words: Counter[str] = Counter()
    for clip in clips:
        total = totals[clip.action or _verb(clip)]
        total.frames += len(clip.joints)
        if clip.style:
            total.styles[_style(clip)] += len(clip.joints)
        sentences = list(_sentences(clip))
        total.sentences[sentences[0] if sentences else ""] += 1
        total.phrases.update(_SUBJECT.sub("", text).rstrip(".") for text in sentences)
        found = {word for text in (*sentences, *_manners(clip)) for word in words_of(text)}
        words.update(found | {word for text in found for word in words_of(mirror_words(text))})
    share = 0.5 if mirrored else 1.0
    ordered = sorted(totals.items(), key=lambda item: (-item[1].frames, item[0]))
    common = [word for word, count in words.most_common(MAX_WORDS) if count >= MIN_COUNT or len(words) <= MAX_WORDS]
    return Known(
        tuple(_action(name, total, share) for name, total in ordered[:MAX_ACTIONS] if name),
        tuple(sorted(common)),
    )


def _action(name: str, total: _Total, share: float) -> KnownAction:
    def hours(frames: int) -> float:
        return round(share * frames / FPS / 3600, 4)

    styles = tuple(KnownStyle(style, hours(frames)) for style, frames in total.styles.most_common())
    phrases = tuple(phrase for phrase, _ in total.phrases.most_common(MAX_PHRASES))
    ((example, _),) = total.sentences.most_common(1)
    return KnownAction(name.replace("-", " "), hours(total.frames), example, phrases, styles)


def _is_labelled(clip: Clip) -> bool:
    """Whether training composes the clip's captions from its action and style."""
    return clip.action in VERBS and clip.style in STYLES


def _sentences(clip: Clip) -> Iterator[str]:
    """Sentences about a clip: those composed for its action, else its captions; the simplest one first."""
    if _is_labelled(clip):
        yield from (f"a person {verb}" for verb in VERBS[clip.action])
    else:
        yield from (caption.text for caption in clip.captions)


def _manners(clip: Clip) -> tuple[str, ...]:
    """Adjectives and adverbs of a clip's style if training uses them."""
    return (*adjectives(clip.style), *adverbs(clip.style)) if _is_labelled(clip) else ()


def _style(clip: Clip) -> str:
    """Style as it appears in captions: "swaggering" for "chimpira"."""
    return next(iter(_manners(clip)), clip.style)


def _verb(clip: Clip) -> str:
    """Action of a clip without label: the first verb of its first caption."""
    if not clip.captions:
        return ""
    first = clip.captions[0]
    for token in first.tokens:
        word, _, part = token.partition("/")
        if part == "VERB" and word not in ("be", "do", "have", "start", "begin"):
            return word
    does = _SUBJECT.sub("", first.text.strip(), count=1)
    while (shorter := _BEFORE_VERB.sub("", does, count=1)) != does:
        does = shorter
    return next(iter(words_of(does)), "")
