from pathlib import Path

import pytest

from motion_diffusion.errors import InputError
from motion_diffusion.files import atomic, check_place


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic(path) as temporary:
        temporary.write_text("one")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        print(temporary.write_text("tw") / 0)
    assert path.read_text() == "one"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("inside", ["file", "folder"])
def test_what_cannot_be_written_is_said_by_its_name(tmp_path, inside):
    """Below a file, or in place of a folder: with the path that was asked for, not with that of a temporary file."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    path = tmp_path / "file" / "a.txt" if inside == "file" else tmp_path / "folder"
    with pytest.raises(InputError, match=rf"{path} cannot be written \(.+\); choose another place"), atomic(path) as t:
        t.write_text("one")
    with pytest.raises(InputError, match=rf"{path} cannot be written \(.+\); choose another place"):
        check_place(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_trouble_with_another_file_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic(tmp_path / "a.txt"):
        Path(tmp_path / "elsewhere").read_text()


@pytest.mark.parametrize("name", ["a.txt", "new/er/a.txt", "n" * 251 + ".txt"])
def test_a_place_is_tried_without_a_trace(tmp_path, name):
    check_place(tmp_path / name)
    assert not list(tmp_path.iterdir())
    with atomic(tmp_path / name) as temporary:  # whose own name is no longer than that
        temporary.write_text("one")
    check_place(tmp_path / name)
    assert (tmp_path / name).read_text() == "one"


def test_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(InputError, match=r"cannot be written \(.*too long.*\); choose another place"):
        check_place(tmp_path / ("n" * 300))


def test_links_lead_to_what_is_written(tmp_path):
    for name in ("there.txt", "nowhere.txt"):
        (tmp_path / f"to-{name}").symlink_to(name)
    (tmp_path / "there.txt").write_text("old")
    for name in ("there.txt", "nowhere.txt"):
        with atomic(tmp_path / f"to-{name}") as temporary:
            temporary.write_text("new")
        assert (tmp_path / f"to-{name}").is_symlink()
        assert (tmp_path / name).read_text() == "new"
