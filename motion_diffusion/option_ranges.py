"""Valid ranges of numeric options, declared as annotations and checked before any work is done.

scale: Annotated[float, Range(0, 1e6, above=True)] = 100.0
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, get_args, get_type_hints

from motion_diffusion.errors import InputError


@dataclass(frozen=True)
class Range:
    """The interval from `least` to `most`."""

    least: float
    most: float
    above: bool = False
    """Whether `least` is excluded."""
    below: bool = False
    """Whether `most` is excluded."""

    def __contains__(self, number: float) -> bool:
        return self.least <= number <= self.most and not (
            (self.above and number == self.least) or (self.below and number == self.most)
        )

    def __str__(self) -> str:
        least, most = (f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in (self.least, self.most))
        return f"{'more than ' * self.above}{least} to {'less than ' * self.below}{most}"

    def check(self, option: str, number: float) -> None:
        """Raise InputError, naming the option, if a number is outside; NaN always is."""
        if number not in self:
            shown = str(number) if isinstance(number, int) else f"{number:g}"
            raise InputError(f"{option} {shown[:40]}: give {self}")


SEED = Range(0, 2**63 - 1)
"""Range of random seeds."""
Seed = Annotated[int, SEED]


def check_ranges(options: object, prefix: str = "", *, file: bool = False) -> None:
    """Check all fields of a dataclass that are annotated with a `Range`.

    Numbers and tuples of numbers are checked; None is skipped.

    Args:
        options: the dataclass instance.
        prefix: prefix of the options' names on the command line.
        file: whether the values come from a file, where names are those of the fields.

    Raises:
        InputError: for the first field outside of its range.
    """
    kind: Any = type(options)
    for name, allowed in _ranges(kind).items():
        value = getattr(options, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None:
                allowed.check(name if file else f"--{prefix}{name.replace('_', '-')}", number)


@lru_cache(maxsize=64)
def _ranges(kind: Any) -> dict[str, Range]:
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    optional = ((name, kind) for name, hint in hints.items() for kind in (hint, *get_args(hint)))  # kind | None
    annotated = ((name, part) for name, kind in optional for part in getattr(kind, "__metadata__", ()))
    return {name: part for name, part in annotated if isinstance(part, Range)}


def check_interval(group: str, begin: float, end: float) -> None:
    """Raise InputError if guidance ends, in shares of the diffusion time, before it begins.

    Args:
        group: Name of the options that begin and end belong to, such as "--classifier".
        begin: Share of the diffusion time at which it begins.
        end: Share at which it ends; time runs down to 0.
    """
    if end >= begin:
        raise InputError(
            f"{group}.end {end:g}: guidance begins at {begin:g} of the diffusion time, which runs down to 0; give less "
            "than that"
        )
