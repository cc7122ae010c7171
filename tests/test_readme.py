"""What the README shows can be typed in as it stands."""

import re
from pathlib import Path

import pytest

from guidance.goals.goal_file import load_goals
from motion_diffusion.body.motion import Motion
from motion_diffusion.prompts import read_known
from sample.job_file import Job, JobFile
from sample.segments import frames_of

ROOT = Path(__file__).parents[1]

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES if page.name != "LOG.md")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("text", [text for text in blocks("json") if not text.startswith('{"text"')])
def test_goal_files(text, tmp_path):
    (tmp_path / "goals.json").write_text(text)
    goals = load_goals(tmp_path / "goals.json")
    goals.check(frames_of(goals.segments) or 120)


@pytest.mark.parametrize("text", [text for text in blocks("json") if text.startswith('{"text"')])
def test_jobs(text, tmp_path):
    (tmp_path / "jobs.jsonl").write_text(text)
    seen: list[Job] = []
    JobFile.read(tmp_path / "jobs.jsonl", seen.append)
    assert [job.frames for job in seen] == [80]


@pytest.mark.parametrize("code", [code for code in blocks("python") if "motion.npz" in code])
def test_python(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert Motion.load("motion.npz").provenance["residuals"][0]["met"]


@pytest.mark.parametrize("code", [code for code in blocks("python") if "motion.npz" not in code])
def test_python_that_takes_minutes_compiles_and_finds_its_names(code):
    compile(code, "README.md", "exec")
    exec("\n".join(line for line in code.splitlines() if line.startswith(("import ", "from "))), {})


def test_links_and_pictures_are_there():
    for page in PAGES:
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
        assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []


def test_what_the_models_know_is_what_they_say():
    (table,) = re.findall(r"<!-- known -->\n(.*?)\n<!-- /known -->", TEXT, re.DOTALL)
    known = read_known(ROOT / "assets" / "models" / "v-masks")
    assert known is not None
    assert table == known.table()


def test_the_page_on_guidance_has_its_figures_and_numbers():
    """Every block that the command renews is filled, and every picture is there."""
    page = (ROOT / "docs" / "where-guidance-gets-undone.md").read_text()
    blocks_of_numbers = re.findall(r"<!-- ([a-z-]+) -->\n(.*?)<!-- /\1 -->", page, re.DOTALL)
    assert len(blocks_of_numbers) == 17
    for name, numbers in blocks_of_numbers:
        assert numbers.startswith("> ")
        assert {(ROOT / "docs" / "figures" / f"{name}.{e}").is_file() for e in ("png", "svg", "csv")} == {True}
    pictures = re.findall(r"\]\(([^)#]+)\)", page)
    assert all((ROOT / "docs" / picture).exists() for picture in pictures if not picture.startswith("http"))


def test_commands_are_there():
    named = set(re.findall(r"python -m ([a-z_.]+)", TEXT)) - {"pip"}
    assert {"sample", "train", "visualize", "guidance", "sample.evaluate", "data_loaders"} <= named
    for name in named:
        place = ROOT / name.replace(".", "/")
        assert (place / "__main__.py").exists() or place.with_suffix(".py").exists()
    targets = re.findall(r"^make ([a-z]+)", TEXT, re.MULTILINE)
    assert set(targets) <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_gallery_has_every_example_and_its_pictures():
    gallery = (ROOT / "docs" / "gallery.md").read_text()
    examples = sorted(path.name for path in (ROOT / "docs" / "examples").glob("*.py"))
    assert [name for name in examples if name not in gallery] == []
    assert [int(name[:2]) for name in examples] == list(range(1, len(examples) + 1))
    links = re.findall(r"\]\(([^)#]+)\)", gallery)
    assert all((ROOT / "docs" / link).exists() for link in links if not link.startswith("http"))
