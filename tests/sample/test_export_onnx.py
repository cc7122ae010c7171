"""Exported files work without PyTorch, and what is no export of the model is refused."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from motion_diffusion.body.features import decode_positions
from motion_diffusion.diffusion.samplers import ddim
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.onnx_export import Files, check, export
from sample import export_onnx

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "15_without_pytorch.py"
WITHOUT_PYTORCH = """
import runpy, sys
import numpy as np
example, noise = sys.argv[1:]
joints = runpy.run_path(example)["sample"]("model.onnx", "a tired person walks", np.load(noise))
assert "torch" not in sys.modules and "motion_diffusion" not in sys.modules
np.save("joints.npy", joints)
"""


@pytest.mark.parametrize("name", ["v-masks", "eps-mixed"])
def test_a_motion_without_pytorch_is_that_of_pytorch(name, run_in_folder, tmp_path, capsys):
    """The sampling loop of the documentation in a process that has no PyTorch."""
    run_in_folder(export_onnx, "--model", name, "--out", "model.onnx")
    assert "model.text.onnx" in capsys.readouterr().out
    noise = torch.randn(50, 137, generator=torch.Generator().manual_seed(5))
    np.save(tmp_path / "noise.npy", noise.numpy())
    subprocess.run([sys.executable, "-I", "-c", WITHOUT_PYTORCH, EXAMPLE, "noise.npy"], cwd=tmp_path, check=True)
    model = MotionModel.load(name)
    own = model.config.recommended
    denoise = model.denoise_fn(["a tired person walks"], torch.ones(1, 50, dtype=torch.bool), text_scale=own.text_scale)
    times = model.times(own.steps, own.shift)
    x = ddim(denoise, noise[None] * math.hypot(*model.schedule.row(times[0])), model.schedule, times)
    expected = decode_positions(model.representation.denormalise(x))[0]
    assert np.abs(np.load(tmp_path / "joints.npy") - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("prediction", ["x0", "eps", "v", "score", "velocity", "mu"])
@pytest.mark.parametrize("choices", [{}, {"masks": True, "written": True}, {"variance": "learned-range"}])
def test_every_model_is_exported(make_model, prediction, choices):
    model = make_model(prediction, **choices)
    files = export(model)
    assert check(model, files, ("a", "b")) < 1e-3
    for content in files:
        onnx.checker.check_model(onnx.load_from_string(content), full_check=True)


def test_other_schedules_are_exported(make_model):
    """x_t that is not of unit scale."""
    model = make_model("v", schedule="variance-exploding")
    assert check(model, export(model), ("a", "b")) < 1e-3


def test_foreign_and_damaged_files_are_refused(make_model):
    model, other = make_model("v"), make_model("x0")
    with torch.no_grad():
        other.denoiser.gate.bias.mul_(2)
    denoiser, text = export(model)
    foreign = onnx.load_from_string(denoiser)
    del foreign.metadata_props[:]
    wrong = onnx.load_from_string(denoiser)
    largest = max(wrong.graph.initializer, key=lambda constant: len(constant.raw_data))
    largest.raw_data = bytes(len(largest.raw_data))
    for content, said in (
        (Files(denoiser[: len(denoiser) // 2], text), "d.onnx is damaged"),
        (Files(b"", text), "d.onnx is damaged"),
        (Files(foreign.SerializeToString(), text), "d.onnx is no denoiser that was exported here"),
        (Files(text, denoiser), "d.onnx is no denoiser"),
        (Files(denoiser, export(other).text), "t.onnx was exported from 'untitled' with weights .* --model"),
        (Files(wrong.SerializeToString(), text), "d.onnx differs from untitled"),
    ):
        with pytest.raises(InputError, match=said):
            check(model, content, ("d.onnx", "t.onnx"))


def test_files_are_not_replaced_and_can_be_checked(run_in_folder, tmp_path, capsys):
    arguments = export_onnx, "--model", "eps-mixed", "--out", "m.onnx"
    run_in_folder(*arguments)
    before = (tmp_path / "m.onnx").read_bytes()
    for more, said in (
        ((), "m.onnx exists; give another --out, or --overwrite"),
        (("--check", "--model", "v-mixed"), "was exported from 'eps-mixed'"),
        (("--out", "m.bin"), "give the name of a file that ends in .onnx"),
        (("--check", "--out", "none.onnx"), "none.onnx"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run_in_folder(*arguments, *more)
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    run_in_folder(*arguments, "--check")
    assert (tmp_path / "m.onnx").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.text.onnx"]
