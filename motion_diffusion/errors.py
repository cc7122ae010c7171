"""User-facing errors: one line that says what is wrong, where, and what to do about it."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from pydantic import ValidationError

P = ParamSpec("P")
T = TypeVar("T")

_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals besides SIGINT that ask a process to end."""


class InputError(ValueError):
    """Invalid user input. The message is one line: what is wrong, where, and the remedy."""


def parse_json(content: bytes, nested: str) -> Any:
    """Parse JSON that a user wrote.

    Args:
        content: UTF-8, perhaps with a byte order mark.
        nested: What the content consists of, for the message about JSON that is nested too deeply.

    Raises:
        InputError: The content is not JSON, or an object in it has a field twice. The message begins with a verb, such
            as "is not JSON", so that the name of the file can precede it.
    """
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"is nested too deeply; {nested}") from None
    except ValueError as error:  # not JSON, not UTF-8, or an integer of thousands of digits
        raise InputError(f"is not JSON: {error}; check commas, quotes and brackets there") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of its pairs; InputError for a repeated key."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"has the field {twice[:40]!r} twice in one object; take one out")
    return result


def first_problem(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """The place of the first invalid field of some data, and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    return first["loc"], first["msg"].removeprefix("Value error, ")


def command(main: Callable[P, None]) -> Callable[P, None]:
    """Decorate the main function of a command with error and signal handling.

    InputError and OSError are printed as one line with exit code 2. SIGINT, SIGTERM and SIGHUP unwind the stack, so
    that no file is left half-written; the exit code is 128 plus the signal's number. A closed output pipe, as in
    `--help | head -1`, ends the command quietly.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _unwinding(), _one_line_warnings():
                try:
                    main(*args, **kwargs)
                finally:
                    sys.stdout.flush()
        except BrokenPipeError:
            with suppress(OSError, ValueError):  # stdout has no descriptor in tests
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
            raise SystemExit(128 + 13) from None  # the exit code of SIGPIPE, which Python ignores
        except (InputError, OSError) as error:
            print("error: " + " ".join(str(error).split()), file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt as stop:
            with suppress(OSError):  # the terminal may be closed
                print("stopped", file=sys.stderr)
            (number,) = stop.args or (signal.SIGINT,)
            raise SystemExit(128 + number) from None

    return run


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Print warnings as one line, without the place in the source."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *args, **kwargs: f"warning: {' '.join(str(message).split())}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def _unwinding() -> Iterator[None]:
    """Context in which signals that would end the process raise KeyboardInterrupt(number) in the main thread.

    Signals that are ignored (nohup) or handled already are not changed.
    """
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # in a forked worker
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        raise KeyboardInterrupt(number)

    here = threading.current_thread() is threading.main_thread()
    if here and signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    changed = [number for number in _ENDINGS if here and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Signal handler that ends the process with one line, for phases in which there is nothing to unwind."""
    with suppress(OSError):
        os.write(2, b"stopped\n")
    os._exit(128 + number)


def interruptible_imports() -> None:
    """Let SIGINT end the process at once until its `command` begins.

    To be called before a command's imports: PyTorch's take seconds, during which an exception may be raised anywhere.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


@overload
def parse_arguments(kind: type[T], *, prog: str | None = None, **options: Any) -> T: ...
@overload
def parse_arguments(kind: Any, *, prog: str | None = None, **options: Any) -> Any: ...
def parse_arguments(kind: Any, *, prog: str | None = None, **options: Any) -> Any:
    """`tyro.cli` with errors as one-line InputErrors instead of boxes."""
    import tyro

    drawn = io.StringIO()
    try:
        with redirect_stderr(drawn):
            return tyro.cli(kind, prog=prog, **options)
    except SystemExit as end:
        if end.code == 2:
            cause = end.__context__
            while cause is not None and not isinstance(cause, InputError):
                cause = cause.__context__
            raise cause or InputError(_unboxed(drawn.getvalue())) from None
        raise
    finally:
        if not isinstance(sys.exc_info()[1], SystemExit | InputError):
            sys.stderr.write(drawn.getvalue())  # warnings


def _unboxed(drawn: str) -> str:
    """Text of an error drawn by tyro, without its frame, followed by the option perhaps meant and where to find
    help.
    """
    rows = [row.strip("│ ") for row in re.sub(r"\x1b\[[0-9;]*m", "", drawn).strip("\n").splitlines()]
    rows = rows[1:-1] if rows[0].startswith("╭") else rows[2:]  # drop the title
    parts = [" ".join(part.split()) for part in re.split(r"\n[─-]+\n", "\n".join(rows))]
    words = parts[0].rstrip(".")
    for part in parts[1:]:
        if part.startswith("Perhaps you meant") and (option := re.search(r"--[\w.-]+", part)):
            words += f"; perhaps {option[0]}"
        if help_of := re.search(r"(?:run|see)[: ]+(\S.*? --help)", part):
            words += f"; see {help_of[1]}"
    return words
