"""Analyses against closed forms and exact identities; commands and the files they write."""

import csv
import dataclasses
import math
import re

import pytest
import torch

import guidance.__main__ as command
from guidance.analysis.evolution import evolution
from guidance.analysis.hook import hook
from guidance.analysis.runs import Chain, alike, confidence, ratio
from guidance.analysis.share import crossing, share, shares
from guidance.analysis.survival import answering, exact, frozen, gaussian_survival, kept_when_frozen
from guidance.analysis.undoing import ledger, undoing
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, Waypoint
from motion_diffusion.body.representation import Representation
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.samplers import Estimate, ancestral, estimate_from_x0
from motion_diffusion.diffusion.schedule import SCHEDULES, cosine
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel

GOALS = GoalSet(goals=[Waypoint(frame=15, x=0.3, z=0.8), Waypoint(frame=31, x=0.5, z=1.5)])


@pytest.fixture
def make_root_model(make_model):
    """make_root_model(prediction): a small untrained model of the root."""
    return lambda prediction="x0": make_model(prediction, groups=("root",))


@pytest.fixture
def make_chain(make_root_model):
    def make(prediction="x0", **how):
        options = dict(frames=32, steps=8, text_scale=1.0) | how
        return Chain.of(make_root_model(prediction), ["a person walks", "someone turns"], range(2), **options)

    return make


# ---- share


@pytest.mark.parametrize(
    ("index", "c0", "cx", "x0_share", "ce", "eps_share"),
    [
        (0, 1.0000, 0.0000, 1.0000, 0.0064, 0.0064),
        (1, 0.5278, 0.4722, 0.5278, 0.0049, 0.0049),
        (5, 0.2046, 0.7954, 0.2046, 0.0037, 0.0036),
        (20, 0.0734, 0.9266, 0.0734, 0.0032, 0.0032),
        (50, 0.0343, 0.9657, 0.0343, 0.0031, 0.0031),
        (100, 0.0184, 0.9815, 0.0184, 0.0032, 0.0031),
        (500, 0.0044, 0.9954, 0.0044, 0.0044, 0.0044),
        (700, 0.0035, 0.9953, 0.0035, 0.0069, 0.0069),
        (900, 0.0031, 0.9896, 0.0032, 0.0202, 0.0196),
        (990, 0.0030, 0.9000, 0.0033, 0.2111, 0.1597),
        (998, 0.0023, 0.5000, 0.0047, 1.500, 0.4286),
        (999, 0.0016, 0.0316, 0.0469, 31.59, 0.4997),
    ],
)
def test_coefficients_match_gmd(index, c0, cx, x0_share, ce, eps_share):
    """The coefficients of GMD's cosine schedule, whose index 0 is t = 1, to the digits given."""
    row = shares(cosine(1000), [index + 1, index])[0]
    assert row["x0_cy"] == pytest.approx(c0, abs=5.1e-5)
    assert row["x0_cx"] == pytest.approx(cx, abs=5.1e-5)
    assert row["x0_share"] == pytest.approx(x0_share, abs=5.1e-5)
    assert -row["eps_cy"] == pytest.approx(ce, abs=5.1e-5 if ce < 1 else 5.1e-3)
    assert row["eps_share"] == pytest.approx(eps_share, abs=5.1e-5)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_crossings_match_closed_forms(name):
    schedule = SCHEDULES[name](1000)
    rows = shares(schedule, schedule.times(1000))
    t = crossing(rows, "x0_cy", "eps_cy")
    before, after = (schedule.at(f(t)) for f in (math.floor, math.ceil))
    assert before.snr >= 1 >= after.snr
    t = crossing(rows, "x0_cy", "score_cy")
    golden = (5**0.5 - 1) / 2
    assert schedule.row(math.floor(t))[0] >= golden >= schedule.row(math.ceil(t))[0]
    assert crossing(rows, "mu_cy", "v_cy") is None


