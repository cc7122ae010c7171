"""The words of a sentence, and the forms that a dictionary may have them in."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENDINGS = (
    ("ies", "y"), ("ied", "y"), ("es", ""), ("s", ""), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("er", ""),
    ("er", "e"), ("est", ""), ("ly", ""), ("ily", "y"), ("wards", "ward"), ("ation", "ate"),
    ("ion", ""), ("ion", "e"), ("ness", ""), ("ful", ""), ("less", ""),
)  # fmt: skip
"""Of English words, and what stands in their place in the plain form."""

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
"""Forms that no ending explains, and their plain forms."""


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, without digits: "T-pose" is "t" and "pose"."""
    return re.findall(r"[^\W\d_]+", text.lower().replace("'s", ""))


def forms(word: str) -> Iterator[str]:
    """The word, and the plain forms that it may come from: "waves", "wave", "wav"."""
    yield word
    if word in _IRREGULAR:
        yield _IRREGULAR[word]
    for ending, instead in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 1:
            yield stem + instead
            if not instead and len(stem) > 3 and stem[-1] == stem[-2]:  # "jogging"
                yield stem[:-1]
