"""Figures show the numbers of their files, in lines that are distinguishable without hue, reproducibly to the byte."""

import csv
import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import visualize.plots.__main__ as command
from guidance.analysis import style
from guidance.analysis.style import (
    EXTRA_STYLES,
    LINE_STYLES,
    PREDICTION_STYLES,
    LineStyle,
    line,
    model_styles,
    styles_in_order,
)
from guidance.analysis.table import floats, read_table
from motion_diffusion.errors import InputError
from visualize.drawing import style as film_style
from visualize.plots.registry import TABLES, draw
from visualize.plots.results import evaluation, read_evaluation, read_metrics, training

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures"
STUDY = ROOT / "docs" / "guidance-study" / "study.csv"
TABLES_OF_DOCS = [*sorted(FIGURES.glob("*.csv")), STUDY]
RUNS = [ROOT / "assets" / "models" / name for name in ("root-x0", "root-eps", "root-v")]


@functools.cache
def drawn(path):
    """The figure of a CSV file, and its rows."""
    rows = read_table(path)
    kind = next(kind for kind, columns in TABLES.items() if columns <= rows[0].keys())
    return kind(rows).axes, rows


def lines(axes):
    """Lines of a panel by their legend labels."""
    return {one.get_label(): one for one in axes.lines if not one.get_label().startswith("_")}


def of(rows, **cells):
    return [row for row in rows if all(row[column] == cell for column, cell in cells.items())]


def same(one, rows, x, y, factor=1.0):
    """Whether a line runs through a file's numbers."""
    there = [row for row in rows if row[y] != ""]
    assert len(there) > 2
    np.testing.assert_array_equal(one.get_xdata(), floats(there, x))
    np.testing.assert_allclose(one.get_ydata(), factor * np.array(floats(there, y)), rtol=1e-12)


def bands(axes):
    """Half the height of each band of a panel, from its corners."""
    for collection in axes.collections:
        corners = collection.get_paths()[0].vertices
        count = (len(corners) - 3) // 2
        yield (corners[count + 2 : -1, 1][::-1] - corners[1 : count + 1, 1]) / 2


# ---- what is drawn


def test_share():
    axes, rows = drawn(FIGURES / "share.csv")
    for panel, column in zip(axes, ("cy", "cx", "share", "weighted"), strict=True):
        assert list(lines(panel)) == ["x0", "eps", "v", "score", "velocity", "mu"]
        for name, one in lines(panel).items():
            np.testing.assert_array_equal(one.get_xdata(), floats(rows, "t"))
            wanted = np.abs(floats(rows, f"{name}_{column}"))
            np.testing.assert_array_equal(one.get_ydata(), np.maximum(wanted, 1e-12))
    crossings = [one.get_xdata()[0] for one in axes[3].lines if len(one.get_xdata()) == 2]
    assert crossings == pytest.approx([496, 573], abs=0.5)  # SNR = 1, and the golden ratio


def test_hook():
    axes, rows = drawn(FIGURES / "hook.csv")
    for name in ("x0", "eps", "v"):
        mine = of(rows, prediction=name)
        same(lines(axes[0])[f"{name}, x̂0 clipped"], mine, "t", "clipped")
        untouched = lines(axes[0])[f"{name}, x̂0 untouched"]
        np.testing.assert_array_equal(untouched.get_ydata(), np.maximum(floats(mine, "untouched"), 1e-17))
        same(lines(axes[1])[name], mine, "t", "share_clipped", factor=100)


def test_frozen():
    axes, rows = drawn(FIGURES / "survival-frozen.csv")
    for panel, end in zip(axes, (0, 20), strict=True):
        for name, one in lines(panel).items():
            same(one, rows, "t", f"{name}_left_at_{end}")


def test_exact():
    axes, rows = drawn(FIGURES / "survival-exact.csv")
    for panel, data in zip(axes, dict.fromkeys(row["data"] for row in rows), strict=True):
        assert len(lines(panel)) == 6
        for name, one in lines(panel).items():
            same(one, of(rows, data=data, prediction=name), "t", "kept")
        marked = [i for one in lines(panel).values() for i in np.arange(11)[one.get_markevery()[0] :: 6]]
        assert sorted(marked) == list(range(11))  # every marker is seen, though the lines are one


