"""Features of motions: round trips, the published clip, and the least-squares decoding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from motion_diffusion.body.features import (
    FEATURES,
    LAYOUT,
    VELOCITY_WEIGHT,
    decode,
    decode_positions,
    encode,
    from_relative,
    least_squares,
    to_relative,
    with_positions,
)
from motion_diffusion.body.heading import Convention, heading, to_origin, turn
from motion_diffusion.body.skeleton import FEET
from motion_diffusion.errors import InputError

MakeMotion = Callable[..., Tensor]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fastest_root(joints: Tensor) -> float:
    """Highest horizontal speed, metres per second."""
    return float(joints[..., 0, [0, 2]].diff(dim=-2).norm(dim=-1).max()) * 20


# ---- the published clip


def test_decode_matches_the_published_joints(published_clip: tuple[Tensor, Tensor]) -> None:
    joints, relative = published_clip
    features = from_relative(relative)
    torch.testing.assert_close(decode_positions(features), joints, atol=1e-6, rtol=0)
    torch.testing.assert_close(decode(features), joints, atol=1e-6, rtol=0)


def test_encode_matches_the_published_features(published_clip: tuple[Tensor, Tensor]) -> None:
    """HumanML3D drops the last frame after smoothing the headings; the last velocities give its positions."""
    joints, relative = published_clip
    published = from_relative(relative)
    last = turn(published[-1:, LAYOUT["velocities"]].view(1, 22, 3), -2 * published[-1:, 0])
    features = encode(torch.cat([joints, joints[-1:] + last]), convention="humanml3d")
    torch.testing.assert_close(features[:-1], published, atol=2e-5, rtol=0)
    torch.testing.assert_close(to_relative(features)[:-1], relative, atol=2e-5, rtol=0)
    assert torch.equal(features[:-1, LAYOUT["contacts"]], published[:, LAYOUT["contacts"]])


# ---- joints and back


@pytest.mark.parametrize("frames", [1, 2, 3, 120])
@pytest.mark.parametrize("batch", [(), (2,), (2, 1)])
@pytest.mark.parametrize("convention", ["body", "humanml3d"])
def test_decode_is_the_inverse_of_encode(
    make_motion: MakeMotion, frames: int, batch: tuple[int, ...], convention: Convention
) -> None:
    joints = make_motion(frames, *batch)
    features = encode(joints, convention=convention)
    assert features.shape == (*batch, frames, FEATURES)
    torch.testing.assert_close(decode(features), joints)
    torch.testing.assert_close(decode_positions(features), joints)
    torch.testing.assert_close(decode(features.float()), joints.float(), atol=1e-5, rtol=0)


def test_encode_is_the_inverse_of_decode_on_features_of_a_motion(make_motion: MakeMotion) -> None:
    features = encode(make_motion(40, 2))
    torch.testing.assert_close(encode(decode(features)), features, atol=1e-9, rtol=0)


def test_features_match_their_definitions(make_motion: MakeMotion) -> None:
    joints = make_motion(50)
    features = encode(joints)
    quaternion = torch.stack([features[:, 0].sin(), features[:, 0].cos()], dim=-1)  # (y, w)
    facing = Rotation.from_quat(np.insert(quaternion.numpy(), [0, 1], 0, axis=1))
    torch.testing.assert_close(features[:, 1:4], joints[:, 0, [0, 2, 1]])
    for frame in (0, 20, 48):
        body = joints[frame] - joints[frame, 0] * torch.tensor([1.0, 0.0, 1.0])
        seen = torch.from_numpy(facing[frame].apply(body[1:].numpy()))
        torch.testing.assert_close(features[frame, LAYOUT["positions"]].view(21, 3), seen)
        step = torch.from_numpy(facing[frame].apply((joints[frame + 1] - joints[frame]).numpy()))
        torch.testing.assert_close(features[frame, LAYOUT["velocities"]].view(22, 3), step)
    steps = joints.diff(dim=0)[:, FEET].norm(dim=-1)
    contacts = features[:, LAYOUT["contacts"]]
    assert torch.equal(contacts[:-1], (steps < 0.002**0.5).double())
    assert 0 < contacts.mean() < 1
    assert torch.equal(contacts[-1], contacts[-2])


def test_yaw_is_half_the_heading_and_continuous(make_motion: MakeMotion) -> None:
    joints = make_motion(300, turns=-1.0)  # more than twice about
    yaw = encode(joints)[:, 0]
    angle = heading(joints)
    turned = torch.polar(torch.ones_like(yaw), 2 * yaw) / torch.polar(torch.ones_like(yaw), angle)
    torch.testing.assert_close(turned, torch.ones_like(turned))
    assert angle.diff().abs().max() > 6
    assert yaw.diff().abs().max() < 0.2


def test_features_are_invariant_to_position_and_heading(make_motion: MakeMotion) -> None:
    """Positions, velocities and contacts are the same wherever the motion happens and wherever it goes."""
    joints = make_motion(30)
    elsewhere = turn(joints, torch.full((30,), 1.3, dtype=torch.float64)) + torch.tensor([4.0, 0.0, -2.0])
    kept = [*range(3, LAYOUT["positions"].stop), *range(LAYOUT["velocities"].start, FEATURES)]
    torch.testing.assert_close(encode(elsewhere)[:, kept], encode(joints)[:, kept])
    torch.testing.assert_close(encode(to_origin(elsewhere)), encode(to_origin(joints)))


# ---- lengths, groups, gradients


def test_padding_has_no_influence(make_motion: MakeMotion) -> None:
    joints, lengths = make_motion(25, 4), torch.tensor([25, 12, 2, 1])
    beyond = torch.arange(25) >= lengths[:, None]
    wild = torch.where(beyond[..., None, None], 1e3 * random(4, 25, 22, 3), joints)
    features = encode(wild, lengths=lengths)
    decoded = decode(torch.where(beyond[..., None], random(4, 25, FEATURES), features), lengths=lengths)
    for i, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(features[i, :n], encode(joints[i, :n]))
        torch.testing.assert_close(decoded[i, :n], joints[i, :n])


def test_padding_has_no_gradient() -> None:
    lengths = torch.tensor([7, 4])
    features = random(2, 7, FEATURES).requires_grad_()
    joints = decode(features, lengths=lengths)
    (gradient,) = torch.autograd.grad(joints[1, :4].square().sum(), features)
    assert not gradient[0].any()
    assert not gradient[1, 4:].any()
    assert gradient[1, :4].any()


def test_full_lengths_equal_no_lengths(make_motion: MakeMotion) -> None:
    joints, full = make_motion(10, 2, 2), torch.full((2, 2), 10)
    features = encode(joints) + 0.1 * random(2, 2, 10, FEATURES)
    torch.testing.assert_close(encode(joints, lengths=full), encode(joints))
    torch.testing.assert_close(decode(features, lengths=full), decode(features))


def test_omitted_groups_are_zero(make_motion: MakeMotion) -> None:
    joints = make_motion(5)
    everything, few = encode(joints), encode(joints, groups=("root", "positions", "velocities"))
    for name, columns in LAYOUT.items():
        wanted = everything[:, columns] if name not in ("rotations", "contacts") else torch.zeros_like(few[:, columns])
        assert torch.equal(few[:, columns], wanted)
    with pytest.raises(InputError, match="rotation"):
        encode(joints, groups=("rotation",))


@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 3])])
def test_gradients_of_decode(lengths: Tensor | None) -> None:
    features = 0.3 * random(2, 5, FEATURES)
    columns = [0, 1, 2, 3, 4, 5, 6, 64, 66, 193, 194, 195, 196, 258]

    def read(some: Tensor) -> Tensor:
        whole = features.index_copy(-1, torch.tensor(columns), some)
        return decode(whole, lengths=lengths)[:, :, [0, 1, 21]]

    some = features[..., columns].clone().requires_grad_()
    assert torch.autograd.gradcheck(read, (some,), fast_mode=True)


def test_gradients_of_encode(make_motion: MakeMotion) -> None:
    joints = make_motion(4).requires_grad_()
    smooth = slice(0, LAYOUT["contacts"].start)
    assert torch.autograd.gradcheck(lambda x: encode(x)[:, smooth], (joints,), fast_mode=True)


# ---- jitter


def test_velocities_reduce_jitter_of_the_root(make_motion: MakeMotion) -> None:
    """The root jumps by 10 cm per frame, as in outputs of networks."""
    joints = make_motion(120)
    features = encode(joints)
    features[:, 1:3] += 0.1 * random(120, 2)
    features, joints = features.float(), joints.float()
    assert fastest_root(decode_positions(features)) > 4 * fastest_root(joints)
    assert fastest_root(decode(features)) < 1.1 * fastest_root(joints)


# ---- other roots, other positions


def test_relative_root_round_trip(make_motion: MakeMotion) -> None:
    absolute = encode(to_origin(make_motion(60, 2)), convention="humanml3d")
    torch.testing.assert_close(from_relative(to_relative(absolute)), absolute)
    relative = random(2, 9, FEATURES)
    torch.testing.assert_close(to_relative(from_relative(relative))[:, :-1], relative[:, :-1])
    assert to_relative(absolute[:, :1]).shape == (2, 1, FEATURES)


def test_relative_root_follows_its_quaternions() -> None:
    """Root path by scipy: the step to frame t is turned back by the rotation of frame t (the sums are exclusive)."""
    relative = 0.2 * random(20, FEATURES)
    path, yaw = np.zeros(3), 0.0
    absolute = from_relative(relative)
    for frame in range(20):
        torch.testing.assert_close(absolute[frame, 1:3], torch.from_numpy(path[[0, 2]]))
        yaw += float(relative[frame, 0])
        step = np.array([relative[frame, 1], 0.0, relative[frame, 2]])
        path = path + Rotation.from_quat([0, np.sin(yaw), 0, np.cos(yaw)]).inv().apply(step)


def test_with_positions_changes_positions_only(make_motion: MakeMotion) -> None:
    features, joints = encode(make_motion(8, 2)), make_motion(8, 2, seed=1)
    before = features.clone()
    replaced = with_positions(features, joints)
    torch.testing.assert_close(decode_positions(replaced), joints)
    kept = [0, *range(LAYOUT["rotations"].start, FEATURES)]
    assert torch.equal(replaced[..., kept], features[..., kept])
    assert torch.equal(features, before)


# ---- least squares


def stacked(positions: Tensor, velocities: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """The rows of |x - p|² + w·|D x - v|², one under the other."""
    identity = torch.eye(len(positions), dtype=torch.float64)
    rows = torch.cat([identity, weight**0.5 * identity.diff(dim=0)])
    return rows, torch.cat([positions, weight**0.5 * velocities[:-1]])


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
@pytest.mark.parametrize("weight", [0.5, VELOCITY_WEIGHT])
def test_least_squares_matches_lstsq(frames: int, weight: float) -> None:
    positions, velocities = random(frames, 4), random(frames, 4, seed=1)
    rows, wanted = stacked(positions, velocities, weight)
    expected = torch.linalg.lstsq(rows, wanted).solution
    torch.testing.assert_close(least_squares(positions, velocities, weight=weight), expected)


def test_least_squares_keeps_consistent_positions() -> None:
    positions = random(50, 3)
    velocities = torch.cat([positions.diff(dim=0), random(1, 3)])
    torch.testing.assert_close(least_squares(positions, velocities), positions)


def test_least_squares_reduces_jitter_of_positions() -> None:
    velocities = torch.full((120, 1), 0.05, dtype=torch.float64)
    line = 0.05 * torch.arange(120, dtype=torch.float64)[:, None]
    read = least_squares(line + 0.2 * random(120, 1), velocities)
    assert (read.diff(dim=0) - 0.05).abs().max() < 0.02
    assert (read - line).abs().max() < 0.15


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_least_squares_with_full_lengths(batch: tuple[int, ...]) -> None:
    positions, velocities = random(*batch, 9, 2), random(*batch, 9, 2, seed=1)
    lengths = torch.full(batch, 9)
    torch.testing.assert_close(
        least_squares(positions, velocities, lengths=lengths), least_squares(positions, velocities)
    )


def test_least_squares_treats_batch_items_independently() -> None:
    lengths = torch.tensor([[1, 12], [5, 2]])
    positions, velocities = random(2, 2, 12, 3), random(2, 2, 12, 3, seed=1)
    read = least_squares(positions, velocities, lengths=lengths)
    for i in range(2):
        for j in range(2):
            n = int(lengths[i, j])
            alone = least_squares(positions[i, j, :n], velocities[i, j, :n])
            torch.testing.assert_close(read[i, j, :n], alone)
            torch.testing.assert_close(read[i, j, n:], positions[i, j, n:])


def test_least_squares_ignores_nan_in_padding() -> None:
    lengths = torch.tensor([6, 4])
    positions, velocities = random(2, 6, 2), random(2, 6, 2, seed=1)
    padding = (torch.arange(6) >= lengths[:, None])[..., None].expand(2, 6, 2)
    results = []
    for filler in (0.0, float("nan")):
        read = least_squares(
            positions.masked_fill(padding, filler), velocities.masked_fill(padding, filler), lengths=lengths
        )
        results.append(read[~padding])
    torch.testing.assert_close(*results)
    assert results[1].isfinite().all()
