"""The evaluation by a protocol, end to end on a tiny store, and its parts."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch

import sample.evaluate as command
from data_loaders.datasets import load_clips
from data_loaders.store import prepare
from data_loaders.types import Caption, Clip, Source
from motion_diffusion.body.skeleton import KEY_JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from sample.evaluation.evaluators import EmbeddingEvaluator
from sample.evaluation.protocols import PROTOCOLS, Condition, units_of
from sample.evaluation.runner import evaluate as evaluate_model
from sample.evaluation.trials import draw_trials, with_key_frames
from sample.generate import Settings

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Given:
    """A source entry with a given clip."""

    clip: Clip

    @property
    def name(self):
        return self.clip.name

    def read(self):
        return self.clip


@pytest.fixture(scope="session")
def clips(walks):
    """Forty captioned clips of 2 s, half of them for training."""
    return [
        Clip(f"c{i:02d}", walk[:40].numpy(), ("train", "test")[i % 2], (Caption(f"walk {i}"), Caption(f"stroll {i}")))
        for i, walk in enumerate(walks)
    ]


@pytest.fixture(scope="session")
def store(tmp_path_factory, clips):
    """A prepared store of the clips."""
    folder = tmp_path_factory.mktemp("evaluate") / "store"
    prepare(
        "humanml3d", Source([Given(clip) for clip in clips], mirrored=True, licence="", files=()), folder, processes=1
    )
    return folder


@pytest.fixture
def evaluate(tmp_path, run_in_folder, make_model, matcher, store):
    """evaluate(*arguments): the command, in a folder with a model m, a matcher e and a store."""
    make_model().save(tmp_path / "m")
    matcher.save(tmp_path / "e")
    shutil.copytree(store, tmp_path / "store")
    fixed = ("--model", "m", "--evaluator", "e", "--data", "humanml3d", "--data-root", "store", "--steps", 2)
    return partial(run_in_folder, command, *fixed)


QUICK = ("--motions", 32, "--replications", 2, "--batch", 16)


def test_an_interrupted_evaluation_is_continued(evaluate, tmp_path, capsys):
    evaluate(*QUICK, "--out", "o")
    said = capsys.readouterr().out
    result = json.loads((tmp_path / "o" / "figures.json").read_text())
    figures = result["figures"]
    assert list(figures) == ["real clips", "training clips", "unguided", "5 key frames"]
    assert said.strip() == (tmp_path / "o" / "table.md").read_text().strip()
    assert figures["5 key frames"]["average error, cm"][0] < 0.1 < figures["unguided"]["average error, cm"][0]
    assert all(0 <= share <= 1 for k in (1, 2, 3) for share in figures["unguided"][f"R-precision top-{k}"])
    assert figures["real clips"]["FID"][0] < figures["unguided"]["FID"][0]
    assert all(half >= 0 for column in figures.values() for _, half in column.values())

    units = sorted((tmp_path / "o" / "units").iterdir())
    assert len(units) == 8
    made = {unit: unit.stat().st_mtime_ns for unit in units}
    chosen = next(u for u in units if json.loads(u.read_text())["unit"]["group"] == "5 key frames")
    before = json.loads(chosen.read_text())
    chosen.unlink()
    evaluate(*QUICK, "--out", "o")
    assert [u for u in units if u.stat().st_mtime_ns != made[u]] == [chosen]
    after = json.loads(chosen.read_text())
    for figures in (before["figures"], after["figures"]):
        del figures["seconds a motion"]
    assert before == after
    evaluate(*QUICK, "--replications", 1, "--out", "o", "--text-scale", 1.0)
    assert len(list((tmp_path / "o" / "units").iterdir())) == 8 + 4


def test_two_processes_give_the_figures_of_one(evaluate, tmp_path):
    arguments = [*QUICK, "--replications", 1, "--protocol", "gmd", "--multimodality", 1]
    evaluate(*arguments, "--out", "one")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sample.evaluate"]
    words = [*launcher, *map(str, evaluate.args[1:]), *map(str, arguments), "--out", "two"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / out / "figures.json").read_text())["figures"] for out in ("one", "two"))
    for group, column in one.items():
        assert column.keys() == two[group].keys()
        for name, value in column.items():
            if name != "seconds a motion":
                assert two[group][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert 0 < one["5 key frames"]["multimodality"][0] < 2
    assert one["5 key frames"]["trajectory diversity, m"][0] > 0


def test_protocols_are_those_of_the_papers():
    assert [c.joints for c in PROTOCOLS["omnicontrol"].conditions[::5]] == [(joint,) for joint in KEY_JOINTS]
    counts = [condition.count(196) for condition in PROTOCOLS["omnicontrol"].conditions[:5]]
    assert counts == [1, 2, 5, 49, 196]
    (gmd,) = PROTOCOLS["gmd"].conditions
    assert (gmd.count(60), gmd.joints, gmd.height) == (5, ("pelvis",), False)
    units = list(units_of(replace(PROTOCOLS["omnicontrol"], replications=2)))
    assert len(units) == len(set(units)) == 2 * (2 + 30)
    assert Condition("x", share=0.001).count(50) == 1


def test_trials_are_cuts_of_clips_with_their_captions(clips):
    trials = draw_trials(clips, num=90, seed=3, longest=50, anywhere=True)
    again = draw_trials(clips, num=40, seed=3, longest=50, anywhere=True)
    assert all(torch.equal(a.joints, b.joints) and a.text == b.text for a, b in zip(trials, again, strict=False))
    assert {len(trial.joints) for trial in trials} <= set(range(40, 51))
    words = {trial.text for trial in trials}
    assert any(word.startswith("walk") for word in words)
    assert any(word.startswith("stroll") for word in words)
    for height in (False, True):
        (trial,) = with_key_frames(trials[:1], lambda _: 3, ("pelvis", "head"), height=height)
        lifted = trial.errors(trial.joints + torch.tensor([0.0, 0.5, 0.0])).sort().values
        expected = [0.5] * 6 if height else [0.0] * 3 + [0.5] * 3
        torch.testing.assert_close(lifted, torch.tensor(expected), atol=1e-5, rtol=0)


def test_evaluate_returns_the_figures_and_prints_nothing(evaluate, tmp_path, capsys):
    model, encoder = MotionModel.load(str(tmp_path / "m")), TextMotionEncoder.load(str(tmp_path / "e"))
    protocol = replace(PROTOCOLS["quick"], num=32, replications=1)
    evaluation = evaluate_model(
        model, load_clips("humanml3d", tmp_path / "store").clips, protocol=protocol,
        evaluator=EmbeddingEvaluator(encoder), settings=Settings(steps=2),
    )  # fmt: skip
    said = capsys.readouterr()
    assert said.out == said.err == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e", "m", "store"]
    assert list(evaluation.figures) == ["real clips", "training clips", "unguided", "5 key frames"]
    assert evaluation.figures["5 key frames"]["average error, cm"] == pytest.approx((0, 0), abs=0.1)

    evaluate("--motions", 32, "--replications", 1, "--out", "o")
    written = json.loads((tmp_path / "o" / "figures.json").read_text())["figures"]
    for figures in (written["unguided"], written["5 key frames"]):
        del figures["seconds a motion"]
    assert without_seconds(evaluation.figures) == {
        group: {name: tuple(figure) for name, figure in figures.items()} for group, figures in written.items()
    }


def without_seconds(figures):
    return {
        group: {name: value for name, value in column.items() if name != "seconds a motion"}
        for group, column in figures.items()
    }


def test_evaluate_refuses_a_protocol_that_is_unknown_or_too_small(make_model, matcher, clips):
    of = {"evaluator": EmbeddingEvaluator(matcher)}
    with pytest.raises(InputError, match="unknown protocol 'fast'; choose from quick, text"):
        evaluate_model(make_model(), clips, protocol="fast", **of)
    with pytest.raises(InputError, match="8 motions: R-precision needs 32"):
        evaluate_model(make_model(), clips, protocol=replace(PROTOCOLS["quick"], num=8), **of)


def test_procedural_walks_are_evaluated_without_a_data_set(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr("data_loaders.datasets.WALK_CLIPS", 20)
    monkeypatch.setattr("sample.evaluation.runner.REFERENCE", 20)
    evaluate("--data", "procedural", "--motions", 32, "--replications", 1, "--out", "o")
    figures = json.loads((tmp_path / "o" / "figures.json").read_text())["figures"]
    assert figures["real clips"]["foot skating ratio"][0] < 0.1
    assert figures["5 key frames"]["average error, cm"][0] < 0.1


@pytest.mark.parametrize("verb", ["--study", "--actions"])
def test_procedural_walks_have_no_actions_to_recognise(run_in_folder, tmp_path, capsys, verb):
    with pytest.raises(SystemExit, match="2"):
        run_in_folder(command, verb, "--data", "procedural", "--out", "o")
    assert "--data procedural has no actions to recognise" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--motions", 8), "--motions 8: R-precision needs 32"),
        (("--motions", 10**9), "--motions 1000000000: give 1 to 100,000"),
        (("--replications", 0), "--replications 0: give 1 to 1,000"),
        (("--multimodality", -1), "--multimodality -1: give 0 to 10,000"),
        (("--batch", 0), "--batch 0: give 1 to 65,536"),
        (("--seed", 2**63), "--seed 9223372036854775808: give 0 to 9,223,372,036,854,775,807"),
        (("--text-scale", "nan"), "--text-scale nan: give -100 to 100"),
        (("--guidance", "masks"), "not trained with masks"),
        (("--steps", 1001), "--steps 1001: give 1 to 1,000"),
        (("--out", "m/config.json"), "m/config.json/table.md cannot be written (Not a directory)"),
        (("--evaluator", "nowhere"), "no matcher 'nowhere'"),
        (("--data", "bandai"), "prepared from humanml3d"),
        (("--data-root", "nowhere"), "nowhere"),
        (("--model", "root-v"), "only the path"),
    ],
)
def test_wrong_options_are_refused(evaluate, tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        evaluate("--out", "o", *arguments)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_damaged_unit_is_refused_before_anything_is_measured(evaluate, tmp_path, capsys):
    arguments = ("--motions", 32, "--replications", 1, "--out", "o")
    evaluate(*arguments)
    units = sorted((tmp_path / "o" / "units").iterdir())
    whole = units[0].read_text()
    units[1].unlink()
    for content in ("", whole[:40], '{"unit": {}}', "[]"):
        units[0].write_text(content)
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            evaluate(*arguments)
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(f"error: o/units/{units[0].name}: ")
        assert said.endswith("; remove this file, and the same command measures it again")
        assert not units[1].exists()
    units[0].unlink()
    evaluate(*arguments)
    assert json.loads(units[0].read_text())["unit"] == json.loads(whole)["unit"]


def test_seeds_wrap_around(evaluate, tmp_path):
    evaluate("--motions", 32, "--replications", 1, "--seed", 2**63 - 1, "--out", "o")
    assert len(list((tmp_path / "o" / "units").iterdir())) == 4


def test_the_folder_is_locked_by_its_evaluation(evaluate, tmp_path, capsys):
    words = [*map(str, evaluate.args[1:]), *map(str, QUICK), "--out", "o"]
    running = subprocess.Popen([sys.executable, "-m", "sample.evaluate", *words], cwd=tmp_path, env=ENVIRONMENT)
    try:
        deadline = time.monotonic() + 300
        while running.poll() is None and not list(tmp_path.glob("o/units/*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(signal.SIGSTOP)  # so that it cannot end before the next one starts
        with pytest.raises(SystemExit, match="2"):
            evaluate(*QUICK, "--out", "o")
        with pytest.raises(SystemExit, match="2"):
            evaluate.func(command, "--study", "--models", "m", "--out", "o")
    finally:
        running.kill()
        running.wait()
    first, second = capsys.readouterr().err.splitlines()
    for said in (first, second):
        assert re.match(f"error: o is in use by process {running.pid} on .*; wait for it, or give another --out$", said)
    evaluate(*QUICK, "--out", "o")  # a killed process holds no lock


def test_clips_that_are_too_short_are_refused(clips):
    with pytest.raises(InputError, match="--data-root"):
        draw_trials([replace(clips[0], joints=clips[0].joints[:10])], num=4, seed=0, longest=60)
