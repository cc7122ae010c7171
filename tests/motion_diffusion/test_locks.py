"""One command at a time writes to a folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from motion_diffusion.atomic_io import locked
from motion_diffusion.errors import InputError

HOLDS = """
import sys, time
from motion_diffusion.atomic_io import locked

with locked(sys.argv[1], "--out"):
    print("here", flush=True)
    time.sleep(60)
"""


def test_folder_is_locked_until_its_process_ends(tmp_path):
    folder = tmp_path / "new"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, folder], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        held = rf"{folder} is in use by process {holder.pid} on .* since .*; wait for it, or give another --out"
        for _ in range(2):
            with pytest.raises(InputError, match=held), locked(folder, "--out"):
                pass
        holder.kill()
    for _ in range(2):
        with locked(folder, "--out"):
            pass


def test_lock_of_another_program_is_reported(tmp_path):
    (tmp_path / ".lock").write_bytes(b"\xff")
    with locked(tmp_path, "--out"), pytest.raises(InputError, match="in use by process"), locked(tmp_path, "--out"):
        pass
