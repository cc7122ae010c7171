"""Atomic writes and locks: complete files or none, also when processes are killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from motion_diffusion.atomic_io import atomic, check_place, locked, save_tensors
from motion_diffusion.errors import InputError

ROOT = Path(__file__).parents[2]


def test_atomic_write_is_complete_or_absent(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic(path) as temporary:
        temporary.write_text("one")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        print(temporary.write_text("tw") / 0)
    assert path.read_text() == "one"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("inside", ["file", "folder"])
def test_error_names_the_given_path(tmp_path, inside):
    """Below a file, or in place of a folder; not the path of the temporary file."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    path = tmp_path / "file" / "a.txt" if inside == "file" else tmp_path / "folder"
    with pytest.raises(InputError, match=rf"{path} cannot be written \(.+\); choose another place"), atomic(path) as t:
        t.write_text("one")
    with pytest.raises(InputError, match=rf"{path} cannot be written \(.+\); choose another place"):
        check_place(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_errors_of_other_files_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic(tmp_path / "a.txt"):
        Path(tmp_path / "elsewhere").read_text()


@pytest.mark.parametrize("name", ["a.txt", "new/er/a.txt", "n" * 251 + ".txt"])
def test_check_place_leaves_no_files(tmp_path, name):
    check_place(tmp_path / name)
    assert not list(tmp_path.iterdir())
    with atomic(tmp_path / name) as temporary:  # whose own name is no longer than that
        temporary.write_text("one")
    check_place(tmp_path / name)
    assert (tmp_path / name).read_text() == "one"


def test_invalid_file_name_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot be written \(.*too long.*\); choose another place"):
        check_place(tmp_path / ("n" * 300))


def test_links_are_followed(tmp_path):
    for name in ("there.txt", "nowhere.txt"):
        (tmp_path / f"to-{name}").symlink_to(name)
    (tmp_path / "there.txt").write_text("old")
    for name in ("there.txt", "nowhere.txt"):
        with atomic(tmp_path / f"to-{name}") as temporary:
            temporary.write_text("new")
        assert (tmp_path / f"to-{name}").is_symlink()
        assert (tmp_path / name).read_text() == "new"


KILLED = """
import os, signal, sys, time
from pathlib import Path
from motion_diffusion.atomic_io import atomic

with atomic(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    """By the next write beside them, except folders in use and similar files of others."""
    (tmp_path / ".half-0a0b0c0d").mkdir()  # of one that was killed while it was removed
    (tmp_path / ".half-0a0b0c0e").mkdir()  # and before it wrote its mark
    (tmp_path / ".half-0a0b0c0e" / "mark").touch()
    for left in ("0a0b0c0d", "0a0b0c0e"):
        os.utime(tmp_path / f".half-{left}", (0, 0))
    stays = [tmp_path / name for name in (".half-20240101.npz", ".notes-20240101.txt", ".half-20240101/mark", ".half")]
    for path in stays:
        path.parent.mkdir(exist_ok=True)
        path.write_text("of the user")
    writers = [
        subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "a.mp4"], cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for writer in writers:
        writer.stdout.readline()
    assert not list(tmp_path.glob(".half-0a0b0c0?"))
    folders = set(tmp_path.glob(".half-????????")) - {tmp_path / ".half-20240101"}
    assert len(folders) == 2
    writers[0].kill()
    writers[0].communicate()
    with atomic(tmp_path / "b.txt") as temporary:
        temporary.write_text("whole")
    assert len({folder for folder in folders if folder.exists()}) == 1
    writers[1].kill()
    writers[1].communicate()
    assert all(path.read_text() == "of the user" for path in stays)


def test_atomic_folder_is_complete_or_absent(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "store") as temporary:
        print(1 / (temporary.mkdir() or 0))
    assert not list(tmp_path.iterdir())
    with atomic(tmp_path / "store") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("one")
    assert (tmp_path / "store" / "a").read_text() == "one"


def test_files_have_default_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with atomic(tmp_path / "a.safetensors") as temporary:
        save_tensors({"a": torch.zeros(2)}, temporary)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode


FULL = """
import resource, torch
from motion_diffusion.errors import command
from motion_diffusion.atomic_io import atomic, save_tensors

@command
def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    with atomic("a.safetensors") as temporary:
        save_tensors({"a": torch.zeros(100_000)}, temporary)

main()
"""


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_full_disk_is_reported_in_one_line(tmp_path):
    (tmp_path / "a.safetensors").write_text("old")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stderr == "error: a.safetensors cannot be written (File too large); choose another place\n"
    assert ended.returncode == 2
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    assert (tmp_path / "a.safetensors").read_text() == "old"


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
