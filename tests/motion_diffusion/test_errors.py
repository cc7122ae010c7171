"""Commands end in one line, whatever ends them, and leave nothing half-written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from motion_diffusion.errors import InputError, command

WRITES = """
import os, sys, time
from motion_diffusion.errors import command
from motion_diffusion.files import atomic

@command
def main():
    with atomic("a.mp4") as temporary:
        temporary.write_text("half")
        if not os.fork():
            print(os.getpid(), flush=True)  # Python drops signals that come before
        time.sleep(60)

main()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_unwind_a_command(tmp_path, name):
    number = getattr(signal, name)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", WRITES], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        os.kill(int(running.stdout.readline()), signal.SIGTERM)  # its worker, which ends without a word
        running.send_signal(number)
        assert running.communicate()[1] == b"stopped\n"
    assert running.returncode == 128 + number
    assert not list(tmp_path.iterdir())


def test_signals_are_as_they_were_afterwards(capsys):
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
