"""Folders in HumanML3D's format, computed by its published formulas independently of this project's code."""

import numpy as np
from scipy.spatial.transform import Rotation

HUMANML3D_FACE = (2, 1, 17, 16)
"""Right hip, left hip, right shoulder, left shoulder."""

TEXT = "a person walks ahead.#a/DET person/NOUN walk/VERB ahead/ADV#0.0#0.0\n"


def turned(vectors, half_angles):
    """Vectors (F, J, 3) rotated about the vertical by twice the angle of each frame."""
    turns = Rotation.from_euler("y", 2 * half_angles[:, None])
    return np.stack([turn.apply(frame) for turn, frame in zip(turns, vectors, strict=True)])


def relative_features(joints, face):
    """Features (F - 1, 12·J - 1) of joints (F, J, 3); rotations are noise because they should not be read."""
    across = joints[:, face[0]] - joints[:, face[1]] + joints[:, face[2]] - joints[:, face[3]]
    forward = np.cross([0.0, 1.0, 0.0], across)
    yaw = -np.unwrap(np.arctan2(forward[:, 0], forward[:, 2])) / 2
    yaw[0] = 0.0  # as published, whatever the heading of the first frame is
    steps = np.diff(joints, axis=0)
    local = turned(joints - joints[:, :1] * [1, 0, 1], yaw)
    noise = np.random.default_rng(0).normal(size=(len(steps), 6 * (joints.shape[1] - 1)))
    return np.concatenate(
        [
            np.diff(yaw)[:, None],
            turned(steps[:, :1], yaw[1:])[:, 0, [0, 2]],
            joints[:-1, 0, 1:2],
            local[:-1, 1:].reshape(len(steps), -1),
            noise,
            turned(steps, yaw[:-1]).reshape(len(steps), -1),
            np.zeros((len(steps), 4)),
        ],
        axis=1,
    ).astype(np.float32)


def absolute_features(joints, face):
    """GMD's features: the same with the absolute half angle, x and z of the root."""
    features = relative_features(joints, face)
    features[1:, 0] = np.cumsum(features[:-1, 0])
    features[0, 0] = 0.0
    features[:, 1:3] = joints[:-1, 0, [0, 2]]
    return features


def write_folder(root, motions, face, *, absolute=False):
    """Write motions (F, J, 3) by name, with F - 1 frames each; splits are train, val, test in turn."""
    kind, suffix = ("new_joint_vecs_abs_3d", "_abs_3d") if absolute else ("new_joint_vecs", "")
    for folder in (kind, "new_joints", "texts"):
        (root / folder).mkdir(parents=True)
    arrays = {name: (absolute_features if absolute else relative_features)(m, face) for name, m in motions.items()}
    for name, joints in motions.items():
        np.save(root / kind / f"{name}.npy", arrays[name])
        np.save(root / "new_joints" / f"{name}.npy", joints[:-1].astype(np.float32))
        (root / "texts" / f"{name}.txt").write_text(TEXT)
    for i, split in enumerate(("train", "val", "test")):
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in list(motions)[i::3]))
    together = np.concatenate(list(arrays.values()))
    np.save(root / f"Mean{suffix}.npy", together.mean(axis=0))
    std = together.std(axis=0)
    std[1:3] = std[1:3].mean()
    np.save(root / f"Std{suffix}.npy", std)
