"""The package as people install it: a wheel, in a folder of its own, run from an empty one."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that a wheel of this project was installed to; the wheel was built from what is in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.startswith(("tests/", "docs/")) or not (ROOT / name).is_file():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        assert not [name for name in file.namelist() if name.startswith("tests")]
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture
def run(installed, tmp_path):
    """run(*words): a command of the installed package, in an empty folder."""
    script = "import sys; from motion_diffusion.cli import main; main()"

    def command(*words):
        environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-P", "-c", script, *map(str, words)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


def test_what_is_run_is_what_is_installed(installed, tmp_path):
    code = "import assets, motion_diffusion, sample, train; print(assets.__file__, motion_diffusion.__file__)"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert all(Path(name).is_relative_to(installed) for name in done.stdout.split())


def test_a_shipped_model_samples_and_is_exported(run, tmp_path):
    run("sample", "a person walks", "--seconds", 1, "--steps", 2, "--out", "out")
    run("visualize", "out/motion.npz", "--out", "motion.bvh")
    assert (tmp_path / "out" / "motion.mp4").is_file()
    assert (tmp_path / "motion.bvh").read_text().startswith("HIERARCHY")


def test_two_steps_of_training(run, tmp_path):
    run(
        "train",
        "--run",
        "run",
        "--steps",
        2,
        "--batch-size",
        2,
        "--validation-examples",
        2,
        "--width",
        32,
        "--depth",
        1,
    )
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_procedural_walks_are_evaluated(run, tmp_path):
    said = run(
        "evaluate", "--data", "procedural", "--protocol", "text", "--motions", 32, "--replications", 1,
        "--multimodality", 0, "--steps", 2,
    )  # fmt: skip
    figures = json.loads((tmp_path / "out" / "evaluation" / "figures.json").read_text())["figures"]
    assert said.startswith("v-masks, text, evaluator mixed")
    assert 0 < figures["real clips"]["FID"][0] < figures["unguided"]["FID"][0]


def test_known_actions_and_words_come_along(run):
    assert "walk" in run("sample", "--known")


def test_verbs_are_listed(run):
    assert "evaluate" in run("--help")
