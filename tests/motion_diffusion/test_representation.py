from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from motion_diffusion.body.features import (
    FEATURES,
    LAYOUT,
    decode,
    decode_positions,
    displaced,
    encode,
    from_relative,
    to_relative,
    with_positions,
)
from motion_diffusion.body.heading import Convention, heading, to_origin, turn
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import FEET
from motion_diffusion.errors import InputError

MakeMotion = Callable[..., Tensor]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fastest_root(joints: Tensor) -> float:
    """Metres a second on the floor."""
    return float(joints[..., 0, [0, 2]].diff(dim=-2).norm(dim=-1).max()) * 20


# ---- the published clip


def test_decode_matches_the_published_joints(published_clip: tuple[Tensor, Tensor]) -> None:
    joints, relative = published_clip
    features = from_relative(relative)
    torch.testing.assert_close(decode_positions(features), joints, atol=1e-6, rtol=0)
    torch.testing.assert_close(decode(features), joints, atol=1e-6, rtol=0)


def test_encode_matches_the_published_features(published_clip: tuple[Tensor, Tensor]) -> None:
    """HumanML3D drops the last frame after smoothing the headings; the last velocities tell where it was."""
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
    """The root jumps by 10 cm a frame, as networks give it."""
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


# ---- what the network sees

GROUPS = ("root", "positions", "velocities", "contacts")


@pytest.fixture
def clips(make_motion: MakeMotion) -> list[Tensor]:
    return [encode(make_motion(frames, seed=frames), groups=GROUPS).float() for frames in (20, 35, 50)]


@pytest.mark.parametrize("groups", [GROUPS, ("velocities", "root", "positions"), tuple(LAYOUT)])
def test_normalise_round_trip(clips: list[Tensor], groups: tuple[str, ...]) -> None:
    representation = Representation.fit(clips, groups, emphasis=3.0)
    x = representation.normalise(clips[0])
    assert x.shape == (20, representation.size)
    restored = representation.denormalise(x)
    for name, columns in LAYOUT.items():
        if name in groups:
            torch.testing.assert_close(restored[:, columns], clips[0][:, columns], atol=1e-5, rtol=0)
            before = x[:, representation.columns(name)]
            assert before.shape[1] == columns.stop - columns.start
        else:
            assert not restored[:, columns].any()
    torch.testing.assert_close(representation.decode(x), decode(clips[0]), atol=1e-4, rtol=0)


def test_fit_measures_mean_scale_and_extent(clips: list[Tensor]) -> None:
    representation = Representation.fit(clips, GROUPS, emphasis=5.0)
    plain = replace(representation, emphasis=1.0)
    x, scaled = plain.normalise(torch.cat(clips)), representation.normalise(torch.cat(clips))
    torch.testing.assert_close(x.mean(0), torch.zeros(x.shape[1]), atol=1e-4, rtol=0)
    for columns in (slice(0, 1), slice(1, 3), slice(3, 4), *map(plain.columns, ("positions", "velocities"))):
        deviations = x[:, columns].std(0, correction=0)
        assert deviations.mean() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(scaled[:, :3], 5 * x[:, :3])
    torch.testing.assert_close(scaled[:, 3:], x[:, 3:])
    torch.testing.assert_close(representation.bound, scaled.abs().amax(0))


def test_constant_features_have_unit_std(make_motion: MakeMotion) -> None:
    still = encode(make_motion(1).expand(9, 22, 3))
    representation = Representation.fit([still], tuple(LAYOUT))
    assert torch.equal(representation.std, torch.ones(FEATURES))


def test_tensors_round_trip(clips: list[Tensor]) -> None:
    representation = Representation.fit(clips, GROUPS, emphasis=2.0)
    again = Representation.from_tensors(representation.groups, representation.emphasis, representation.tensors())
    assert torch.equal(again.normalise(clips[1]), representation.normalise(clips[1]))
    with pytest.raises(KeyError):
        Representation.from_tensors(GROUPS, 1.0, {"mean": representation.mean})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": ("root", "positions")}, "velocities"),
        ({"groups": (*GROUPS, "root")}, "once"),
        ({"groups": (*GROUPS, "colours")}, "'colours'"),
        ({"emphasis": 0.0}, "emphasis is 0.0"),
        ({"emphasis": float("nan")}, "emphasis is nan"),
        ({"mean": torch.zeros(5)}, r"mean.*\(5,\)"),
        ({"extent": torch.full((FEATURES,), float("nan"))}, "extent"),
        ({"std": torch.zeros(FEATURES)}, "std.*positive"),
    ],
)
def test_invalid_representations_are_refused(clips: list[Tensor], change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        replace(Representation.fit(clips, GROUPS), **change)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_fit_without_clips_is_refused() -> None:
    with pytest.raises(InputError, match="no clips"):
        Representation.fit([], GROUPS)


def test_root_representation_decodes_the_path(walks) -> None:
    """Root features alone read as the pelvis, exactly, and displacing them displaces it."""
    root = Representation.fit((encode(walk, groups=("root",)) for walk in walks), ("root",), emphasis=2.0)
    assert not root.whole_body
    assert root.size == 4
    features = encode(walks[0], groups=("root",))
    assert features[:, 4:67].abs().max() > 0  # joints that the representation leaves out
    x = root.normalise(features)
    torch.testing.assert_close(root.decode(x), walks[0][:, :1], atol=1e-5, rtol=0)
    moved = displaced(root.denormalise(x), torch.full((len(x), 1, 3), 0.25))
    torch.testing.assert_close(root.decode(root.normalise(moved)), walks[0][:, :1] + 0.25, atol=1e-5, rtol=0)


@pytest.mark.parametrize("groups", [GROUPS, ("root",)])
def test_write_over_imposes_known_positions(make_motion: MakeMotion, groups: tuple[str, ...]) -> None:
    """Read frame by frame, every known position is then there, and what is not known is the noise as it was."""
    joints = make_motion(30, seed=1).float()[None, :, : 22 if "positions" in groups else 1]
    representation = Representation.fit([encode(make_motion(30, seed=1), groups=groups).float()], groups, emphasis=4.0)
    noise = torch.randn(1, 30, representation.size, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(joints.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[..., 1:, 2] = mask[..., 1:, 0]  # either both of x and z of a joint, or none
    mask[..., 0, :] = mask[..., :1, 0]  # and the pelvis, from which the others are seen, at a whole
    written = representation.write_over(noise, noise, (joints, mask))
    features = representation.denormalise(written)
    read = decode_positions(features)[..., : joints.shape[-2], :]
    seen = mask & mask[..., :1, :1]
    torch.testing.assert_close(read[seen], joints[seen], atol=1e-4, rtol=0)
    same = written == noise
    assert same[..., 0].all()
    assert not same[mask[..., 0, 0]][:, 1:4].any()
    assert same[~mask.any(-1).any(-1)].all()
    if "velocities" in groups:
        assert same[..., representation.columns("velocities")].all()
        heights = representation.columns("positions")
        known = mask[..., 1:, [0, 1, 2]].flatten(-2)
        assert (~same[..., heights] == known).all()
