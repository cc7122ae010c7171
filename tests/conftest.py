"""What many tests need: motions, a small real model made from procedural walks, and clips in files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.body.features import encode
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.network.denoiser import DenoiserConfig
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder, TextMotionEncoderConfig
from tests import needs

pytest_plugins = ["pytester"]  # for the test of the hook below

torch.set_num_threads(1)  # two test processes share two cores
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

GROUPS = ("root", "positions", "velocities", "contacts")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session if FAIL_ON_SKIPS is set and a test skipped that could have run; see `tests.needs`.

    SKIPS_ALLOWED, if set, is a text whose presence in a reason allows the skip too.
    """
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("FAIL_ON_SKIPS") or terminal is None or hasattr(session.config, "workerinput"):
        return
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminal.stats.get("skipped", [])]
    allowed = os.environ.get("SKIPS_ALLOWED") or needs.NOT_HERE
    if refused := {reason for reason in reasons if needs.NOT_HERE not in reason and allowed not in reason}:
        terminal.write_line(f"tests skipped that can run here: {'; '.join(sorted(refused))}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _one_thread():
    """Commands that a test runs may ask for more threads, which the next test would have."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def walks() -> list[torch.Tensor]:
    """Forty procedural walks (F, 22, 3)."""
    return [torch.from_numpy(ProceduralWalks(0).example(i).joints) for i in range(40)]


@pytest.fixture(scope="session")
def representation(walks) -> Representation:
    return Representation.fit((encode(walk, groups=GROUPS) for walk in walks), GROUPS, emphasis=3.0)


@pytest.fixture
def make_model(representation, walks):
    """make_model(prediction, schedule=…, variance=…, masks=…): a small untrained model whose output is not zero.

    groups: other features than those of `representation`.
    """
    usual = representation

    def make(prediction: str = "x0", groups: tuple[str, ...] = GROUPS, **choices: Any) -> MotionModel:
        torch.manual_seed(0)
        representation = usual
        if groups != GROUPS:
            representation = Representation.fit((encode(walk, groups=groups) for walk in walks), groups)
        outputs = 2 if choices.get("variance", "").startswith("learned") else 1
        hints = 6 * len(JOINTS) if choices.get("masks") else 0
        sizes = DenoiserConfig(representation.size, outputs, width=32, depth=2, heads=2, frame_width=16, hints=hints)
        model = MotionModel(
            ModelConfig(prediction, sizes, groups, emphasis=representation.emphasis, **choices), representation
        )
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn(parameter.shape)
        return model.eval().requires_grad_(False)

    return make


@pytest.fixture
def matcher(walks) -> TextMotionEncoder:
    """A small untrained matcher."""
    groups = TextMotionEncoderConfig().features
    torch.manual_seed(0)
    sizes = TextMotionEncoderConfig(width=32, depth=2, text_depth=1, heads=2, embedding=8)
    return TextMotionEncoder(sizes, Representation.fit((encode(walk, groups=groups) for walk in walks), groups)).eval()


@pytest.fixture
def run_in_folder(tmp_path, monkeypatch):
    """run_in_folder(module, *arguments): the module's command, as it runs when typed in tmp_path."""
    monkeypatch.chdir(tmp_path)

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        module.main()

    return run


SOURCE = {
    "Hips": "pelvis", "Spine": "spine1", "Chest": "spine3", "Neck": "neck", "Head": "head",
    **{
        f"{theirs}_{letter}": f"{side}_{ours}"
        for side, letter in (("left", "L"), ("right", "R"))
        for theirs, ours in {
            "Shoulder": "collar", "UpperArm": "shoulder", "LowerArm": "elbow", "Hand": "wrist",
            "UpperLeg": "hip", "LowerLeg": "knee", "Foot": "ankle", "Toes": "foot",
        }.items()
    },
}  # fmt: skip
"""Joints of the Bandai-Namco skeleton and those of ours that stand in for them."""


def write_bandai(path: Path, joints: np.ndarray) -> None:
    """Write joints (F, 22, 3) in metres, 30 frames a second, as a BVH file with the joint names of Bandai-Namco.

    Every joint hangs on the root by its position channels and has no rotation: the file says exactly these positions.
    """
    lines = ["HIERARCHY", "ROOT joint_Root", "{", "OFFSET 0 0 0", "CHANNELS 3 Xposition Yposition Zposition"]
    for name in SOURCE:
        lines += [f"JOINT {name}", "{", "OFFSET 0 0 0"]
        lines += ["CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"]
        lines += ["End Site", "{", "OFFSET 0 0 0", "}", "}"]
    lines += ["}", "MOTION", f"Frames: {len(joints)}", f"Frame Time: {1 / 30:.6f}"]
    for frame in joints:
        numbers = [0.0, 0.0, 0.0]
        for ours in SOURCE.values():
            numbers += [*(100 * frame[JOINTS.index(ours)]).tolist(), 0.0, 0.0, 0.0]
        lines.append(" ".join(f"{number:.5f}" for number in numbers))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(name="write_bandai")
def _write_bandai():
    return write_bandai
