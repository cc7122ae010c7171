"""Comparison with real clips as a set: what is real is near them, what is not is far."""

import pytest
import torch

from data_loaders.procedural.walks import ProceduralWalks
from guidance.analysis.compare import RealClips, adherence, adherence_figure
from guidance.analysis.runs import Chain
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Waypoint
from motion_diffusion.errors import InputError

FRAMES = 40
GOALS = GoalSet(goals=[Waypoint(frame=FRAMES - 1, x=0.0, z=1.0)])


@pytest.fixture(scope="module")
def clips():
    walks = ProceduralWalks(3, 60, FRAMES)
    return [walks.example(i).joints for i in range(60)]


@pytest.fixture
def real(clips, matcher):
    return RealClips.of(matcher, clips[:40], FRAMES)


def test_real_clips_are_near_and_a_stretched_body_is_far(clips, real):
    near = real.compare(torch.stack([torch.from_numpy(clip[:FRAMES]) for clip in clips[40:]]))
    far = real.compare(torch.stack([torch.from_numpy(clip[:FRAMES] * [1.0, 0.3, 1.0]).float() for clip in clips[40:]]))
    assert near["fid"] < 0.5 * far["fid"]
    assert near["coverage"] > far["coverage"]
    assert near["density"] > far["density"]
    assert set(real.against_itself(20)) == {"fid", "precision", "density", "coverage"}


def test_too_few_real_clips_are_refused(clips, matcher):
    with pytest.raises(InputError, match="only 10 real clips have 40 frames or more, 20 are needed"):
        RealClips.of(matcher, clips[:10], FRAMES)


def test_rows_have_sets_of_motions_beside_real_ones(make_model, real):
    chain = Chain.of(make_model("v"), ["a person walks"], range(8), frames=FRAMES, steps=3, text_scale=1.0)
    result = adherence([chain], GOALS, "classifier", [1.0, 10.0], real)
    assert [row["scale"] for row in result.rows] == [0, 1, 10]
    assert all(row["fid_real"] == result.rows[0]["fid_real"] >= 0 for row in result.rows)
    assert all(0 <= row["coverage"] <= 1 for row in result.rows)
    assert "real clips against others: fid" in result.conclusion
    titles = [axis.get_ylabel() for axis in adherence_figure(result.rows).axes if axis.get_visible()]
    assert {"FID", "density", "coverage"} <= set(titles)