@pytest.mark.parametrize("whose", ["root", "body"])
def test_answering(whose):
    axes, rows = drawn(FIGURES / f"survival-answering-{whose}.csv")
    for column, shape in enumerate(("shift", "ramp")):
        for panel, y in ((axes[column], "kept"), (axes[2 + column], "by_network")):
            found = lines(panel)
            truth = found.pop("exact, Gaussian data", None)
            for (name, one), half in zip(found.items(), bands(panel), strict=True):
                mine = of(rows, model=name, push=shape)
                same(one, mine, "t", y)
                np.testing.assert_allclose(half, floats(mine, "kept_95"), atol=1e-9)
            if y == "kept":
                same(truth, mine, "t", "exact_gaussian")


@pytest.mark.parametrize("whose", ["root", "body"])
def test_undoing(whose):
    axes, rows = drawn(FIGURES / f"undoing-{whose}.csv")
    for panel, y in zip(axes, ("push_m", "back_m", "undone", "way"), strict=True):
        for (name, one), half in zip(lines(panel).items(), bands(panel), strict=True):
            mine = of(rows, model=name)
            same(one, mine, "t", y)
            wanted = floats(
                [row for row in mine if row[y]], {"undone": "undone_95", "way": "way_95"}.get(y, f"{y[:4]}_95")
            )
            np.testing.assert_allclose(half, wanted, atol=1e-9)
    assert axes[3].lines[0].get_xdata()[-1] == 0  # ends with the motion


@pytest.mark.parametrize("whose", ["root", "body"])
def test_evolution(whose):
    axes, rows = drawn(FIGURES / f"evolution-{whose}.csv")
    assert [panel.get_title(loc="left").split(":")[0] for panel in axes[:-1]] == list(lines(axes[-1]))
    for panel, (name, one) in zip(axes[:-1], lines(axes[-1]).items(), strict=True):
        mine = of(rows, model=name)
        same(one, of(mine, frame=""), "t", "off_m")
        *ways, goals = panel.lines
        times = list(dict.fromkeys(row["t"] for row in mine if row["frame"]))
        for way, t in zip(ways, times, strict=True):
            frames = [row for row in of(mine, t=t) if row["frame"]]
            assert list(way.get_xdata()) == floats(frames, "x_m")
            assert list(way.get_ydata()) == floats(frames, "z_m")
        darkness = [grey(way.get_color()[:3]) for way in ways]
        assert darkness == sorted(darkness, reverse=True)  # from pale to dark without hues, too
        assert sorted(zip(goals.get_xdata(), goals.get_ydata(), strict=True)) == [(0, 2), (2, 2), (2, 4)]


@pytest.mark.parametrize("whose", ["root", "body"])
def test_compare(whose):
    axes, rows = drawn(FIGURES / f"compare-{whose}.csv")
    columns = [
        column
        for column in ("error_cm", "within_20_cm", "bones_mm", "skating", "jitter", "fastest", "seconds")
        if column in rows[0]
    ]
    names = [f"{row['model']}, {row['guidance']}" for row in rows]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == names
    for panel, column in zip(axes, columns, strict=False):
        for i, (row, container) in enumerate(zip(rows, panel.containers, strict=True)):
            marker, _, bars = container
            assert (marker.get_xdata()[0], marker.get_ydata()[0]) == (float(row[column]), i)
            assert (marker.get_markerfacecolor() == "white") == (row["guidance"] == "none")
            for bar in bars:
                (left, _), (right, _) = bar.get_segments()[0]
                assert (right - left) / 2 == pytest.approx(float(row[f"{column}_95"]))


