"""Normalised features: statistics, round trips, and known positions written over noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from motion_diffusion.body.features import (
    FEATURES,
    LAYOUT,
    decode,
    decode_positions,
    displaced,
    encode,
)
from motion_diffusion.body.representation import Representation
from motion_diffusion.errors import InputError

MakeMotion = Callable[..., Tensor]
GROUPS = ("root", "positions", "velocities", "contacts")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
    """Decoded frame by frame, every known position is reproduced, and unknown features keep their noise."""
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
