"""PyTorch's threads wait asleep, in every command and for `import motion_diffusion`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate

COMMANDS = ("data_loaders", "guidance", "sample", "sample.evaluate", "train", "visualize", "visualize.studio")


def wait_policies(*arguments: str, **environment: str) -> list[str]:
    """What OpenMP reports when Python loads it."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment = given | {"OMP_DISPLAY_ENV": "TRUE"} | environment
    run = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)
    lines = (line.split("=")[1].strip(" '") for line in run.stderr.splitlines() if "OMP_WAIT_POLICY" in line)
    return list(lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_threads_of_commands_wait_asleep(command):
    assert set(wait_policies("-m", command, "--help")) <= {"PASSIVE"}


def test_threads_of_the_library_wait_asleep_unless_the_environment_says_otherwise():
    code = "import motion_diffusion, torch; torch.ones(2) @ torch.ones(2)"
    assert wait_policies("-c", code) == ["PASSIVE"]
    assert wait_policies("-c", code, OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE"]


@pytest.mark.filterwarnings("ignore:torch was imported before")
def test_a_single_motion_is_sampled_on_one_thread_and_several_on_all(monkeypatch):
    model, threads, seen = MotionModel.load("v-masks"), torch.get_num_threads(), set()
    network = model.network

    def watched(*arguments):
        seen.add(torch.get_num_threads())
        return network(*arguments)

    monkeypatch.setattr(model, "network", watched)
    torch.set_num_threads(2)
    try:
        generate(model, ["a person walks"], [20], seeds=[0], settings=Settings(steps=2))
        assert seen == {1}
        assert torch.get_num_threads() == 2
        seen.clear()
        generate(model, ["a person walks"] * 2, [20, 20], seeds=[0, 1], settings=Settings(steps=2))
        assert seen == {2}
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("imports", "environment", "warns"),
    [
        ("torch, motion_diffusion as md", {}, True),
        ("torch, motion_diffusion as md", {"OMP_WAIT_POLICY": "ACTIVE"}, False),
        ("motion_diffusion as md, torch", {}, False),
    ],
)
def test_torch_imported_first_is_warned_of_where_several_motions_are_sampled(imports, environment, warns):
    code = f"""
        import {imports}
        torch.set_num_threads(2)
        model, settings = md.load("v-live"), md.Settings(steps=8)
        model.generate("a person walks", seconds=1)
        print("one was sampled", flush=True)
        model.generate(["a person walks"] * 2, seconds=1)
    """
    given = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", textwrap.dedent(code)]
    run = subprocess.run(command, env=given | environment, capture_output=True, text=True)
    assert run.stdout == "one was sampled\n"
    assert ("import motion_diffusion first" in run.stderr) == (run.returncode != 0) == warns
