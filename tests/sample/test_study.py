"""The study, end to end on a tiny data root: it is resumed, and every row can be reproduced."""

import csv
import dataclasses
import json
import shlex
from functools import partial

import numpy as np
import pytest
import torch

import sample.evaluate as command
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.types import split_of
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.model import MotionModel
from sample.evaluation.study import GIVEN, StudyData, StudyOptions, identity_of
from sample.evaluation.study_results import Cell, Line, Row, summaries
from sample.evaluation.trials import Trial, draw_trials, key_of, of_split, with_key_frames
from sample.generate import Settings, generate

STUDENT_T = 4.302653
"""Quantile .975 of Student's t with two degrees of freedom."""
GRID = (
    "--models", "v", "--methods", "projection", "masks+projection", "--densities", 0.05, 1.0, "--joints", "pelvis",
    "wrists", "--num", 3, "--steps", 2, "--batch", 2, "--judge-steps", 2, "--projection.remix", 0.25,
)  # fmt: skip


@pytest.fixture
def study(tmp_path, monkeypatch, run_in_folder, make_model, write_bandai):
    """study(*arguments): the command, in a folder with a model of v and one of x0, and six clips in data."""
    for prediction in ("v", "x0"):
        make_model(prediction).save(tmp_path / prediction)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    names = [f"dataset-1_{action}_normal_{i:03d}" for i in range(60) for action in ("walk", "bow")]
    for part, count in (("train", 4), ("test", 2)):
        for i, name in enumerate([name for name in names if split_of(name) == part][:count]):
            write_bandai(tmp_path / "data" / f"{name}.bvh", ProceduralWalks(5, 90, 90).example(i).joints)
    return partial(run_in_folder, command, "--study", "--data", "bandai", "--data-root", "data")


