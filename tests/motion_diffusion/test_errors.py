"""Commands end with one line, however they end, and leave no half-written file."""

import ast
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from motion_diffusion.errors import InputError, command, parse_arguments

ROOT = Path(__file__).parents[2]

WRITES = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background, or under nohup
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from motion_diffusion.errors import command
from motion_diffusion.atomic_io import atomic

@command
def main():
    with atomic("a.mp4") as temporary:
        temporary.write_text("half")
        if not os.fork():
            time.sleep(0.5)  # until the parent is through with what it does after a fork, where signals are lost
            print(os.getpid(), flush=True)
        time.sleep(60)

main()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_unwind_a_command(tmp_path, name):
    number = getattr(signal, name)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITES], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        os.kill(int(running.stdout.readline()), signal.SIGTERM)  # its worker, which ends without a word
        running.send_signal(number)
        assert running.communicate()[1] == b"stopped\n"
    assert running.returncode == 128 + number
    assert not list(tmp_path.iterdir())


def test_signal_handlers_are_restored(capsys):
    seen = []

    @command
    def main():
        seen.append(signal.getsignal(signal.SIGTERM))
        raise InputError("no\nsuch thing")

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is ignored stays ignored
    try:
        with pytest.raises(SystemExit, match="2"):
            main()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(SystemExit, match="2"):
            main()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen[0] is signal.SIG_IGN
    assert callable(seen[1])
    assert capsys.readouterr().err == "error: no such thing\n" * 2


def test_closed_output_pipe_ends_quietly(tmp_path):
    """As in `--help | head -1`: no word, and the status that SIGPIPE would have given."""
    code = "from motion_diffusion.errors import command\ncommand(lambda: print('one line\\n' * 100_000))()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 128 + 13


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
def test_sigint_during_imports_ends_in_one_line(tmp_path):
    (tmp_path / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from motion_diffusion.errors import interruptible_imports\ninterruptible_imports()\nimport slow\n"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert running.communicate()[1] == b"stopped\n"
    assert running.returncode == 128 + signal.SIGINT


@dataclass
class Options:
    sampler: Literal["ancestral", "ddim"]
    steps: int = 50


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["--sampler", "ddim", "--bogus"], "Unrecognized options: --bogus; see x --help"),
        (["--sampler", "ddim", "--step", "3"], "Unrecognized options: --step, 3; perhaps --steps; see x --help"),
        (["--sampler", "ddim", "--steps", "a"], "Error parsing --steps: invalid literal .*'a'; see x --help"),
        (["--sampler", "euler"], r"invalid choice 'euler' for .* \('ancestral', 'ddim'\); see x --help"),
        ([], "Missing from x: --sampler .*; see x --help"),
    ],
)
def test_argument_errors_are_one_line(monkeypatch, given, error, encoding):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    with pytest.raises(InputError, match=f"^{error}$"):
        parse_arguments(Options, prog="x", args=given)


@dataclass
class Particular:
    seed: int = 0

    def __post_init__(self):
        if self.seed > 9:
            raise InputError(f"--seed {self.seed}: give 0 to 1,000 " + "and so on, " * 20)


def test_input_errors_of_options_pass_unchanged():
    with pytest.raises(InputError, match="^--seed 10: give 0 to 1,000 (and so on, ){20}$"):
        parse_arguments(Particular, prog="x", args=["--seed", "10"])


@pytest.mark.parametrize(
    "module",
    ["data_loaders", "guidance", "sample", "sample.benchmark", "sample.evaluate", "train", "train.benchmark"]
    + ["train.matcher", "visualize", "visualize.plots", "visualize.studio"],
)
def test_every_command_handles_sigint_during_imports(module):
    """Before any large import."""
    path = ROOT / module.replace(".", "/")
    source = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    (first, second, *_) = [node for node in ast.parse(source).body if not isinstance(node, ast.Expr)]
    assert ast.unparse(first) == "from __future__ import annotations"
    assert "interruptible_imports()" in ast.unparse(second)