def test_weighted_share_matches_samples():
    """Closed form against samples of data of standard deviation 2, where sizes matter."""
    schedule, generator = cosine(1000), torch.Generator().manual_seed(0)
    row = shares(schedule, [600, 580], std=2.0)[0]
    x0, eps = torch.randn(2, 200_000, generator=generator, dtype=torch.float64)
    x0 = 2 * x0
    x_t = schedule.add_noise(x0, eps, 600)
    for name, prediction in PREDICTIONS.items():
        y = prediction.target(x0, eps, schedule.at(600))
        of_y, of_x = ((c * z).square().mean().sqrt() for c, z in ((row[f"{name}_cy"], y), (row[f"{name}_cx"], x_t)))
        assert row[f"{name}_weighted"] == pytest.approx((of_y / (of_x + of_y)).item(), rel=0.01)


def test_share_omits_undefined_types():
    result = share(SCHEDULES["rectified"](100), 10)
    assert {"x0_cy", "v_cy", "velocity_cy"} <= result.rows[0].keys()
    assert "eps_cy" not in result.rows[0]
    with pytest.raises(InputError, match="std is 0"):
        share(cosine(100), 10, std=0.0)


# ---- hook


def test_only_a_changed_x0_moves_the_mean():
    rows = hook(cosine(1000), 20, 0.1).rows
    assert max(row["untouched"] for row in rows) < 1e-10
    eps = [row for row in rows if row["prediction"] == "eps"]
    assert eps[0]["clipped"] > 1
    assert eps[0]["share_clipped"] > 0.99
    assert all(row["clipped"] < 1e-12 for row in hook(cosine(1000), 20, 0.0).rows if row["t"] < 1000)


# ---- survival


def test_frozen_survival_in_closed_form():
    schedule = cosine(1000)
    times = list(range(500, 19, -1))
    a = schedule.alpha**2
    kept = {name: kept_when_frozen(PREDICTIONS[name], schedule, times)[0] for name in ("x0", "eps", "v")}
    assert kept["x0"] == pytest.approx(_x0(a, 500, 20), rel=1e-9)
    assert kept["eps"] == pytest.approx(float((a[20] / a[500]).sqrt()), rel=1e-9)
    assert kept["v"] == pytest.approx(float((a[500] / a[20]).sqrt()), rel=1e-9)
    to_data = kept_when_frozen(PREDICTIONS["eps"], schedule, list(range(500, -1, -1)))[0]
    assert f"{100 * kept['x0']:.2f} %, {100 * to_data:.0f} %" == "0.24 %, 142 %"
    assert "0.24 % of what is added to x_t at t = 20, eps 142 % at t = 0" in frozen(schedule, 1000).conclusion


def _x0(a, s, v):
    return float((a[s] / a[v]).sqrt() * (1 - a[v]) / (1 - a[s]))


def test_exact_survival_is_the_same_for_all_types():
    result = exact(cosine(1000), 40)
    groups: dict = {}
    for row in result.rows:
        groups.setdefault((row["data"], row["t"]), []).append(row["kept"])
    assert all(len(kept) == 6 and max(kept) - min(kept) < 1e-9 for kept in groups.values())
    assert max(max(kept) for kept in groups.values()) > 0.9  # late pushes stay


def test_gaussian_survival_matches_sampling():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    covariance, schedule, times = root @ root.T, cosine(1000), [1000, 700, 400, 100, 0]
    push, z = torch.randn(2, 5, generator=generator, dtype=torch.float64)

    def denoise(x, t, s):
        alpha, sigma = schedule.row(t)
        noise = sigma**2 * torch.eye(5, dtype=torch.float64)
        gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + noise)
        return estimate_from_x0(x @ gain.T, x, t, schedule)

    predicted = gaussian_survival(covariance, push, schedule, times)
    for k, t in enumerate(times[:-1]):
        plain, pushed = (
            ancestral(denoise, z + more, schedule, times[k:], noise=lambda: torch.zeros(5))
            for more in (0.0, schedule.row(t)[0] * push)
        )
        kept = (pushed - plain) @ push / (push @ push)
        assert predicted[k].item() == pytest.approx(kept.item(), rel=1e-9)


