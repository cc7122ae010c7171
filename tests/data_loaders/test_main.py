"""The command's verbs prepare, check, export and show on a folder of clips."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data_loaders.__main__ as command
import train.__main__ as train_command
from data_loaders.datasets import load_examples
from data_loaders.store import open_store
from motion_diffusion.model import MotionModel


@pytest.fixture
def root(tmp_path, walk, write_bandai, run_in_folder):
    """Data root with three clips of a train and a test split."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number, frames in ((2, 75), (3, 120), (46, 90)):  # 46 is in the test split
        write_bandai(folder / f"dataset-1_walk_normal_{number:03d}.bvh", walk[:frames])
    return folder


@pytest.fixture
def run(root, run_in_folder):
    return lambda *arguments: run_in_folder(command, *arguments)


def refused(run, capsys, *arguments):
    """One-line error message of a refused command."""
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_prepared_store_can_be_loaded(run, tmp_path, capsys):
    run("prepare", "bandai", "--data-root", "data", "--out", "store", "--processes", 1)
    said = capsys.readouterr().out
    store = open_store(tmp_path / "store")
    assert [len(clip.joints) for clip in store.clips] == [50, 80, 60]
    hours = sum(len(clip.joints) for clip in store.clips if clip.split == "train") / 20 / 3600
    (line,) = [line for line in said.splitlines() if line.startswith("train")]
    assert line.split()[1:4] == ["2", "2", f"{hours:.2f}"]
    assert "--data bandai --data-root store" in said
    run("check", "bandai", "--data-root", "store")
    with pytest.raises(Exception, match="held-out"):  # the split val is empty
        load_examples("bandai", tmp_path / "store", frames=60)


def test_known_json_is_written_by_command_and_by_training(
    run, tmp_path, capsys, monkeypatch, make_model, run_in_folder, walk, write_bandai
):
    write_bandai(tmp_path / "data" / "dataset-1_walk_normal_031.bvh", walk[:90])  # in the split val
    run("prepare", "bandai", "--data-root", "data", "--out", "store", "--processes", 1)
    make_model().save(tmp_path / "m")
    assert "no model, it has no config.json" in refused(run, capsys, "known", "store", "--out", "m", "store")
    run("known", "store", "--out", "m")
    known = MotionModel.load(tmp_path / "m").known
    assert known is not None
    assert [(action.name, action.example) for action in known.actions] == [("walk", "a person walks")]
    small = "--width 16 --depth 1 --heads 2 --frame-width 8 --steps 1 --batch-size 2 --validation-examples 2".split()
    monkeypatch.setattr("train.model_factory.MEASURED_EXAMPLES", 20)
    run_in_folder(train_command, "--data", "bandai", "--data-root", "store", "--run", "r", *small)
    assert MotionModel.load(tmp_path / "r").known == known


def test_check_names_broken_clips_and_prepare_skips_them(run, root, tmp_path, capsys):
    broken = root / "dataset-1_walk_normal_002.bvh"
    broken.write_text(broken.read_text()[:-300])
    with pytest.raises(SystemExit, match="2"):
        run("check", "bandai", "--data-root", "data", "--processes", 1)
    told = capsys.readouterr()
    assert "walk_normal_002.bvh: line" in told.out
    assert told.err.startswith("error: 1 broken or missing")
    assert "--skip-broken" in refused(run, capsys, "prepare", "bandai", "--data-root", "data", "--out", "s")
    assert not (tmp_path / "s").exists()
    run("prepare", "bandai", "--data-root", "data", "--out", "s", "--skip-broken")
    assert [clip.name for clip in open_store(tmp_path / "s").clips] == [
        "dataset-1_walk_normal_003", "dataset-1_walk_normal_046",
    ]  # fmt: skip