def test_study():
    axes, rows = drawn(STUDY)
    rows = [row for row in rows if row["average error, cm"]]
    for panel, column, usual in zip(axes, ("foot skating - unguided", "joint jitter / unguided"), (0, 1), strict=True):
        markers = [one for one in panel.collections if isinstance(one, PathCollection)]
        places = np.concatenate([one.get_offsets() for one in markers])
        np.testing.assert_array_equal(places[:, 1], [float(row[column] or usual) for row in rows])
        errors = np.array(floats(rows, "average error, cm"))
        np.testing.assert_array_equal(places[errors >= 0.01, 0], errors[errors >= 0.01])
        assert (places[errors < 0.01, 0] < 0.01).all()
        assert len(set(places[:, 0])) == len(rows)
        words = {word.get_text() for word in panel.texts}
        assert words == {"", "c", "i", "p"}  # told without hues


def test_training():
    rows = [row for run in RUNS for row in read_metrics(run / "metrics.jsonl", run.name)]
    for quarter, panel in enumerate(training(rows).axes, 1):
        column = f"x0_error_q{quarter}"
        thin = [one for one in panel.lines if one.get_label().startswith("_")]
        for run, (name, one), trained in zip(RUNS, lines(panel).items(), thin, strict=True):
            told = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
            held_out = [(row["step"], row[f"held_out_{column}"]) for row in told if f"held_out_{column}" in row]
            assert name == run.name
            assert list(zip(*one.get_data(), strict=True)) == held_out
            assert list(zip(*trained.get_data(), strict=True)) == [(r["step"], r[column]) for r in told if column in r]
            assert one.get_marker() == PREDICTION_STYLES[name.removeprefix("root-")].marker


MEASURED = {
    "real clips": {"FID": (0.01, 0.001), "foot skating ratio": (0.0, 0.0)},
    "training clips": {"FID": (0.08, 0.004), "foot skating ratio": (0.001, 0.0)},
    "unguided": {"FID": (0.05, 0.003), "foot skating ratio": (0.02, 0.01), "average error, cm": (30.0, 2.0)},
    "5 key frames": {"FID": (0.06, 0.002), "foot skating ratio": (0.01, 0.01), "average error, cm": (0.0, 0.0)},
}


@pytest.fixture
def write_evaluation(tmp_path):
    """write_evaluation(name, **changed): the output of `python -m sample.evaluate --out NAME`, in tmp_path."""

    def write(name, **changed):
        about = {"num": 96, "protocol": "quick", "evaluator": "e", "data": "d", "figures": MEASURED} | changed
        (tmp_path / name).mkdir()
        (tmp_path / name / "figures.json").write_text(json.dumps(about))
        return tmp_path / name / "figures.json"

    return write


def test_evaluation(write_evaluation):
    fewer = {group: MEASURED[group] for group in ("real clips", "unguided")}
    figures = {"a": MEASURED, "b": fewer}
    rows = [row for name in figures for row in read_evaluation(write_evaluation(name, figures=figures[name]), name)]
    axes = evaluation(rows).axes
    for panel, name in zip(axes, ("FID", "foot skating ratio", "average error, cm"), strict=True):
        assert panel.get_title(loc="left") == f"{name} ↓"
        dots = iter(panel.containers)
        for i, of_model in enumerate(figures.values()):
            for group in ("unguided", "5 key frames"):
                if group in of_model:
                    marker, _, bars = next(dots)
                    assert marker.get_xdata()[0] == of_model[group][name][0]
                    assert round(marker.get_ydata()[0]) == i
                    halves = [np.diff(bar.get_segments()[0][:, 0])[0] / 2 for bar in bars]
                    assert halves == pytest.approx([of_model[group][name][1]] * len(halves))
        assert next(dots, None) is None
        across = [one.get_xdata()[0] for one in panel.lines if one.get_marker() == "None" and len(one.get_xdata()) == 2]
        clips = [of_model[group] for of_model in figures.values() for group in of_model if "clips" in group]
        assert across == [each[name][0] for each in clips if name in each]


# ---- looks