@pytest.mark.parametrize(("prediction", "kept"), [("x0", 0.0), ("eps", 1.0)])
def test_answering_with_a_constant_network(make_chain, prediction, kept):
    """With a network of constant output nothing remains of a push for x0, everything for ε."""
    chain = make_chain(prediction)
    answer = torch.zeros_like(chain.z[0])
    schedule = chain.model.schedule

    def denoise(x, t, s):
        if prediction == "x0":
            return estimate_from_x0(answer, x, t, schedule)
        alpha, sigma = schedule.row(t)
        return Estimate((x - sigma * answer) / alpha, answer)

    chain = dataclasses.replace(chain, denoise=denoise, times=[900, 600, 300, 100, 0])
    result = answering([chain], pushes=3)
    assert {row["push"] for row in result.rows} == {"shift", "ramp"}
    for row in result.rows:
        assert row["kept"] == pytest.approx(kept, abs=2e-3)
        assert row["by_arithmetic"] == pytest.approx(kept, abs=1e-9)
        assert row["by_network"] == pytest.approx(row["kept"] - row["by_arithmetic"], abs=1e-9)


def test_interval_of_a_ratio_is_that_of_a_mean_where_the_whole_is_constant():
    part = torch.tensor([1.0, 2.0, 4.0, 7.0], dtype=torch.float64)
    expected = confidence(part / 2)
    assert [each.item() for each in ratio(part, torch.full_like(part, 2.0))] == pytest.approx(
        [e.item() for e in expected]
    )


