"""The actions that a model was trained on, stored beside its weights."""

import json

import pytest

from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.prompts.known_actions import (
    KNOWN,
    MAX_BYTES,
    Known,
    KnownAction,
    KnownStyle,
    in_words,
    read_known,
)

STYLES = (KnownStyle("old", 0.05), KnownStyle("sad", 0.01))
WALK = KnownAction("walk", 0.5, "a person walks", ("walks", "strolls"), STYLES)
KNOWS = Known((WALK, KnownAction("bow", 0.25, "a person bows", ("bows",))), ("a", "bows", "person", "strolls", "walks"))


def test_known_actions_are_saved_with_the_model(make_model, tmp_path):
    model = make_model()
    model.save(tmp_path / "silent")
    assert MotionModel.load(tmp_path / "silent").known is None
    model.known = KNOWS
    model.save(tmp_path / "m")
    again = MotionModel.load(tmp_path / "m")
    assert again.known == KNOWS
    assert again.digest == model.digest
    assert KNOWS.hours == 0.75


def test_table_has_a_row_for_each_action():
    header, _, walk, bow = ([cell.strip() for cell in line.split("|")[1:-1]] for line in KNOWS.table().splitlines())
    assert header[:3] == ["action", "minutes", "for example"]
    assert walk == ["walk", "30.0", "a person walks", "old 3.0, sad 0.6"]
    assert bow == ["bow", "15.0", "a person bows", ""]
    assert in_words(STYLES * 3) == "old 3.0, sad 0.6, old 3.0, sad 0.6, and 2 more"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Invalid JSON"),
        (json.dumps({"version": 2, "actions": [], "words": []}), "version: Input should be 1"),
        (json.dumps({"actions": [{"name": "walk"}], "words": []}), "actions.0.hours: Field required"),
        (" " * (MAX_BYTES + 1), "more than 1"),
    ],
)
def test_damaged_files_are_refused_in_one_line(make_model, tmp_path, content, said):
    make_model().save(tmp_path)
    (tmp_path / KNOWN).write_text(content)
    with pytest.raises(InputError, match=said) as error:
        read_known(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="python -m data_loaders known"):
        MotionModel.load(tmp_path)
