"""Takes become clips: pieces, removed parts with reasons, and captions."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import data_loaders.__main__ as command
from data_loaders.augment import mirror
from data_loaders.captions.label_phrases import label_of_part
from data_loaders.cleaning.clean import CleaningSummary, clean_clip, clean_take
from data_loaders.cleaning.cutting import MAX_PIECE_FRAMES, MIN_PIECE_FRAMES
from data_loaders.cleaning.defects import find_defects
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.store import prepare
from data_loaders.types import Caption, Clip, Source
from motion_diffusion.body.skeleton import FPS, JOINTS, forward_kinematics
from tests.data_loaders.test_cutting import bind_pose, with_pose
from tests.data_loaders.test_defects import turned

REASONS = ("T-pose", "the pelvis jumps", "the body floats, or is on something")


@pytest.fixture(scope="module")
def bad_take() -> np.ndarray:
    """T-pose, then a walk of 30 s that jumps aside at 10 s and floats for 4 s at 20 s, (632, 22, 3)."""
    walk = ProceduralWalks(5, 600, 600).example(1).joints.astype(np.float64)
    walk[200:] += [0.4, 0.0, 0.0]
    walk[400:480] += [0.0, 0.5, 0.0]
    return with_pose(walk, bind_pose())


@dataclass(frozen=True)
class Taken:
    """Entry of a clip in memory."""

    clip: Clip

    @property
    def name(self):
        return self.clip.name

    def read(self):
        return self.clip


def test_all_frames_are_kept_or_reported(bad_take):
    """Except for margins of defects; pieces contain no defects."""
    cleaning = clean_take(bad_take)
    kept = np.zeros(len(bad_take), dtype=int)
    for start, end in cleaning.pieces:
        assert MIN_PIECE_FRAMES <= end - start <= MAX_PIECE_FRAMES
        kept[start:end] += 1
        assert find_defects(bad_take[start:end]) == []
    gone = np.zeros(len(bad_take), dtype=bool)
    for defect in cleaning.dropped:
        gone[defect.start : defect.end] = True
    assert kept.max() == 1
    assert not (gone & (kept > 0)).any()
    assert (~gone & (kept == 0)).sum() <= 30
    assert kept.sum() > 400
    starts = {reason: [d.start for d in cleaning.dropped if d.reason == reason] for reason in REASONS}
    assert starts["T-pose"] == [0]
    for start, wanted in zip(starts["the pelvis jumps"], (232, 432, 512), strict=True):
        assert abs(start - wanted) <= 3
    (floats,) = starts["the body floats, or is on something"]
    assert 432 <= floats <= 512


def test_result_is_invariant_to_position_and_mirroring(bad_take):
    for other in (turned(bad_take), mirror(bad_take)):
        assert clean_take(other).pieces == clean_take(bad_take).pieces


def test_short_take_is_not_cut(walk):
    assert clean_take(walk[:25]).pieces == ((0, 25),)
    assert clean_take(walk[:15]).pieces == ()


def test_floor_defects_are_ignored_when_climbing(walk):
    """Only if a caption mentions climbing."""
    raised = walk + [0.0, 0.5, 0.0]
    clips = [Clip("it", raised, "train", (Caption(text),)) for text in ("climb ladder", "sit on high stool", "walk")]
    assert [len(clean_clip(clip).clips) for clip in clips] == [1, 1, 0]


def test_short_remainders_between_defects_are_removed(walk):
    joints = walk.copy()
    for frame in (30, 60, 90):
        joints[frame:] += [0.4, 0.0, 0.0]
    cleaning = clean_take(joints)
    assert cleaning.pieces == ()
    short = [defect for defect in cleaning.dropped if defect.reason == "too short to stay"]
    assert len(short) == 4


def test_take_is_cut_at_boundaries_of_long_enough_pieces(walk):
    assert clean_take(walk[:120], boundaries=[90, 20, 60, 75]).pieces == ((0, 60), (60, 120))


def test_sitting_down_and_standing_up_are_parts():
    """A take that does both twice becomes parts that do one, with its label."""
    time = np.arange(270)
    down = np.interp(time, [0, 35, 65, 110, 140, 180, 210, 235, 265, 269], [0.1, 0.1, 1, 1, 0.1, 0.1, 1, 1, 0.1, 0.1])
    down += 0.05 * np.sin(time / 3)  # nobody stands quite still
    label = Caption("sit on stepstool, stand up")
    cleaned = clean_clip(Clip("take", np.stack(list(map(_seated, down))).astype(np.float32), captions=(label,)))
    assert cleaned.report() == []
    assert [len(clip.joints) for clip in cleaned.clips] == pytest.approx([87, 71, 62, 50], abs=2)
    labels = [label_of_part(clip.captions[0].text, clip.joints) for clip in cleaned.clips]
    assert labels == ["sit down on a chair", "stand up from a chair"] * 2


def _seated(share):
    """Pose (22, 3) with bent hips and knees, standing for 0 and seated for 1, feet where they were."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(JOINTS), 1, 1)
    angle = torch.tensor(-np.pi / 2 * share)
    for name in ("left_hip", "right_hip"):
        rotations[JOINTS.index(name)] = torch.tensor(
            [[1, 0, 0], [0, angle.cos(), -angle.sin()], [0, angle.sin(), angle.cos()]]
        )
    for side, sign in (("left", -1), ("right", 1)):  # arms hang
        for name in ("shoulder", "elbow", "wrist"):
            rotations[JOINTS.index(f"{side}_{name}")] = torch.tensor([[0.0, -sign, 0], [sign, 0, 0], [0, 0, 1]])
    joints = forward_kinematics(rotations, torch.zeros(3, dtype=torch.float64)).numpy()
    ankle = joints[JOINTS.index("left_ankle")]
    return joints - [0, joints[:, 1].min() - 0.015, ankle[2]]