def test_exact_curve_is_what_an_exact_network_keeps(make_chain):
    """The closed form for Gaussian paths in metres, against a chain of the exact denoiser in normalised features, one
    unit of which is 0.7 m."""
    chain = make_chain("v")
    model, F = chain.model, chain.z.shape[2]
    statistics = model.representation.tensors()
    statistics["std"] = torch.full_like(statistics["std"], 1.4)
    model.representation = Representation.from_tensors(("root",), 2.0, statistics)
    root = torch.randn(F, F, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    covariance = 0.3 * root @ root.T / F
    normalised = covariance / 0.7**2

    def denoise(x, t, s):
        alpha, sigma = model.schedule.row(t)
        noise = sigma**2 * torch.eye(F, dtype=torch.float64)
        gain = alpha * normalised @ torch.linalg.inv(alpha**2 * normalised + noise)
        x0 = torch.einsum("fg,bgd->bfd", gain, x.double()).to(x)
        return estimate_from_x0(x0, x, t, model.schedule)

    chain = dataclasses.replace(chain, denoise=denoise, z=chain.z.double())
    rows = answering([chain], pushes=4, covariance=covariance).rows
    assert [row["kept"] for row in rows] == pytest.approx([row["exact_gaussian"] for row in rows], abs=1e-6)
    assert any(0.05 < row["kept"] < 0.95 for row in rows)


def test_motions_are_independent_draws(make_chain):
    """Neither seeds nor texts share their noise."""
    z = make_chain("x0").z.transpose(0, 1).flatten(1)
    assert len(z) == 4
    assert (torch.corrcoef(z) - torch.eye(4)).abs().max() < 0.1


def test_runs_are_reproducible(make_chain):
    chain = make_chain("v")
    first, again = chain.run(), chain.run()
    assert torch.equal(first.final, again.final)
    assert torch.equal(chain.run(start=3, x=first.x[3]).final, first.final)
    assert torch.equal(first.network, first.guided)


# ---- undoing


@pytest.mark.parametrize("method", ["classifier", "imputation", "classifier+imputation"])
@pytest.mark.parametrize("prediction", ["x0", "eps"])
def test_ledger_balances(method, prediction):
    model = MotionModel.load(f"root-{prediction}")
    chain = Chain.of(model, ["a person walks", "a person runs"], range(2), frames=32, steps=8, text_scale=1.0)
    plain = chain.run()
    guided = chain.run(chain.guide(GOALS, method, 100.0))
    book = ledger(chain, guided, plain, GOALS)
    torch.testing.assert_close(book.push.sum(0) - book.back.sum(0), book.left, atol=1e-3, rtol=1e-4)
    assert book.steered[0].abs().max() == 0  # the same noise: nothing is steered before the first push
    assert book.push.abs().max() > 0
    nothing = ledger(chain, plain, plain, GOALS)
    assert nothing.push.abs().max() == nothing.back.abs().max() == nothing.left.abs().max() == 0


def test_undoing_shares_match_the_ledger(make_chain):
    rows = undoing([make_chain("x0"), make_chain("eps")], GOALS, "classifier", 100.0).rows
    for prediction in ("x0", "eps"):
        *steps, end = (row for row in rows if row["prediction"] == prediction)
        assert (end["t"], end["motions"], end["guidance"]) == (0, 4, "classifier")
        assert end["way"] == pytest.approx(end["steered_m"] / end["wanted_m"], rel=1e-5)
        for i, row in enumerate(steps, 1):
            pushed, taken = (sum(r[column] for r in steps[:i]) for column in ("push_m", "back_m"))
            assert row.get("undone") == (pytest.approx(taken / pushed, rel=1e-4) if pushed else None)
            assert row["way"] == pytest.approx((row["steered_m"] + row["push_m"]) / row["wanted_m"], rel=1e-5)


def test_undoing_without_guidance_is_refused(make_chain):
    chain = make_chain()
    with pytest.raises(InputError, match="pushes nothing"):
        undoing([chain], GOALS, "none", 1.0)
    wrist = GoalSet(goals=[Joint(joint="left_wrist", frame=3, position=(None, 1.0, None))])
    with pytest.raises(InputError, match="no goal says where the pelvis should be"):
        ledger(chain, chain.run(), chain.run(), wrist)
    with pytest.raises(InputError, match="knows only the path of the root"):
        chain.guide(wrist, "classifier", 1.0)


# ---- evolution


def test_evolution_rows_contain_paths_and_distances(make_chain):
    chain = make_chain("v")
    rows = evolution([chain], GOALS, "none", 1.0, drawn=3).rows
    ways = [row for row in rows if "frame" in row]
    assert len(ways) == 3 * 32
    assert [row["t"] for row in rows if "frame" not in row] == chain.times
    last = [row for row in ways if row["t"] == 0]
    final = chain.paths(chain.run().final)
    assert [(row["x_m"], row["z_m"]) for row in last] == [tuple(place) for place in final[0].tolist()]
    goals = {row["frame"]: (row["goal_x_m"], row["goal_z_m"]) for row in last if "goal_x_m" in row}
    assert goals == {15: pytest.approx((0.3, 0.8)), 31: pytest.approx((0.5, 1.5))}
    off = (final[:, [15, 31]] - torch.tensor([[0.3, 0.8], [0.5, 1.5]])).norm(dim=-1).mean()
    assert rows[-1]["off_m"] == pytest.approx(off.item(), rel=1e-5)


# ---- what they share


def test_intervals_have_their_coverage():
    """The half-widths cover the truth in about 95 % of 2,000 experiments."""
    g = torch.Generator().manual_seed(0)
    whole = 2 + torch.randn(2000, 40, generator=g, dtype=torch.float64)
    part = 0.3 * whole + 0.5 * torch.randn(2000, 40, generator=g, dtype=torch.float64)
    for (mean, spread), truth in ((confidence(whole), 2.0), (ratio(part, whole), 0.3)):
        assert ((mean - truth).abs() < spread).double().mean().item() == pytest.approx(0.94, abs=0.02)
    assert confidence(whole[0, :1])[1] == ratio(part[0, :1], whole[0, :1])[1] == 0


def test_different_models_are_refused(make_root_model, make_model):
    with pytest.raises(InputError, match="compare models of the same features"):
        alike([make_root_model(), make_model()])
    with pytest.raises(InputError, match="no model"):
        alike([])


# ---- the command


@pytest.fixture
def analyse(tmp_path, run_in_folder, make_root_model):
    """analyse(*arguments): python -m guidance in a folder with models a (x0) and b (eps) of the root."""
    for name, prediction in (("a", "x0"), ("b", "eps")):
        make_root_model(prediction).save(tmp_path / name)

    def run(*arguments):
        run_in_folder(command, *arguments)

    return run


MODELS = ("--models", "a", "b", "--seeds", 1, "--steps", 4, "--seconds", 6)


@pytest.mark.parametrize(
    ("verb", "arguments", "names", "words"),
    [
        (
            "share",
            ("--steps", 50),
            ["share"],
            "share of the network's output in mu (cosine schedule, T = 1000, 50",
        ),
        ("hook", ("--schedule", "linear", "--steps", 10), ["hook"], "hook (linear schedule"),
        (
            "survival",
            ("--models", "--T", 50),
            ["survival-frozen", "survival-exact"],
            "all 6 prediction types keep the same",
        ),
        (
            "survival",
            (*MODELS, "--T", 50, "--pushes", 2, "--reference", "a"),
            ["survival-frozen", "survival-exact", "survival-answering"],
            "network answering (4 motions a model, 4 steps",
        ),
        ("undoing", MODELS, ["undoing"], "undoing (classifier, 4 motions a model, 4 steps): a: wanted"),
        ("evolution", MODELS, ["evolution"], "evolution (classifier, 4 motions a model, 4 steps): a: nearest"),
        ("compare", MODELS, ["compare"], "compare (classifier, 4 motions a model, 4 steps)"),
        (
            "adherence",
            (*MODELS, "--scales", 1, 10),
            ["adherence"],
            "adherence (classifier, 4 motions a model, 4 steps)",
        ),
    ],
)
def test_verbs_write_figures_and_tables(analyse, tmp_path, capsys, verb, arguments, names, words):
    analyse(verb, *arguments, "--out", "o")
    assert words in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "o").iterdir()} == {f"{n}.{e}" for n in names for e in ("png", "svg", "csv")}
    for name in names:
        with (tmp_path / "o" / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) > 1
        numbers = [
            float(v) for row in rows for k, v in row.items() if re.search("_|^t$|kept", k) and v and k != "model"
        ]
        assert all(math.isfinite(number) for number in numbers)
        assert len(numbers) > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("share", "--steps", 1001), "steps must be between 1 and 1000, got 1001"),
        (("share", "--schedule", "linear", "--T", 20), "every beta must lie in (0, 1)"),
        (("share", "--T", 0), "--T 0: give 1 to 100,000"),
        (("hook", "--error", -1), "--error -1: give 0 to 1e+06"),
        (("undoing", "--models", "c"), "no model 'c'"),
        (("undoing", "--models", "a", "--guidance", "none"), "pushes nothing"),
        (("compare", "--models"), "no model to look at"),
        (("compare", "--models", "a", "x0-mixed"), "compare models of the same features"),
        (("evolution", "--models", "a", "--seconds", 60), "makes motions of"),
        (("evolution", "--models", "a", "--seeds", 0), "--seeds 0: give 1 to 1,000"),
        (("evolution", "--models", "a", "--texts", " "), "nothing to sample"),
        (("evolution", "--models", "a", "--seconds", "nan"), "--seconds nan: give more than 0 to 3600"),
        (("undoing", "--models", "a", "--text-scale", "1e30"), "--text-scale 1e+30: give -100 to 100"),
        (("undoing", "--models", "a", "--scale", "inf"), "--scale inf: "),
        (("survival", "--models", "a", "--pushes", 10**9), "--pushes 1000000000: "),
        (("share", "--std", "nan"), "--std nan: "),
        (("evolution", "--models", "a", "--goals", "nowhere.json"), "no goal file nowhere.json"),
    ],
)
def test_invalid_input_is_refused_in_one_line(analyse, tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit, match="2"):
        analyse(*arguments, "--out", "o")
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_unwritable_output_is_refused_before_sampling(analyse, capsys):
    with pytest.raises(SystemExit, match="2"):
        analyse("undoing", *MODELS, "--out", "a/config.json")
    assert capsys.readouterr().err == (
        "error: a/config.json/figure.csv cannot be written (Not a directory); choose another place\n"
    )
