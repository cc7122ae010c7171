"""T-poses are trimmed, and cuts divide the rest into pieces of 2 to 10 s at minimum cost."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from data_loaders.augment import mirror, with_bone_lengths
from data_loaders.cleaning.cutting import (
    MAX_PIECE_FRAMES,
    MIN_PIECE_FRAMES,
    MIN_TAKE_FRAMES,
    cut_cost,
    split_take,
    trim_t_poses,
)
from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.skeleton import JOINTS, OFFSETS, PARENTS, forward_kinematics
from tests.data_loaders.test_defects import turned

HELD, BLEND = 20, 12
"""Frames of a T-pose, and of the way out of it."""


@pytest.fixture(scope="module")
def take() -> np.ndarray:
    """Procedural walk of 45 s, (900, 22, 3)."""
    return ProceduralWalks(5, 900, 900).example(1).joints.astype(np.float64)


def bind_pose(lowered=0.0):
    """T-pose (22, 3) with feet on the floor and arms lowered by an angle in degrees."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(JOINTS), 1, 1)
    for side, sign in (("left", -1), ("right", 1)):
        angle = torch.tensor(np.radians(sign * lowered))
        turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])
        for name in ("shoulder", "elbow", "wrist"):
            rotations[JOINTS.index(f"{side}_{name}")] = turn
    joints = forward_kinematics(rotations, torch.zeros(3, dtype=torch.float64)).numpy()
    return joints - [0, joints[:, 1].min() - 0.015, 0]


def with_pose(walk, pose, held=HELD, blend=BLEND):
    """Walk preceded by a held pose and a transition to its first frame."""
    walk = to_origin(torch.from_numpy(walk)).numpy()
    share = (np.arange(1, blend + 1) / (blend + 1))[:, None, None]
    way = with_bone_lengths((1 - share) * pose + share * walk[:1])
    return np.concatenate([np.repeat(pose[None], held, axis=0), way, walk])


def test_rest_pose_is_t_pose():
    pose = bind_pose()
    np.testing.assert_allclose(pose[1:] - pose[list(PARENTS[1:])], OFFSETS[1:].numpy(), atol=1e-12)


@pytest.mark.parametrize("lowered", [0, 40])
def test_poses_are_trimmed_with_transitions(walks, lowered):
    """At either end, with at most some frames of the walk."""
    for walk in [walk.double().numpy() for walk in walks[:12]]:
        joined = with_pose(walk, bind_pose(lowered))
        start, end = trim_t_poses(joined)
        assert HELD + BLEND - 4 <= start <= HELD + BLEND + 4
        assert end == len(joined)
        assert trim_t_poses(joined[::-1]) == (0, len(joined) - start)
        assert trim_t_poses(joined[start:]) == (0, len(joined) - start)


def test_single_t_pose_frame_is_trimmed(walks):
    """As in files whose first frame is the rest pose."""
    walk = walks[0].double().numpy()
    joined = with_pose(walk, bind_pose(), held=1, blend=0)
    assert 1 <= trim_t_poses(joined)[0] <= 3


def test_walks_are_not_trimmed_and_trimming_is_idempotent(walks, take):
    for walk in [*(walk.double().numpy() for walk in walks), take]:
        assert trim_t_poses(walk) == (0, len(walk))
    twice = with_pose(with_pose(take, bind_pose()), bind_pose(), held=9, blend=3)
    start, end = trim_t_poses(twice)
    assert start >= 9 + 3 + HELD + BLEND - 4
    assert trim_t_poses(twice[start:end]) == (0, end - start)


def test_take_of_only_t_pose_is_removed():
    start, end = trim_t_poses(np.repeat(bind_pose()[None], 100, axis=0))
    assert start == end


@pytest.mark.parametrize("frames", [0, 19, 20, 39, 40, 200, 201, 239, 240, 241, 399, 400, 401, 700, 900])
def test_pieces_cover_take_within_length_limits(take, frames):
    rng = np.random.default_rng(frames)
    for events in ((), rng.integers(0, 900, 5).tolist(), [1], list(range(900))):
        pieces = split_take(take[:frames], events)
        ends = [0, *(end for _, end in pieces)]
        assert pieces == list(pairwise(ends))
        assert all(min(frames, MIN_PIECE_FRAMES) <= end - start <= MAX_PIECE_FRAMES for start, end in pieces)
        assert ends[-1] == (frames if frames >= MIN_TAKE_FRAMES else 0)
        if MIN_TAKE_FRAMES <= frames <= MAX_PIECE_FRAMES:
            assert len(pieces) == 1


def test_cuts_have_minimum_cost(take):
    """SciPy's shortest path from the first to the last frame has the same cost."""
    frames, cost = len(take), cut_cost(take)
    cost[0] = 1e-12  # SciPy ignores edges of length zero
    pairs = [(s, e) for s in range(frames) for e in range(s + MIN_PIECE_FRAMES, min(s + MAX_PIECE_FRAMES, frames) + 1)]
    starts, ends = np.array(pairs).T
    graph = csr_array((cost[starts], (starts, ends)), shape=(frames + 1, frames + 1))
    least = dijkstra(graph, indices=0)[frames]
    assert sum(cost[start] for start, _ in split_take(take)) == pytest.approx(least, abs=1e-9)


def test_cuts_are_at_quiet_moments(take):
    """A second of rest is preferred to any frame of a walk."""
    steps = np.linalg.norm(np.diff(take[130:190, [10, 11]], axis=0), axis=-1).max(-1)
    rest = 130 + int(steps.argmin())
    still = np.concatenate([take[:rest], np.repeat(take[rest : rest + 1], 20, axis=0), take[rest:300]])
    (_, first), _ = split_take(still)
    assert rest < first <= rest + 20


def test_cuts_are_at_events_if_possible(take):
    starts = {start for start, _ in split_take(take[:400], [120, 250, 330])}
    assert starts < {0, 120, 250, 330}
    starts = [start for start, _ in split_take(take[:600], [150, 160, 500])]
    assert {150, 160} & set(starts)
    assert 500 in starts
    assert len(starts) == 4  # one between events, since pieces are at most 10 s long


def test_result_is_invariant_to_position_and_mirroring(take):
    for other in (turned(take), mirror(take)):
        assert split_take(other) == split_take(take)
    joined = with_pose(take[:200], bind_pose())
    for other in (turned(joined), mirror(joined)):
        assert trim_t_poses(other) == trim_t_poses(joined)