@pytest.mark.parametrize("prepared", [False, True])
def test_show(run, tmp_path, capsys, prepared):
    if prepared:
        run("prepare", "bandai", "--data-root", "data", "--out", "store", "--processes", 1)
    where = "store" if prepared else "data"
    run("show", "bandai", "--data-root", where, "--clip", "dataset-1_walk_normal_046", "--out", "clip.png")
    assert "a person walks" in capsys.readouterr().out
    assert np.asarray(Image.open(tmp_path / "clip.png")).std() > 1
    for arguments, said in (
        (("--out", "clip.png"), "exists"),
        (("--out", "clip.gif"), ".mp4"),
        (("--clip", "cats", "--out", "other.png"), "no clip cats"),
    ):
        assert said in refused(run, capsys, "show", "bandai", "--data-root", where, *arguments)


def test_export_can_be_read(run, tmp_path, capsys):
    run("export", "bandai", "--data-root", "data", "--out", "files", "--processes", 1)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        run("check", "humanml3d", "--data-root", "files", "--processes", 1)
    told = capsys.readouterr()
    assert "val" in told.out  # is empty as before
    assert "1 broken or missing" in told.err


@pytest.mark.parametrize("name", ["bandai", "humanml3d", "kit", "bvh", "cmu", "hdm05"])
def test_missing_folder_is_refused(run, capsys, name):
    assert "no folder nowhere" in refused(run, capsys, "check", name, "--data-root", "nowhere")


# Tests in separate processes with the default number of threads


@pytest.fixture
def start(tmp_path):
    """start(*arguments): the command as a process in tmp_path, in its own process group."""
    running = []

    def start(*arguments):
        command = [sys.executable, "-m", "data_loaders", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        how["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # which background jobs ignore
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **how))
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def many(root):
    """Data root with many identical clips, which take long to read."""
    folder = root.with_name("many")
    folder.mkdir()
    for number in range(6000):
        (folder / f"dataset-1_walk_normal_{number:03d}.bvh").symlink_to(root / "dataset-1_walk_normal_003.bvh")
    return folder


def wait_for(process, condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_do_not_deadlock_on_parent_threads(start, root):
    process = start("check", "bandai", "--data-root", "data", "--processes", 2)
    said, error = process.communicate(timeout=90)
    assert (process.returncode, error) == (0, "")
    assert said.splitlines()[-1].startswith("test ")


def test_terminated_prepare_prints_one_line(start, many, tmp_path):
    """Its pipes close only after all workers have ended."""
    process = start("prepare", "bandai", "--data-root", "many", "--out", "store", "--processes", 2)
    wait_for(process, lambda: any(path.stat().st_size for path in tmp_path.glob(".half-*/.half/joints.npy")))
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate(timeout=90) == ("", "stopped\n")
    assert process.returncode == 128 + signal.SIGTERM
    assert {path.name for path in tmp_path.iterdir()} == {"data", "many"}


def test_export_locks_folder_and_ctrl_c_prints_one_line(start, many, tmp_path):
    arguments = ("export", "bandai", "--data-root", "many", "--out", "files", "--processes", 2)
    process, journal = start(*arguments), tmp_path / "files" / ".unfinished"
    wait_for(process, lambda: journal.is_file() and len(journal.read_bytes().splitlines()) > 1)
    second = start(*arguments)
    said, error = second.communicate(timeout=60)
    assert (second.returncode, said, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"error: files is in use by process {process.pid} on ")
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=90) == ("", "stopped\n")
    assert process.returncode == 128 + signal.SIGINT
    assert not list((tmp_path / "files").rglob(".half*"))


def test_residue_of_killed_prepare_is_removed(start, many, tmp_path):
    process = start("prepare", "bandai", "--data-root", "many", "--out", "store", "--processes", 2)
    wait_for(process, lambda: any(path.stat().st_size for path in tmp_path.glob(".half-*/.half/joints.npy")))
    process.kill()
    assert process.communicate(timeout=90) == ("", "")  # so its workers have ended too
    assert list(tmp_path.glob(".half-*"))
    process = start("prepare", "bandai", "--data-root", "data", "--out", "store")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"data", "many", "store"}
