"""Plan and history: undo and redo, round trips, and limits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidance.goals.goal_file import SCHEMA, load_goals
from guidance.goals.goal_set import GoalSet, Segment
from guidance.goals.positions import Joint, Waypoint
from guidance.goals.relations import Loop
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from visualize.studio.plan import (
    MAX_PARTS,
    MAX_PROMPT_LETTERS,
    MAX_TOTAL_SECONDS,
    Base,
    History,
    Plan,
    PromptPart,
    plan_from_motion,
)

GOALS = st.one_of(
    st.builds(Waypoint, time=st.floats(0, 5), x=st.floats(-3, 3), z=st.floats(-3, 3)),
    st.builds(Joint, joint=st.just("head"), time=st.floats(0, 5), position=st.just((None, 1.2, None))),
    st.builds(Loop),
)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), GOALS),
        st.tuples(st.just("remove"), st.integers(0, 5)),
        st.tuples(st.just("seed"), st.integers(0, 9)),
        st.tuples(st.just("count"), st.integers(1, 4)),
    ),
    max_size=12,
)


def edited(plan, edit):
    what, value = edit
    if what == "add":
        return plan.with_goal(value)
    if what == "remove":
        return plan.without_goal(value)
    return plan.changed(what, value)


@given(EDITS)
def test_undo_is_the_inverse_of_push(edits):
    history, states = History(Plan()), [Plan()]
    for edit in edits:
        history = history.push(edited(history.now, edit))
        if history.now != states[-1]:
            states.append(history.now)
    for before in reversed(states[:-1]):
        history = history.undo()
        assert history.now == before
    assert history.undo() is history
    for after in states[1:]:
        history = history.redo()
        assert history.now == after
    assert history.redo() is history


@given(EDITS, EDITS)
def test_push_discards_the_undone_future(first, second):
    history = History(Plan())
    for edit in first:
        history = history.push(edited(history.now, edit))
    history = history.undo()
    for edit in second:
        before = history
        history = history.push(edited(history.now, edit))
        if history is not before:
            assert history.redo() is history
            assert history.undo().now == before.now


@given(st.lists(st.integers(0, 100), min_size=1))
def test_consecutive_changes_of_one_name_are_undone_together(seeds):
    start = History(Plan(seed=7)).push(Plan(seed=101))
    history = start
    for seed in seeds:
        history = history.push(history.now.changed("seed", seed), "seed")
    assert history.undo().now == start.now
    assert history.push(Plan(seed=102), "other").undo().now == history.now


def test_history_has_a_maximum_depth():
    history = History(0)
    for value in range(1, 1000):
        history = history.push(value)
    assert len(history.past) == History.DEPTH
    assert history.undo().now == 998


@pytest.mark.parametrize("path", sorted(set(SCHEMA.parent.glob("*.json")) - {SCHEMA}), ids=lambda path: path.stem)
def test_goal_files_round_trip(path, tmp_path):
    plan = Plan().with_goal_file(load_goals(path))
    (tmp_path / "plan.json").write_bytes(plan.to_goal_file())
    again = load_goals(tmp_path / "plan.json")
    assert again.goals == list(plan.goals) == load_goals(path).goals
    assert Plan().with_goal_file(again) == plan
    assert json.loads(plan.to_goal_file())["version"] == 1


@given(EDITS)
def test_json_round_trip(edits):
    plan = Plan()
    for edit in edits:
        plan = edited(plan, edit)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"base": {"motion": 1}}', '{"x": 1}', '{"count": 1000}', '{"parts": []}']
)
def test_from_json_refuses_anything_else(text):
    with pytest.raises(InputError):
        Plan.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 9),
        ("count", 0),
        ("seed", -1),
        ("seed", 2**53),
        ("seed", 10**26),
        ("steps", 10**6),
        ("text_scale", float("nan")),
        ("guidance", "magic"),
        ("guidance", "imputation+projection"),
        ("goals", (Loop(),) * 101),
        ("parts", (Segment(text="a" * (MAX_PROMPT_LETTERS + 1), seconds=2.0),)),
        ("parts", (Segment(text="a", seconds=2.0),) * (MAX_PARTS + 1)),
        ("parts", (Segment(text="a", seconds=20.0),) * (int(MAX_TOTAL_SECONDS / 20) + 1)),
        ("parts", (Segment(text="a", seconds=0.05),)),
    ],
)
def test_plan_enforces_its_limits(field, value):
    with pytest.raises(InputError) as refusals:
        Plan().changed(field, value)
    assert "\n" not in str(refusals.value)


def test_goal_file_extends_the_plan():
    goals = GoalSet(goals=[Waypoint(time=5.0, x=0.0, z=3.0)])
    plan = Plan().with_goal_file(goals)
    plan.goal_set.check(plan.frames)
    assert plan.text == Plan().text


def test_empty_prompt_is_allowed_in_a_plan_but_not_in_a_goal_file():
    plan = Plan(parts=(PromptPart(text="", seconds=2.0),))
    assert Plan.from_json(plan.to_json()) == plan
    with pytest.raises(InputError, match="the prompt is empty"):
        plan.to_goal_file()


def test_plan_is_restored_from_provenance(walks):
    plan = Plan(seed=5, guidance="imputation", steps=9).with_goal(Waypoint(time=1.0, x=0.1, z=0.9))
    said = {
        "goals": {"goals": [goal.model_dump(exclude_none=True) for goal in plan.goals]},
        "model": {"name": "eps-mixed"},
        "seed": 5,
        "settings": {"guidance": "imputation", "steps": 9},
    }
    motion = Motion(walks[0][:80], text="a person limps", provenance=said)
    found = plan_from_motion(motion, Plan())
    assert (found.goals, found.seed, found.guidance, found.steps) == (plan.goals, 5, "imputation", 9)
    assert (found.text, found.frames, found.model) == ("a person limps", 80, "eps-mixed")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"part": {"start": 1.0}}, "part by part"),
        ({"model": "v"}, "as this project writes it"),
        ({"settings": 5}, "as this project writes it"),
        ({"goals": {"goals": [{"kind": "waypoint", "time": 1.0, "x": "a", "z": 0.0}]}}, "field x"),
        ({"seed": -1}, "field seed"),
    ],
)
def test_provenance_without_a_plan_is_refused_with_the_reason(walks, said, told):
    with pytest.raises(InputError, match=told):
        plan_from_motion(Motion(walks[0][:40], provenance=said), Plan())


def test_plan_of_an_edit_includes_the_edited_motion(walks):
    motion = Motion(walks[0][:60])
    after = Plan().changed("base", Base.after(motion))
    assert (after.frames, after.start) == (60 + 80, 3.0)
    part = Plan(parts=(Segment(text="a person bows", seconds=1.0),)).changed("base", Base(motion, 1.0, 2.0))
    assert (part.frames, part.start) == (60, 1.0)
    with pytest.raises(InputError, match="to 3 s"):
        Plan().changed("base", Base(motion, 1.0, 4.0))
