"""The command: prepare, check, export and show, on a folder of clips."""

import numpy as np
import pytest
from PIL import Image

import data_loaders.__main__ as command
from data_loaders.datasets import load_examples
from data_loaders.store import open_store


@pytest.fixture
def root(tmp_path, walk, write_bandai, run_in_folder):
    """A data root with three clips of each part."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number, frames in ((2, 75), (3, 120), (46, 90)):  # 46 is a test clip
        write_bandai(folder / f"dataset-1_walk_normal_{number:03d}.bvh", walk[:frames])
    return folder


@pytest.fixture
def run(root, run_in_folder):
    return lambda *arguments: run_in_folder(command, *arguments)


def refused(run, capsys, *arguments):
    """The line with which a command is refused."""
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_prepare_and_train_on_it(run, tmp_path, capsys):
    run("prepare", "bandai", "--data-root", "data", "--out", "store", "--processes", 1)
    said = capsys.readouterr().out
    store = open_store(tmp_path / "store")
    assert [len(clip.joints) for clip in store.clips] == [50, 80, 60]
    hours = sum(len(clip.joints) for clip in store.clips if clip.split == "train") / 20 / 3600
    (line,) = [line for line in said.splitlines() if line.startswith("train")]
    assert line.split()[1:4] == ["2", "2", f"{hours:.2f}"]
    assert "--data bandai --data-root store" in said
    run("check", "bandai", "--data-root", "store")
    with pytest.raises(Exception, match="held-out"):  # no clip is in the part val
        load_examples("bandai", tmp_path / "store", frames=60)


def test_check_names_what_is_broken_and_prepare_leaves_it_out(run, root, tmp_path, capsys):
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


def test_export_can_be_read_again(run, tmp_path, capsys):
    run("export", "bandai", "--data-root", "data", "--out", "files", "--processes", 1)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        run("check", "humanml3d", "--data-root", "files", "--processes", 1)
    told = capsys.readouterr()
    assert "val" in told.out  # is empty, as it was
    assert "1 broken or missing" in told.err


@pytest.mark.parametrize("name", ["bandai", "humanml3d", "kit", "bvh"])
def test_no_folder(run, capsys, name):
    assert "no folder nowhere" in refused(run, capsys, "check", name, "--data-root", "nowhere")