def grey(colour):
    """How light a colour is without its hue, 0…1: CIE lightness."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    light = float(np.dot([0.2126, 0.7152, 0.0722], channels))
    return (116 * light ** (1 / 3) - 16) / 100 if light > 0.008856 else 9.033 * light


def ink(style):
    """(high, wide): where a line of this look is black, 0…1."""
    figure = Figure(figsize=(2.4, 0.3), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    line(axes, [0, 1, 2, 3], [0, 0, 0, 0], LineStyle("#000000", style.dashes, style.marker), "")
    canvas.draw()
    return 1 - np.asarray(canvas.buffer_rgba())[..., 0] / 255


EVERY_LOOK = [*LINE_STYLES, *(LineStyle("#000000", *further) for further in EXTRA_STYLES)]


def test_styles_are_distinguishable_in_black():
    """Without hues and greys: of the ink of two lines, drawn at one place, a sixth or more is elsewhere."""
    drawings = [ink(style) for style in EVERY_LOOK]
    for one, other in itertools.combinations(drawings, 2):
        assert np.abs(one - other).sum() > np.maximum(one, other).sum() / 6
    assert len({style.marker for style in EVERY_LOOK}) == len({style.dashes for style in EVERY_LOOK}) == len(EVERY_LOOK)


def test_styles_are_visible_on_white():
    assert max(grey(style.colour) for style in LINE_STYLES) < 0.75
    assert len({style.colour for style in LINE_STYLES}) == len(LINE_STYLES)


def test_prediction_types_keep_their_style():
    styles = model_styles({"a": "v", "b": "x0", "c": "v", "d": "", "e": "v"})
    assert (styles["a"], styles["b"]) == (PREDICTION_STYLES["v"], PREDICTION_STYLES["x0"])
    assert styles["a"].colour == styles["c"].colour == styles["e"].colour
    assert len({style.marker for style in styles.values()}) == len({style.dashes for style in styles.values()}) == 5
    assert model_styles({"z": "eps", "a": "v"})["a"] == styles["a"]  # whatever else is in the figure
    with pytest.raises(InputError, match="9 models cannot be told apart"):
        model_styles({str(i): "v" for i in range(9)})
    with pytest.raises(InputError, match="draw 7 at once"):
        styles_in_order("abcdefgh")


@pytest.mark.parametrize("path", TABLES_OF_DOCS, ids=lambda path: path.stem)
def test_lines_of_a_panel_are_distinguishable(path):
    for panel in drawn(path)[0]:
        styles = [(one.get_marker(), one.get_linewidth()) for one in lines(panel).values()]
        assert len(set(styles)) == len(styles)


# ---- files


@pytest.mark.parametrize("path", [TABLES_OF_DOCS[0], RUNS[0]], ids=lambda path: path.stem)
def test_figures_are_reproducible_to_the_byte(path, tmp_path):
    first, again = (draw([path], tmp_path / name) for name in "ab")
    assert [file.suffix for file in first] == [".png", ".svg"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    assert b"dc:date" not in first[1].read_bytes()


def test_figures_of_pages_have_their_tables():
    pictures = {path.stem for folder in (FIGURES, STUDY.parent) for path in folder.glob("*.svg")}
    assert pictures == {path.stem for path in TABLES_OF_DOCS}


@pytest.fixture
def plots(tmp_path, run_in_folder):
    """plots(*arguments): the command, in a folder with some files."""
    (tmp_path / "compare.csv").write_bytes((FIGURES / "compare-root.csv").read_bytes())
    (tmp_path / "unknown.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "folder").mkdir()
    for name in ("compare", "unknown"):
        (tmp_path / "folder" / f"{name}.csv").write_bytes((tmp_path / f"{name}.csv").read_bytes())
    (tmp_path / "folder" / "metrics.jsonl").write_bytes((RUNS[0] / "metrics.jsonl").read_bytes() + b'{"step": 12')
    return lambda *arguments: run_in_folder(command, *arguments)


def test_folder_draws_its_files(plots, tmp_path, capsys):
    plots("folder", "--out", "o", "--endings", "svg")
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"compare.svg", "loss.svg"}
    assert capsys.readouterr().out.split() == ["o/compare.svg", "o/loss.svg"]


def test_folder_of_runs_makes_one_figure(plots, tmp_path, capsys):
    for run in RUNS[:2]:
        (tmp_path / "runs" / run.name).mkdir(parents=True)
        for name in ("metrics.jsonl", "config.json"):
            (tmp_path / "runs" / run.name / name).write_bytes((run / name).read_bytes())
    plots("runs", "--out", "o", "--endings", "svg")
    plots(*(f"runs/{run.name}" for run in sorted(RUNS[:2])), "--out", "p", "--endings", "svg")
    assert capsys.readouterr().out.split() == ["o/loss.svg", "p/loss.svg"]
    assert (tmp_path / "o" / "loss.svg").read_bytes() == (tmp_path / "p" / "loss.svg").read_bytes()


def test_runs_of_equal_name_are_named_by_folder(plots, tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder / "run").mkdir(parents=True)
        (tmp_path / folder / "run" / "metrics.jsonl").write_bytes((RUNS[0] / "metrics.jsonl").read_bytes())
    seen = []
    monkeypatch.setattr("visualize.plots.registry.training", lambda rows: seen.extend(rows) or training(rows))
    plots("one/run", "two/run/metrics.jsonl", "--out", "o", "--endings", "png")
    assert {row["run"] for row in seen} == {str(tmp_path / folder / "run") for folder in ("one", "two")}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "nothing to draw"),
        (("compare.csv", "--endings"), "--endings without any draws nothing; give png or svg"),
        (("nowhere.csv",), "no file nowhere.csv"),
        (("compare.csv", "unknown.csv"), "unknown.csv: there is no figure of the columns a, b, c"),
        (("compare.csv", "folder/compare.csv"), "the figure of another file has this name"),
        ((ROOT / "docs" / "guidance-study" / "table.csv",), "there is no figure of the columns model, prediction"),
        ((ROOT / "assets" / "matchers" / "mixed",), "no errors by quarter of t"),
        ((ROOT / "docs" / "figures" / "share.png",), "is no CSV file"),
        ((ROOT / "tests",), "no metrics.jsonl, figures.json or CSV file"),
    ],
)
def test_files_without_figure_are_refused_in_one_line(plots, tmp_path, capsys, files, words):
    refused(plots, tmp_path, capsys, files, words)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("empty.csv", "a,b\n", "has no rows"),
        ("torn.csv", "a,b\n1\n", "line 2: not as many cells as columns"),
        ("metrics.jsonl", "", "has no lines yet"),
        ("metrics.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("metrics.jsonl", "{\n", "line 1 is not JSON"),
        ("metrics.jsonl", '{"step": "x", "x0_error_q1": 1}\n', "column step has 'x' where a number belongs"),
        ("figures.json", "{}", "it has no num, protocol, evaluator, data, figures; give"),
        (
            "figures.json",
            '{"num": 1, "protocol": 1, "evaluator": 1, "data": 1, "figures": 3}',
            "it has no figures that are",
        ),
        ("figures.json", '{"num": 1, "protocol": 1, "evaluator": 1, "data": 1, "figures": {}}', "has no figures"),
    ],
)
def test_unreadable_files_are_refused_in_one_line(plots, tmp_path, capsys, name, text, words):
    (tmp_path / name).write_text(text)
    refused(plots, tmp_path, capsys, (name,), words)


@pytest.mark.parametrize("cell", ["x", "nan", "-inf", "1e999"])
@pytest.mark.parametrize("column", ["error_cm", "jitter_95"])
def test_invalid_cells_are_named(plots, tmp_path, capsys, column, cell):
    with (tmp_path / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "broken.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows([*rows[:2], rows[2] | {column: cell}])
    refused(plots, tmp_path, capsys, ("broken.csv",), f"broken.csv: column {column} has '{cell}' where a number")


def test_evaluations_measured_differently_are_refused(plots, write_evaluation, tmp_path, capsys):
    files = [write_evaluation("a"), write_evaluation("b", evaluator="f")]
    refused(plots, tmp_path, capsys, files, "evaluations with different evaluator (e, f) cannot be compared")


def refused(plots, tmp_path, capsys, files, words):
    with pytest.raises(SystemExit, match="2"):
        plots("--out", "o", *files)
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_plots_use_the_colours_of_films():
    """The common style of plots is in guidance, below the room that draws films, so its colours are written twice."""
    assert (style.INK, style.FAINT_INK, style.GOAL) == (film_style.INK, film_style.FAINT_INK, film_style.GOAL)
