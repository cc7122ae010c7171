"""The state on disk: damaged states are not read."""

import pytest
import torch
from safetensors.torch import save_file

from motion_diffusion.errors import InputError
from train.checkpoint import State, read_state, write_state


def state(step):
    numbers = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
    return State(step, "{}", {"live.a": numbers, "ema.a": numbers[0].clone(), "times.seen": torch.tensor([step])})


@pytest.fixture
def run(tmp_path):
    """A run with the states of steps 1 and 2."""
    for step in (1, 2):
        write_state(tmp_path, state(step))
    return tmp_path


def equal(a, b):
    same = a.tensors.keys() == b.tensors.keys() and all(torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors)
    return (a.step, a.config) == (b.step, b.config) and same


def torn(path, cut):
    path.write_bytes(path.read_bytes()[:cut])


def one_bit(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


DAMAGE = {
    "empty": lambda path: torn(path, 0),
    "torn in the header": lambda path: torn(path, 40),
    "torn in the data": lambda path: torn(path, -1),
    "a bit of a number": lambda path: one_bit(path, -3),
    "another step": lambda path: path.write_bytes(path.read_bytes().replace(b'"step":"2"', b'"step":"7"')),
    "no digest": lambda path: path.write_bytes(path.read_bytes().replace(b'"digest"', b'"digEst"')),
}


def test_the_last_state_is_read(run, capsys):
    assert equal(read_state(run), state(2))
    assert capsys.readouterr().err == ""
    assert equal(read_state(run), state(2))
    assert {path.name for path in run.iterdir()} == {"state.safetensors", "state-before.safetensors"}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_state_is_replaced_by_the_one_before(run, capsys, damage):
    damage(run / "state.safetensors")
    assert equal(read_state(run), state(1))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "state.safetensors is broken" in said
    assert "step 1" in said
    write_state(run, state(3))
    torn(run / "state.safetensors", -1)
    assert equal(read_state(run), state(1))  # not replaced by the damaged one


def test_a_kill_between_the_two_renames_loses_nothing(run):
    (run / "state.safetensors").rename(run / "state-before.safetensors")
    assert equal(read_state(run), state(2))


def test_two_damaged_states_are_refused_and_kept(run):
    torn(run / "state.safetensors", 100)
    one_bit(run / "state-before.safetensors", -1)
    with pytest.raises(InputError, match=r"state.safetensors is broken .*state-before.safetensors is broken .*--run"):
        read_state(run)
    assert (run / "state.safetensors").is_file()


def test_a_state_of_the_first_version_is_read(tmp_path):
    """It had neither digest nor configuration."""
    save_file(state(5).tensors, tmp_path / "state.safetensors", {"step": "5"})
    assert equal(read_state(tmp_path), State(5, "", state(5).tensors))


def test_a_new_run_has_no_state(tmp_path):
    assert read_state(tmp_path) is None
    assert read_state(tmp_path / "nowhere") is None
