"""Errors as part of the interface: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


class InputError(ValueError):
    """Something a user gave cannot be used; the message is one line: what, where, remedy."""


def command(main: Callable[P, None]) -> Callable[P, None]:
    """Make `main` a well-behaved command: what the user or the disk got wrong prints as one line, exit code 2."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            main(*args, **kwargs)
        except (InputError, OSError) as error:
            print("error: " + " ".join(str(error).split()), file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            raise SystemExit(130) from None

    return run
