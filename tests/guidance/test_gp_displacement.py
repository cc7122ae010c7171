"""The likeliest displacement: exact where it is given, the least in its metric, smooth, and as a body moves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from guidance.gp_displacement import CROUCH, LIMBS, TRAVEL, Displacement, matern, tree_kernel
from motion_diffusion.body.skeleton import JOINTS

WRIST, ELBOW, OTHER, PELVIS = (JOINTS.index(name) for name in ("left_wrist", "left_elbow", "right_wrist", "pelvis"))


def moved(frames, *entries):
    """The displacement of everything for entries (frame, joint, axis, metres)."""
    mask, wanted = torch.zeros(frames, 22, 3, dtype=torch.bool), torch.zeros(frames, 22, 3)
    for frame, joint, axis, metres in entries:
        mask[frame, joint, axis], wanted[frame, joint, axis] = True, metres
    return Displacement(mask)(wanted)


@given(st.integers(0, 2**32), st.floats(0.01, 1.0), st.integers(2, 40))
def test_entries_move_exactly_as_wanted(seed, density, frames):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(frames, 22, 3, generator=generator) < density
    wanted = torch.randn(frames, 22, 3, generator=generator)
    result = Displacement(mask)(wanted)
    assert result.isfinite().all()
    assert torch.equal(result[mask], wanted[mask])


def size(mask, wanted, axis):
    """r·C⁻¹·r: the squared length, in the prior's metric, of the least displacement that has these entries."""
    frame, joint = mask[..., axis].nonzero(as_tuple=True)
    gram = 1e-9 * torch.eye(len(frame), dtype=torch.float64)
    for part in (part for part in (TRAVEL, CROUCH, LIMBS) if axis in part.axes):
        gram += part.size**2 * matern(frame[:, None] - frame, part.frames) * part.joints[joint][:, joint]
    r = wanted[frame, joint, axis].double()
    return (r @ torch.linalg.solve(gram, r)).item()


def test_it_is_the_least_in_its_metric():
    """Whatever else is asked of other entries, the displacement is longer than where they do as they like."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(40, 22, 3, generator=generator) < 0.005
    more = mask | (torch.rand(40, 22, 3, generator=generator) < 0.005)
    wanted = 0.1 * torch.randn(40, 22, 3, generator=generator, dtype=torch.float64)
    free = Displacement(mask)(wanted)
    for axis in range(3):
        least = size(mask, wanted, axis)
        assert size(more, free, axis) == pytest.approx(least, rel=1e-3)
        for scale in (-0.02, 0.02):
            other = torch.where(mask, wanted, free + scale * torch.randn(free.shape, generator=generator))
            assert size(more, other, axis) > least


@pytest.mark.parametrize("every", [1, 7, 100])
def test_long_motions_move_as_the_whole_covariance_says(every):
    """The band and the convolutions against C[:, O]·C[O, O]⁻¹·r with matrices over all frames."""
    frames, joints = 1900, torch.tensor([PELVIS, WRIST])
    mask, time = torch.zeros(frames, 22, 3, dtype=torch.bool), torch.arange(frames)
    mask[::every, PELVIS, 0], mask[3 :: 5 * every, WRIST, 0] = True, True
    wanted = torch.randn(frames, 22, 3, generator=torch.Generator().manual_seed(0)).double().cumsum(0) / 50
    frame, joint = mask[..., 0].nonzero(as_tuple=True)
    whole = torch.zeros(len(joints), frames, len(frame), dtype=torch.float64)
    for part in (TRAVEL, LIMBS):
        over_time = matern(time[:, None] - frame, part.frames)
        whole += part.size**2 * over_time * part.joints[joints][:, joint][:, None]
    gram = whole[(joint == WRIST).long(), frame]
    gram += 1e-9 * torch.diag(gram.diagonal())
    expected = whole @ torch.linalg.solve(gram, wanted[frame, joint, 0])
    expected = torch.where(mask[:, joints, 0].T, wanted[:, joints, 0].T, expected)
    moved = Displacement(mask)(wanted)
    assert (moved[:, joints, 0] - expected.T).abs().max() < 1e-6
    assert not moved[..., 1:].any()


def test_what_is_not_asked_does_not_move():
    assert torch.equal(moved(20, (5, WRIST, 1, 0.0)), torch.zeros(20, 22, 3))
    sideways = moved(20, (5, WRIST, 0, 0.3))
    assert torch.equal(sideways[..., 1:], torch.zeros(20, 22, 2))


def test_the_body_goes_where_its_pelvis_goes():
    shift = moved(60, (30, PELVIS, 2, 0.5))
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
    assert shift[0, 0, 2] > 0.05  # long before


def test_a_hand_takes_its_arm_along_and_little_else():
    shift = moved(60, (30, WRIST, 1, 0.3))[..., 1]
    assert shift[30, WRIST] > shift[30, ELBOW] > 1.5 * shift[30, OTHER].abs()
    assert shift[30, OTHER].abs() < 0.3 * shift[30, WRIST]
    assert shift[0].abs().max() < 0.1 * shift[30, WRIST]


def test_a_body_that_sinks_keeps_its_feet_on_the_floor():
    shift = moved(60, (30, PELVIS, 1, -0.3))[30, :, 1]
    assert shift[[JOINTS.index("left_foot"), JOINTS.index("right_ankle")]].abs().max() < 0.01
    assert shift[JOINTS.index("head")] < -0.25


def test_far_away_goals_move_the_whole_body():
    near, far = (moved(60, (30, WRIST, 0, metres))[30, :, 0] for metres in (0.1, 2.0))
    torch.testing.assert_close(20 * near, far)  # linear
    assert far[PELVIS] > 1.5


def test_there_are_no_kinks():
    """The steps of the displacement change evenly through a goal; a kernel like e^{−|t|} would double back there."""
    shift = moved(60, (30, PELVIS, 0, 1.0), (45, WRIST, 1, 0.2))
    turns = shift.diff(n=2, dim=0)
    assert turns.diff(dim=0).abs().max() < 0.5 * turns.abs().max()


def test_bones_that_ways_share():
    kernel = tree_kernel()
    assert torch.linalg.eigvalsh(kernel).min() > -1e-9
    assert kernel[PELVIS].abs().max() == 0
    assert kernel[WRIST, ELBOW] == pytest.approx(kernel[ELBOW, ELBOW].item())
    assert kernel.max() == 1


def test_a_path_without_a_body():
    mask = torch.zeros(30, 1, 3, dtype=torch.bool)
    mask[[3, 20], 0, 0] = True
    wanted = torch.full((30, 1, 3), 0.7)
    assert Displacement(mask)(wanted)[[3, 20], 0, 0].tolist() == pytest.approx([0.7, 0.7])