def test_clean_clips_are_unchanged(walks):
    for number, walk in enumerate(walks):
        clip = Clip(str(number), walk.numpy(), captions=(Caption("walks", 0.0, 1.0),))
        cleaned = clean_clip(clip)
        assert cleaned.clips == (clip,)
        assert cleaned.report() == []


def test_pieces_inherit_captions(bad_take):
    """They begin at the origin, belong to the take's split, and inherit captions that are mostly inside."""
    captions = (Caption("somebody walks"), Caption("early", 2.0, 9.0), Caption("late", 25.0, 0.0))
    clip = Clip("take", bad_take.astype(np.float32), "test", captions, "walk", "odd")
    cleaned = clean_clip(clip)
    assert [piece.name for piece in cleaned.clips] == [f"take_part{i + 1}" for i in range(len(cleaned.clips))]
    spans = clean_take(clip.joints, [40, 180, 500, len(bad_take)]).pieces
    assert [len(piece.joints) for piece in cleaned.clips] == [end - start for start, end in spans]
    for piece, (start, end) in zip(cleaned.clips, spans, strict=True):
        assert (piece.split, piece.action, piece.style) == ("test", "walk", "odd")
        np.testing.assert_allclose(piece.joints[0, 0, [0, 2]], 0, atol=1e-6)
        np.testing.assert_allclose(piece.joints[..., 1], clip.joints[start:end, :, 1], atol=1e-6)
        assert piece.captions[0] == captions[0]
        for caption in piece.captions[1:]:
            of_take = next(each for each in captions if each.text == caption.text)
            whole = (of_take.start, of_take.end or len(bad_take) / FPS)
            if caption.end:
                assert 0 <= caption.start < caption.end <= (end - start) / FPS + 1e-9
                assert whole[0] - 1e-9 <= start / FPS + caption.start
                assert start / FPS + caption.end <= whole[1] + 1e-9
    told = [caption.text for piece in cleaned.clips for caption in piece.captions[1:]]
    assert sorted(told) == ["early", "late"]


def test_prepare_cleans_clips(bad_take, walk, tmp_path, capsys):
    """Independent of the number of processes; what is removed is reported with totals."""
    clips = [Clip(f"take{i}", bad_take[i:].astype(np.float32)) for i in range(3)] + [Clip("walk", walk)]
    source = Source([Taken(clip) for clip in clips], mirrored=False, licence="mine", files=[])
    cleaned = [clean_clip(clip) for clip in clips]
    stores = [prepare("bvh", source, tmp_path / str(n), clean=True, processes=n) for n in (1, 2)]
    said = capsys.readouterr().err
    for store in stores:
        assert [clip.name for clip in store.clips] == sorted(clip.name for each in cleaned for clip in each.clips)
        assert sum(len(clip.joints) for clip in store.clips) == sum(each.kept for each in cleaned)
    for a, b in zip(stores[0].clips, stores[1].clips, strict=True):
        np.testing.assert_array_equal(a.joints, b.joints)
    for each in cleaned:
        for line in each.report():
            assert said.count(f"thrown away: {line}\n") == 2
    total = CleaningSummary()
    for each in cleaned:
        total.add(each)
    assert total.takes == 4
    assert total.kept < total.frames
    assert said.count(str(total)) == 2


def test_check_lists_what_would_be_removed(walk, tmp_path, write_bandai, run_in_folder, capsys):
    joints = walk.copy()
    joints[60:] += [0.0, 0.0, 0.6]
    write_bandai(tmp_path / "dataset-1_walk_normal_001.bvh", joints)
    run_in_folder(command, "check", "bandai", "--data-root", ".", "--processes", 1, "--clean")
    said = capsys.readouterr().out
    assert "thrown away: dataset-1_walk_normal_001: " in said
    assert "the pelvis jumps" in said
    assert "1 takes of 0.00 hours became" in said