def rows(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def cells(folder, name="table.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_grid_is_resumed_and_its_rows_are_reproduced(study, tmp_path, capsys):
    study(*GRID, "--out", "s")
    out = tmp_path / "s"
    said = capsys.readouterr().out
    assert said.count("masks+projection") == 1  # a method that the model cannot use is printed once
    assert said.splitlines()[1].split()[:3] == ["model", "method", "frames"]
    table = cells(out)
    grid = [(d, j) for d in ("0.05", "1.0") for j in ("pelvis", "wrists")]
    assert [(c["method"], c["density"], c["joints"]) for c in table] == [
        ("-", "", "-"), *(("none", *rest) for rest in grid), *(("projection", *rest) for rest in grid)
    ]  # fmt: skip
    for cell in table[1:]:
        error = float(cell["average error, cm"])
        assert error < 0.01 if cell["method"] == "projection" else error > 1
    assert len({c["foot skating ratio"] for c in table[1:5]}) == 1  # unguided motions do not depend on the goals
    summed_up, row_by_row = (out / "table.md").read_text().split("## Row by row")
    assert row_by_row.count("\n| ") == len(table) + 2
    short = [line.split(" | ") for line in summed_up.splitlines() if line.startswith("| ")]
    heading, _, real, unguided, projected = short
    for name, column in (("foot skating ratio", "foot skating"), ("average error, cm", "error, cm")):
        place = heading.index(column)
        for row, method in ((unguided, "none"), (projected, "projection")):
            mean = sum(float(c[name]) for c in table if c["method"] == method) / 4
            assert float(row[place].split(" ±")[0]) == pytest.approx(mean, abs=0.006)
    assert real[heading.index("error, cm")] == "-"
    assert (out / "study.png").read_bytes().startswith(b"\x89PNG")
    overall = {row["method"]: row for row in cells(out, "study.csv")}
    assert overall.keys() == {"-", "none", "projection"}
    for method in ("none", "projection"):
        mean = sum(float(c["average error, cm"]) for c in table if c["method"] == method) / 4
        assert float(overall[method]["average error, cm"]) == pytest.approx(mean, rel=1e-4)

    whole = (out / "rows.jsonl").read_bytes()
    study(*GRID, "--out", "s")
    assert (out / "rows.jsonl").read_bytes() == whole
    before = rows(out)
    (out / "rows.jsonl").write_bytes(whole[:-100])  # killed while the last row was written
    study(*GRID, "--out", "s")
    after = rows(out)
    assert [row["key"] for row in after] == [row["key"] for row in before]
    assert after[-1]["figures"] == before[-1]["figures"]

    for i in (0, 2, 7):
        again = shlex.split(table[i]["again"])
        assert again[:4] == ["python", "-m", "sample.evaluate", "--study"]
        study(*again[again.index("--study") + 1 : again.index("--data-root")], "--out", f"again{i}")
        assert {row["key"]: row["figures"] for row in rows(tmp_path / f"again{i}")}[before[i]["key"]] == (
            before[i]["figures"]
        )
        found = [c for c in cells(tmp_path / f"again{i}") if all(c[k] == table[i][k] for k in ("method", "joints"))]
        assert [without_seconds(c) for c in found] == [without_seconds(table[i])]

    study(*GRID[:-1], 0.5, "--out", "s")  # of which unguided motions and real clips know nothing
    assert len(rows(out)) == len(before) + 4
    assert {row["identity"]["settings"]["projection"]["remix"] for row in rows(out)[-4:]} == {0.5}


def without_seconds(cell):
    return {name: value for name, value in cell.items() if "seconds" not in name and name != "again"}


def test_rows_agree_with_motions_of_generate(study, tmp_path):
    """Errors and ratios agree with those computed from generated motions."""
    study(*GRID, "--out", "s")
    made = {(row["cell"]["method"], row["cell"]["density"], row["cell"]["joints"]): row for row in rows(tmp_path / "s")}
    unguided, guided = made["none", 1.0, "wrists"]["figures"], made["projection", 1.0, "wrists"]["figures"]
    options = StudyOptions(num=3, data="bandai", data_root=tmp_path / "data")
    trials = draw_trials(of_split(options.clips(), "test"), num=3, seed=0, longest=120)
    texts, frames = [t.text for t in trials], [len(t.joints) for t in trials]
    settings = Settings(guidance="none", steps=2)
    model, motions = MotionModel.load("v"), []
    for some in (slice(0, 2), slice(2, 3)):  # --batch 2: a motion of noise is fitted differently after other rounding
        motions += generate(model, texts[some], frames[some], seeds=range(3)[some], settings=settings)
    wrists = [JOINTS.index("left_wrist"), JOINTS.index("right_wrist")]
    bodies = [Motion(t.joints).joints for t in trials]  # targets are poses of a body
    errors = [(m.joints - body)[:, wrists].norm(dim=-1) for m, body in zip(motions, bodies, strict=True)]
    assert unguided["average error, cm"] == pytest.approx([100 * e.mean().item() for e in errors], rel=1e-3)
    assert unguided["entries off by 20 cm"] == pytest.approx([(e > 0.2).double().mean().item() for e in errors])
    (cell,) = [
        c for c in cells(tmp_path / "s") if (c["method"], c["density"], c["joints"]) == ("projection", "1.0", "wrists")
    ]
    jitter = [sum(figures["joint jitter, m/s3"]) for figures in (guided, unguided)]
    assert float(cell["joint jitter / unguided"]) == pytest.approx(jitter[0] / jitter[1], rel=1e-5)


def line(guided, unguided, method="projection", joints="pelvis"):
    """A line with these figures of feet and jitters, each a list for motions; errors are ten times the feet."""

    def row(numbers, seconds):
        names = ("foot skating ratio", "root jitter, m/s3", "joint jitter, m/s3")
        figures = dict(zip(names, numbers, strict=True)) | {"average error, cm": [10 * n for n in numbers[0]]}
        return Row("k", Cell("m", method, 0.1, joints), "v", {}, figures, seconds, [2, 1])

    return Line(Cell("m", method, 0.1, joints), row(guided, [6.0, 3.0]), row(unguided, [1.0, 2.0]), "")


def test_ratios_by_hand():
    one = line([[0.1, 0.3, 0.2], [2, 4, 6], [1, 1, 1]], [[0.0, 0.1, 0.2, 9], [1, 2, 3, 9], [2, 1, 1, 9]])
    numbers = one.numbers
    assert numbers["foot skating ratio"] == pytest.approx((0.2, STUDENT_T * 0.1 / 3**0.5), rel=1e-5)
    assert numbers["foot skating - unguided"] == pytest.approx(
        (0.1, STUDENT_T * 0.1 / 3**0.5), rel=1e-5
    )  # 0.1, 0.2 and 0 more
    assert numbers["root jitter / unguided"] == pytest.approx((2.0, 0.0))  # all twice; the fourth is not compared
    assert numbers["joint jitter / unguided"][0] == pytest.approx(0.75)
    assert numbers["seconds a motion"][0] == pytest.approx(3.0)
    assert numbers["seconds / unguided"] == (pytest.approx(3.0), None)
    other = line([[0.3, 0.3, 0.0], [4, 8, 12], [1, 1, 1]], [[0.0, 0.1, 0.2], [1, 2, 3], [2, 1, 1]], joints="head")
    (summary,) = summaries([one, other])
    numbers = summary.numbers
    assert (summary.cells, summary.motions) == (2, 3)
    assert numbers["average error, cm"][0] == pytest.approx(2.0)  # 10 times the mean of 0.2 and 0.2
    assert numbers["foot skating - unguided"][0] == pytest.approx(0.1)
    assert numbers["joint jitter / unguided"][0] == pytest.approx(0.75)
    assert numbers["seconds a motion"][0] == numbers["seconds / unguided"][0] == pytest.approx(3.0)


def test_what_is_given(walks):
    """Frames are the first of a random order, so that fewer are among more; the pelvis' height is left free."""
    joints = Motion(walks[0][:40]).joints
    trial = Trial(joints, "a person walks", "walk", torch.randperm(40, generator=torch.Generator().manual_seed(0)))
    (few,), (more,) = (with_key_frames([trial], lambda _, n=n: n, GIVEN["all"]) for n in (4, 9))
    assert set(few.key_frames.tolist()) < set(more.key_frames.tolist())
    wanted = few.goals.observe(40)
    assert wanted.mask.sum() == 4 * (2 + 5 * 3)
    assert torch.equal(wanted.mask.any(-1).any(-1).nonzero()[:, 0], few.key_frames)
    assert few.errors(joints).abs().max() < 1e-3
    moved = joints + torch.tensor([0.0, 0.1, 0.0])
    assert few.errors(moved).sort().values.tolist() == pytest.approx([0.0] * 4 + [0.1] * 20, abs=1e-3)


def test_several_models_and_fewer_motions_with_noise_optimization(study, tmp_path):
    short = ("--densities", 0.01, "--joints", "all", "--num", 2, "--steps", 2, "--judge-steps", 2)
    noise = ("--noise-num", 1, "--noise.steps", 2, "--noise.rounds", 2)
    study("--models", "v", "x0", "--methods", "noise", "classifier+projection", *short, *noise, "--out", "s")
    table = cells(tmp_path / "s")
    assert [c["motions"] for c in table] == ["2"] + ["2", "1", "2"] * 2
    assert [c["prediction"] for c in table] == ["", *["v"] * 3, *["x0"] * 3]
    assert all("--noise.rounds 2" in c["again"] and "--noise-num 1" in c["again"] for c in table)
    assert all(float(c["average error, cm"]) < 0.01 for c in table if c["method"] == "classifier+projection")
    assert table[2]["foot skating ratio_95"] == ""  # of one motion
    assert np.isfinite(float(table[2]["joint jitter / unguided"]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--models",), "--models is empty"),
        (("--densities",), "--densities is empty"),
        (("--densities", 0.0), "--densities 0: give more than 0 to 1"),
        (("--densities", 0.1, 1.5), "--densities 1.5: give more than 0 to 1"),
        (("--densities", "nan"), "--densities nan: "),
        (("--joints", "tail"), "pelvis, feet, wrists, head, all"),
        (("--methods", "magic"), "unknown guidance 'magic'"),
        (("--methods", "imputation+projection"), "do not go together"),
        (("--models", "v", "--steps", 0), "--steps 0: give 1 to 100,000"),
        (("--models", "nobody"), "nobody"),
        (("--models", "root-v"), "only the path of the root"),
        (("--models", "v", "--num", 0), "--num 0: give 1 to 100,000"),
        (("--models", "v", "--judge-steps", 10**9), "--judge-steps 1000000000: "),
        (("--models", "v", "--seed", 2**63), "--seed 9223372036854775808: "),
        (("--models", "v", "--methods", "noise", "--noise.rounds", 10**9), "--noise.rounds 1000000000: "),
        (("--models", "v", "--out", "v/config.json"), "v/config.json/rows.jsonl cannot be written"),
        (("--models", "v", "--noise-num", 0), "--noise-num 0"),
        (("--models", "v", "--guidance", "none"), "--methods"),
        (("--models", "v", "--data-root", "nowhere"), "nowhere"),
    ],
)
def test_wrong_options_are_refused(study, capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        study(*arguments)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_path_model_for_shorter_motions_is_refused_before_anything_is_measured(study, tmp_path, capsys, make_model):
    make_model("v", ("root",), max_frames=40).save(tmp_path / "path")
    with pytest.raises(SystemExit, match="2"):
        study("--models", "v", "--methods", "stages+projection", "--stages.path-model", "path", "--out", "s")
    assert "path makes paths of up to 2 s, not" in capsys.readouterr().err
    assert not (tmp_path / "s/rows.jsonl").exists()


def test_a_file_of_another_kind_is_refused_and_kept(study, tmp_path, capsys):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "rows.jsonl").write_text('{"some": "thing"}\n')
    with pytest.raises(SystemExit, match="2"):
        study(*GRID, "--out", "s")
    assert "line 1" in capsys.readouterr().err
    assert (tmp_path / "s" / "rows.jsonl").read_text() == '{"some": "thing"}\n'


def test_keys_depend_only_on_settings_of_the_cells_method():
    model = MotionModel.load("v-mixed")

    def key(method, **settings):
        options = StudyOptions(settings=Settings(**settings))
        return key_of(identity_of(StudyData(options, [], 120), model, "w", Cell("m", method, 0.1, "head")))

    usual = Settings()
    remixed = dataclasses.replace(usual.projection, remix=0.1)
    assert key("projection") == key("projection", noise=dataclasses.replace(usual.noise, rounds=1))
    assert key("projection") != key("projection", projection=remixed)
    assert key("classifier") == key("classifier", projection=remixed)
    assert key("none") != key("none", text_scale=1.0)
    assert len({key("none"), key("classifier"), key("classifier+projection")}) == 3
