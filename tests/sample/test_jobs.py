"""Many motions from a jobs file: results, several processes, resuming, and errors."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
import torch

import sample.__main__ as command
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.prompts import Known, KnownAction
from sample.generate import Settings, generate
from sample.job_file import WINDOW, Job, JobFile
from sample.segments import OVERLAP

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
STEPS = ("--steps", 3)


def waypoint(time_, x=0.2, z=0.9):
    return {"kind": "waypoint", "time": time_, "x": x, "z": z}


def segments(*texts, seconds=1.5):
    return {"segments": [{"text": text, "seconds": seconds} for text in texts]}


def write(path, jobs):
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs))


JOBS = [
    {"text": "a tired person walks", "goals": [waypoint(1.0)], "seconds": 2.0},
    {"text": "a person runs", "seconds": 1.5, "name": "run"},
    {"goals": segments("a person walks", "a person bows") | {"goals": [waypoint(2.0)]}, "seed": 7},
    {"text": "a person walks", "goals": "goals.json", "seconds": 1.6, "seed": 2**62},
    {"text": "a person walks", "goals": [waypoint(1.0, z=40.0)], "seconds": 1.7, "seed": 1},
    *({"text": "a person turns", "goals": [waypoint(1.0)], "seconds": 1.5 + k / 10} for k in range(5)),
]
NAMES = ["000001", "run", "000003", *(f"{n:06d}" for n in range(4, len(JOBS) + 1))]


@pytest.fixture
def sample(tmp_path, run_in_folder, make_model):
    """sample(*arguments): the command in a folder with a model `m`, `jobs.jsonl` and a goal file."""
    make_model(max_frames=160).save(tmp_path / "m")
    (tmp_path / "goals.json").write_text(json.dumps({"goals": [waypoint(0.8)]}))
    write(tmp_path / "jobs.jsonl", JOBS)
    fixed = ("--model", "m", *STEPS, "--jobs", "jobs.jsonl", "--batch", 3, "--workers", 1)
    return partial(run_in_folder, command, *fixed)


def index(folder):
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def motions(folder):
    return {path.stem: Motion.load(path).joints for path in folder.glob("[!.]*.npz")}


def tolerance(name):
    """Tolerance in metres between batches. A goal 40 m away in a second has no solution, and rounding decides."""
    return 0.1 if name == "000005" else 1e-3


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def files(folder):
    return {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


def test_every_line_gives_the_motion_of_generate(sample, tmp_path, capsys):
    sample("--out", "r")
    assert "10 motions" in capsys.readouterr().out
    made, rows, model = motions(tmp_path / "r"), index(tmp_path / "r"), MotionModel.load(tmp_path / "m")
    assert [row["name"] for row in rows] == NAMES
    assert made.keys() == set(NAMES)
    for number, (row, job) in enumerate(zip(rows, JOBS, strict=True), 1):
        said = job.get("goals", [])
        if isinstance(said, str):
            said = json.loads((tmp_path / said).read_text())
        goals = GoalSet.model_validate(said if isinstance(said, dict) else {"goals": said})
        text, seed, frames = job.get("text", ""), job.get("seed", number), round(20 * job.get("seconds", 3.0))
        (alone,) = generate(model, [text], [frames], goals=[goals], seeds=[seed], settings=Settings(steps=3))
        joints = made[row["name"]]
        torch.testing.assert_close(joints, alone.joints, atol=tolerance(row["name"]), rtol=1e-3)
        residuals = goals.residuals(joints)
        errors = [100 * residual.error for residual in residuals]
        assert row["file"] == row["name"] + ".npz"
        assert (row["text"], row["seed"], row["error"]) == (alone.text, seed, None)
        assert row["seconds"] == len(joints) / 20
        assert row["mean_error_cm"] == (pytest.approx(sum(errors) / len(errors), abs=1e-3) if errors else None)
        assert row["met"] is all(residual.met for residual in residuals)
        assert bool(row["feasibility"]) is (number == 5)
    assert "m/s" in rows[4]["feasibility"][0]


def test_the_best_of_several_tries_is_kept(sample, tmp_path, capsys):
    """It is the motion of its seed made alone, and the seeds of all tries are those of the line and after it."""
    write(tmp_path / "jobs.jsonl", [{"text": "a person walks", "seconds": 1.5, "seed": 4}])
    sample("--out", "best", "--tries", 3)
    best = Motion.load(tmp_path / "best" / "000001.npz")
    fits = {}
    for seed in (4, 5, 6):
        write(tmp_path / "one.jsonl", [{"text": "a person walks", "seconds": 1.5, "seed": seed}])
        sample("--jobs", "one.jsonl", "--out", f"s{seed}")
        alone = Motion.load(tmp_path / f"s{seed}" / "000001.npz")
        fits[seed] = alone.provenance["fit"]["similarity"]
        if seed == best.provenance["seed"]:
            torch.testing.assert_close(alone.joints, best.joints, atol=1e-3, rtol=1e-3)
    assert best.provenance["seed"] == max(fits, key=fits.get)
    before = files(tmp_path / "best")
    sample("--out", "best", "--tries", 3)
    assert files(tmp_path / "best") == before
    capsys.readouterr()
    with pytest.raises(SystemExit):
        sample("--out", "best", "--tries", 2)
    assert "000001.npz was made with other tries; give another --out" in capsys.readouterr().err


def test_the_index_has_unknown_words_and_text_fit(sample, tmp_path):
    walk = KnownAction("walk", 0.5, "a person walks", ("walks",))
    Known((walk,), ("a", "person", "walks")).write(tmp_path / "m")
    write(tmp_path / "jobs.jsonl", [{"text": text, "seconds": 1} for text in ("a person walks", "a person swims")])
    sample("--out", "r")
    known, unknown = index(tmp_path / "r")
    assert (known["unknown"], known["feasibility"]) == ([], [])
    assert unknown["unknown"] == ['nothing like "swims" was learned; nearest: "walks"']
    assert known["fit"] in ("well", "partly", "hardly")
    assert unknown["fit"] is None


def test_motions_do_not_depend_on_the_batch_size(sample, tmp_path):
    for size in (1, 4):
        sample("--out", f"r{size}", "--batch", size)
    one, four = motions(tmp_path / "r1"), motions(tmp_path / "r4")
    assert one.keys() == four.keys()
    for name in one:
        torch.testing.assert_close(one[name], four[name], atol=tolerance(name), rtol=1e-3)


def test_a_killed_run_is_resumed_and_its_folder_is_locked(sample, tmp_path, capsys):
    arguments = ["--model", "m", "--steps", "40", "--jobs", "jobs.jsonl", "--batch", "3"]
    running = subprocess.Popen(
        [sys.executable, "-m", "sample", *arguments, "--out", "killed"], cwd=tmp_path, env=ENVIRONMENT
    )
    deadline = time.monotonic() + 300
    while running.poll() is None and not list(tmp_path.glob("killed/[!.]*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGSTOP)
    with pytest.raises(SystemExit, match="2"):
        sample("--out", "killed")
    assert re.match(
        f"error: killed is in use by process {running.pid} on .*; wait for it, or give another --out$",
        capsys.readouterr().err,
    )
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    made = {path: path.read_bytes() for path in (tmp_path / "killed").glob("[!.]*.npz")}
    assert 0 < len(made) < len(JOBS)
    users = {".000001-0123abcd.npz": b"a", ".my-20240101.npz": b"b", ".half-notes.npz": b"c"}
    for name, content in users.items():
        (tmp_path / "killed" / name).write_bytes(content)
    for out in ("killed", "whole"):
        sample("--steps", 40, "--out", out)
    assert same(motions(tmp_path / "killed"), motions(tmp_path / "whole"))
    assert index(tmp_path / "killed") == index(tmp_path / "whole")
    assert {path: path.read_bytes() for path in made} == made
    hidden = [path for path in (tmp_path / "killed").glob(".*") if path.is_file() and path.name != ".lock"]
    assert {path.name: path.read_bytes() for path in hidden} == users


def test_only_missing_motions_are_written(sample, tmp_path):
    sample("--out", "r")
    before = files(tmp_path / "r")
    inode = {path: path.stat().st_ino for path in before if path.suffix == ".npz"}
    lost = tmp_path / "r" / "000008.npz"
    joints = Motion.load(lost).joints
    lost.unlink()
    sample("--out", "r")
    assert torch.equal(Motion.load(lost).joints, joints)
    assert files(tmp_path / "r").keys() == before.keys()
    assert all(path.stat().st_ino == number for path, number in inode.items() if path != lost)


def test_two_workers_give_the_results_of_one(sample, tmp_path):
    for workers in (1, 2):
        sample("--out", f"r{workers}", "--workers", workers)
    assert same(motions(tmp_path / "r1"), motions(tmp_path / "r2"))
    assert (tmp_path / "r1" / "index.jsonl").read_bytes() == (tmp_path / "r2" / "index.jsonl").read_bytes()


def test_two_processes_give_the_results_of_one(sample, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sample"]
    arguments = ["--model", "m", "--steps", "3", "--jobs", "jobs.jsonl", "--batch", "3", "--out", "two"]
    done = subprocess.run(
        [sys.executable, *launcher, *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("10 motions") == 1
    sample("--out", "one")
    assert same(motions(tmp_path / "one"), motions(tmp_path / "two"))
    assert (tmp_path / "one" / "index.jsonl").read_bytes() == (tmp_path / "two" / "index.jsonl").read_bytes()


def test_results_of_other_requests_are_refused(sample, tmp_path, capsys):
    sample("--out", "r")
    before = files(tmp_path / "r")
    changes = {
        "text": {"text": "a person jumps"},
        "seconds": {"seconds": 2.5},
        "seed": {"seed": 3},
        "goals": {"goals": [waypoint(1.1)]},
    }
    for what, change in changes.items():
        write(tmp_path / "jobs.jsonl", [JOBS[0] | change, *JOBS[1:]])
        with pytest.raises(SystemExit, match="2"):
            sample("--out", "r")
        assert re.search(f"line 1: .*000001.npz was made with other {what}; .*--overwrite", capsys.readouterr().err)
    write(tmp_path / "jobs.jsonl", [*JOBS, {"text": "a person waves", "seconds": 1.5}])
    with pytest.raises(SystemExit, match="2"):
        sample("--out", "r", "--steps", 4)
    assert "other settings" in capsys.readouterr().err
    assert files(tmp_path / "r") == before

    sample("--out", "r")
    assert len(index(tmp_path / "r")) == len(JOBS) + 1
    assert all(
        (tmp_path / "r" / f"{name}.npz").read_bytes() == before[tmp_path / "r" / f"{name}.npz"] for name in NAMES
    )
    sample("--out", "r", "--steps", 4, "--overwrite")
    assert not any(torch.equal(Motion.load(path).joints, before) for path, before in _joints(before, tmp_path))


def _joints(before, tmp_path):
    for path, content in before.items():
        if path.suffix == ".npz":
            (tmp_path / "old.npz").write_bytes(content)
            yield path, Motion.load(tmp_path / "old.npz").joints


BAD = {
    "{": "is not JSON",
    "\xff": "is not JSON.*utf-8",
    "[]": "should be an object",
    '{"text": "walk", "text": "run"}': "field 'text' twice",
    '{"text": "walk", "speed": 2}': "field speed: unknown field",
    '{"text": 3}': "field text: should be a valid string",
    '{"text": " "}': "prompt is empty",
    '{"text": "\\ud800"}': "the prompt .* half of a surrogate pair",
    '{"goals": {"segments": [{"text": "a\\u0000b", "seconds": 2}]}}': "the prompt .* has a NUL",
    '{"text": "walk", "seconds": 3601}': "field seconds: should be less than or equal to 3600, not 3601",
    '{"text": "walk", "seconds": -1}': "field seconds: should be greater than 0, not -1",
    '{"text": "walk", "seconds": "6"}': 'field seconds: should be a valid number, not "6"',
    '{"text": "walk", "seconds": 9}': "9 s is too long",
    '{"text": "walk", "seed": -1}': "field seed: should be greater than or equal to 0",
    '{"text": "walk", "seed": 9223372036854775808}': "field seed: should be less than or equal to 9223372036854775807",
    '{"text": "walk", "seed": 1.5}': "field seed: should be a valid integer",
    '{"text": "walk", "name": "../walk"}': "field name: should be a plain file name",
    '{"text": "walk", "name": ".walk"}': "field name: should be a plain file name",
    '{"text": "walk", "name": "a."}': "field name: should be a plain file name: .*, no '.' last",
    '{"text": "walk", "name": "CON"}': "field name: should be a file name on every system: 'CON' names a device",
    '{"text": "walk", "name": "con.npz"}': "'con.npz' names a device",
    '{"text": "walk", "name": "aux"}': "'aux' names a device",
    '{"text": "walk", "name": "COM1.a.b"}': "'COM1.a.b' names a device",
    '{"text": "walk", "name": "RUN"}': "field name: 'RUN' is the name of line 2 too",
    '{"text": "walk", "name": "000004"}': "line 11: field name: '000004' is the name of line 4 too",
    '{"text": "walk", "goals": 5}': "field goals: should be a list of goals",
    '{"text": "walk", "goals": "none.json"}': "field goals: no goal file none.json",
    '{"text": "walk", "goals": [{"kind": "waypoint", "time": 1, "x": "a", "z": 1}]}': "goal 1 .waypoint.: field x",
    '{"text": "walk", "goals": [{"kind": "pose", "time": 1, "file": "none.npz"}]}': "goal 1 .*no file none.npz",
    json.dumps({"text": "walk", "goals": [waypoint(9.0)]}): "goal 1 .*beyond the motion",
    json.dumps({"text": "walk", "goals": [waypoint(1.0), waypoint(1.0, z=2.0)]}): "goal 1 .*goal 2 .*take one out",
    json.dumps({"text": "walk", "goals": segments("walk")}): "field text: the segments .*take it out",
    json.dumps({"seconds": 2, "goals": segments("walk")}): "field seconds: the segments .*take it out",
    json.dumps({"goals": segments("walk", "run", seconds=(OVERLAP - 1) / 20)}): "segment 1 lasts 0.95 s",
}


@pytest.mark.parametrize("name", ["console", "com", "COM10", "a.con", "nul-1", "a" * 100, "7", "a.b_c-"])
def test_names_similar_to_devices_are_valid(name):
    assert Job.parse(json.dumps({"text": "walk", "name": name}).encode(), 1, Path()).name == name


@pytest.mark.parametrize("line", BAD)
def test_wrong_lines_are_refused_before_sampling(sample, tmp_path, capsys, line):
    with (tmp_path / "jobs.jsonl").open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    before = files(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        sample("--out", "r")
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(f"^error: jobs.jsonl, line {len(JOBS) + 1}: .*", said)
    assert re.search(BAD[line], said)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--jobs", "none.jsonl"), "no jobs file none.jsonl"),
        (("--jobs", "empty.jsonl"), "empty.jsonl has no jobs"),
        (("--batch", 0), "--batch 0: give 1 to 65,536"),
        (("--batch", 10**9), "--batch 1000000000: give 1 to 65,536"),
        (("--text-scale", "nan"), "--text-scale nan: give -100 to 100"),
        (("--out", "goals.json"), "goals.json/index.jsonl cannot be written .Not a directory.; choose another place"),
        (("--steps", 0), "--steps 0: give 1 to 100,000"),
        (("--guidance", "walking"), "^error: unknown guidance"),
        (("--engine", "onnx", "--guidance", "classifier"), "^error: classifier needs the gradient of the network"),
        (("--guidance", "masks"), "line 1: .* not trained with masks"),
        (("a person walks",), "Unrecognized options: a person walks"),
        (("--seconds", 4), "Unrecognized options: --seconds"),
    ],
)
def test_wrong_options_are_refused(sample, tmp_path, capsys, arguments, said):
    (tmp_path / "empty.jsonl").write_text("\n \n")
    before = files(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        sample("--out", "r", *arguments)
    assert re.search(said, capsys.readouterr().err)
    assert files(tmp_path) == before


def test_an_error_in_sampling_does_not_stop_other_jobs(sample, tmp_path, capsys, monkeypatch):
    """One of three motions sampled together needs too much memory."""
    enough = MotionModel.denoise_fn

    def too_little(model, texts, *arguments, **options):
        if "a person jumps" in texts:
            raise RuntimeError("not enough memory")
        return enough(model, texts, *arguments, **options)

    large = {"text": "a person jumps", "goals": [waypoint(1.0)], "seconds": 1.8, "seed": 1}
    write(tmp_path / "jobs.jsonl", [JOBS[0], large, JOBS[4]])
    with monkeypatch.context() as machine:
        machine.setattr(MotionModel, "denoise_fn", too_little)
        for _ in range(2):
            with pytest.raises(SystemExit, match="2"):
                sample("--out", "r")
            said = capsys.readouterr().err.splitlines()[-1]
            assert re.search("1 of 3 jobs met an error, see r/index.jsonl; the first: line 2: not enough memory", said)
            rows = index(tmp_path / "r")
            assert [row["file"] for row in rows] == ["000001.npz", None, "000003.npz"]
            assert [bool(row["error"]) for row in rows] == [False, True, False]
            assert (rows[1]["mean_error_cm"], rows[1]["met"]) == (None, None)
    sample("--out", "r")
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        ".lock", "000001.npz", "000002.npz", "000003.npz", "index.jsonl",
    }  # fmt: skip


def test_a_path_too_long_for_the_path_model_is_refused_before_sampling(sample, tmp_path, capsys):
    long = {"text": "a person walks", "goals": [waypoint(6.5)], "seconds": 7}
    write(tmp_path / "jobs.jsonl", [JOBS[0], long])
    with pytest.raises(SystemExit, match="2"):
        sample("--guidance", "stages+projection", "--out", "r")
    assert "jobs.jsonl, line 2: root-v makes paths of up to 6 s, not 7 s" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def read(path, jobs, **options):
    write(path, jobs)
    return JobFile.read(path, lambda job: None, **options)


def test_batches_have_motions_of_similar_length(tmp_path):
    size, generator = 4, torch.Generator().manual_seed(0)
    jobs = []
    for seconds in torch.empty(2 * WINDOW * size + 3).uniform_(2, 6, generator=generator).tolist():
        goals = [waypoint(1.0)] if seconds < 4 else []
        jobs.append({"text": "walk", "seconds": seconds, "goals": goals})
    jobs[5] = jobs[200] = {"goals": segments("walk", "run")}
    batches = list(read(tmp_path / "jobs.jsonl", jobs).batches(size))
    assert sorted(i for batch in batches for i in batch) == list(range(len(jobs)))
    assert [batch for batch in batches if {5, 200} & set(batch)] == [[5], [200]]
    assert max(map(len, batches)) == size
    frames = [round(20 * job.get("seconds", 3.0)) for job in jobs]

    def padding(batches):
        return 1 - sum(frames) / sum(len(batch) * max(frames[i] for i in batch) for batch in batches)

    assert padding(batches) < padding([range(i, min(i + size, len(jobs))) for i in range(0, len(jobs), size)]) / 5
    assert sum(len({bool(jobs[i]["goals"]) for i in batch}) > 1 for batch in batches) <= 3

    more = list(read(tmp_path / "more.jsonl", jobs + jobs[:9]).batches(size))
    assert [batch for batch in batches if max(batch) < 2 * WINDOW * size] == [
        batch for batch in more if max(batch) < 2 * WINDOW * size
    ]


def test_unchanged_lines_are_read_again(tmp_path):
    path = tmp_path / "jobs.jsonl"
    path.write_text('\n{"text": "a person walks"}\n\n  \n{"text": "é", "seconds": 2}')
    jobs = JobFile.read(path, lambda job: None)
    path.write_text(path.read_text() + '\n{"text": "added later"}\n')
    first, second = jobs.some([0, 1])
    assert (first.line, first.text, first.seed, first.name) == (2, "a person walks", 2, "000002")
    assert (second.line, second.text, second.frames) == (5, "é", 40)
    path.write_text(path.read_text().replace("walks", "waits"))
    with pytest.raises(InputError, match="line 2 is not what it was"):
        list(jobs.some([0]))


def test_goals_are_not_kept_in_memory(tmp_path):
    """Nothing is kept of goals of 6 kB per line, and less than a hundred bytes per line of the rest."""
    pose = {"kind": "pose", "frame": 0, "motion": [[[0.123456789, 1.0, 0.5]] * 22] * 8}
    kept, peak = {}, {}
    for lines in (5, 20, 420):  # the first time fills caches
        write(tmp_path / "jobs.jsonl", [{"text": "walk", "goals": [pose]}] * lines)
        tracemalloc.start()
        jobs = JobFile.read(tmp_path / "jobs.jsonl", lambda job: None)
        gc.collect()
        kept[lines], peak[lines] = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(jobs) == lines
    assert kept[420] - kept[20] < 400 * 100
    assert peak[420] < 1.5 * peak[20]
