"""Ranges of numbers that a user gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import pytest

from motion_diffusion.errors import InputError
from motion_diffusion.option_ranges import SEED, Range, Seed, check_ranges


@dataclass(frozen=True)
class Options:
    seed: Seed = 0
    text_scale: Annotated[float, Range(-100.0, 100.0)] = 1.5
    rate: Annotated[float, Range(0, 10, above=True)] = 0.1
    until: Annotated[float, Range(0, 1, below=True)] = 0.0
    size: Annotated[tuple[int, int], Range(64, 4096)] = (640, 480)
    motions: Annotated[int | None, Range(1, 100_000)] = None
    name: str = ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(seed=-1), "--seed -1: give 0 to 9,223,372,036,854,775,807"),
        (Options(seed=2**63), "--seed 9223372036854775808: give 0 to 9,223,372,036,854,775,807"),
        (Options(text_scale=math.nan), "--text-scale nan: give -100 to 100"),
        (Options(text_scale=math.inf), "--text-scale inf: give -100 to 100"),
        (Options(text_scale=1e308), "--text-scale 1e+308: give -100 to 100"),
        (Options(rate=0), "--rate 0: give more than 0 to 10"),
        (Options(until=1), "--until 1: give 0 to less than 1"),
        (Options(size=(64, 5000)), "--size 5000: give 64 to 4,096"),
        (Options(motions=0), "--motions 0: give 1 to 100,000"),
    ],
)
def test_values_out_of_range_are_refused_by_option_name(options: Options, message: str) -> None:
    with pytest.raises(InputError) as refused:
        check_ranges(options)
    assert str(refused.value) == message


def test_range_includes_its_ends_and_prefix_is_used() -> None:
    check_ranges(Options(seed=2**63 - 1, text_scale=-100.0, rate=10, until=0, size=(64, 4096), motions=100_000))
    with pytest.raises(InputError, match="^--noise.rate 11: "):
        check_ranges(Options(rate=11), "noise.")


def test_long_numbers_are_cut_in_messages() -> None:
    with pytest.raises(InputError) as refused:
        SEED.check("--seed", 10**4000)
    assert len(str(refused.value)) < 120
