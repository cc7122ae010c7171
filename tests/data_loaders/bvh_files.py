"""BVH files of other skeletons, written from this body's joints."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from data_loaders.augment import at_times
from data_loaders.skeleton_mapping import SkeletonMapping, shipped_mappings
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, JOINTS, PARENTS

PELVIS, NECK, HEAD, SPINE3 = (JOINTS.index(name) for name in ("pelvis", "neck", "head", "spine3"))


@dataclass(frozen=True)
class Skeleton:
    """Skeleton with 22 joints of other names and proportions, and a random rest pose."""

    names: dict[str, str]
    unsaid: tuple[str, ...] = ()
    """Joints that the mapping leaves out."""
    size: float = 1.0
    thigh: float = 0.48
    """Length of the thigh as a share of the leg."""
    neck: float = 1.0
    """Length of the neck relative to this body's."""
    unit: float = 0.01
    order: str = "ZXY"
    fps: int = 20
    up: str = "y"
    height: float = 0.0
    """Height of the floor in metres."""
    ends: tuple[str, ...] = ()
    """Joints that are end sites in the file."""

    def moved(self, joints):
        """Joints of the skeleton when it moves like joints (F, 22, 3) of this body."""
        joints = joints.copy()
        joints[:, HEAD] += (self.neck - 1) * (joints[:, NECK] - joints[:, SPINE3])
        joints[:, NECK] += (self.neck - 1) * (joints[:, NECK] - joints[:, SPINE3])
        for leg in ((1, 4, 7), (2, 5, 8)):
            hip, knee, ankle = (joints[:, joint] for joint in leg)
            whole = BONE_LENGTHS[4].item() + BONE_LENGTHS[7].item()
            thigh, shin = self.thigh * whole, (1 - self.thigh) * whole
            line, reach = ankle - hip, np.linalg.norm(ankle - hip, axis=-1, keepdims=True)
            cosine = (thigh**2 + reach**2 - shin**2) / (2 * thigh * reach)
            bend = (knee - hip) - ((knee - hip) * line).sum(-1, keepdims=True) / reach**2 * line
            bend /= np.linalg.norm(bend, axis=-1, keepdims=True)
            joints[:, leg[1]] = hip + thigh * (cosine * line / reach + np.sqrt(1 - cosine**2) * bend)
        return self.size * joints + [0, self.height, 0]

    def write(self, path, walk):
        """Write joints (F, 22, 3) of this body at 20 frames per second as a BVH file of the skeleton."""
        at = self.moved(at_times(walk, np.arange(0, len(walk) - 1, FPS / self.fps)))
        up = "xyz".index(self.up)
        at = at[..., np.argsort([(up + 2) % 3, up, (up + 1) % 3])] / self.unit
        knot = Rotation.random(len(JOINTS), random_state=7)
        turns, lines, numbers = {-1: [Rotation.identity()] * len(at)}, ["HIERARCHY"], []

        def add(joint):
            parent, name = PARENTS[joint], self.names[JOINTS[joint]]
            below = [child for child, above in enumerate(PARENTS) if above == joint]
            rest = at[0, below] - at[0, joint]
            turns[joint] = [
                Rotation.align_vectors(frame[below] - frame[joint], knot[joint].inv().apply(rest))[0]
                if below
                else turns[parent][index]
                for index, frame in enumerate(at)
            ]
            offset = knot[parent].inv().apply(at[0, joint] - at[0, parent]) if joint else at[0, 0]
            end = name in self.ends
            lines.append("End Site" if end else f"{'JOINT' if joint else 'ROOT'} {name}")
            lines.extend(["{", "OFFSET " + " ".join(f"{x:.8f}" for x in offset)])
            if not end:
                local = [turns[parent][index].inv() * turn for index, turn in enumerate(turns[joint])]
                places = "" if joint else "Xposition Yposition Zposition "
                lines.append(f"CHANNELS {3 if joint else 6} {places}{' '.join(f'{a}rotation' for a in self.order)}")
                numbers.extend([] if joint else [at[:, 0]])
                numbers.append([turn.as_euler(self.order, degrees=True) for turn in local])
            for child in below:
                add(child)
            lines.extend(["}"] if below or end else ["End Site", "{", "OFFSET 1 2 3", "}", "}"])

        add(PELVIS)
        lines.extend(["MOTION", f"Frames: {len(at)}", f"Frame Time: {1 / self.fps:.8f}"])
        lines.extend(" ".join(f"{x:.7f}" for x in row) for row in np.concatenate(numbers, axis=1))
        path.write_text("\n".join(lines) + "\n")

    def mapping(self):
        """Mapping of the skeleton's joints."""
        names = {ours: theirs for ours, theirs in self.names.items() if ours not in self.unsaid}
        for ours, theirs in names.items():
            if theirs in self.ends:
                names[ours] = f"{self.names[JOINTS[PARENTS[JOINTS.index(ours)]]]}_end"
        return SkeletonMapping(up=None if self.up == "y" else self.up, joints=names)


PLAIN = {name: f"b{name.title().replace('_', '')}" for name in JOINTS}
CHARACTER = Skeleton(
    {ours: f"mixamorig7:{theirs}" for ours, theirs in shipped_mappings()["mixamo"].joints.items()},
    size=1.13, neck=0.7, order="XYZ", fps=60,
)  # fmt: skip
CAPTURE = Skeleton(
    PLAIN, unsaid=("pelvis", "spine1", "spine2"), size=0.8, thigh=0.53, unit=0.0254, order="ZXY", fps=120, up="z"
)
ROBOT = Skeleton(
    PLAIN, unsaid=("spine3", "left_collar", "right_collar"), thigh=0.42, unit=0.001, order="YXZ", fps=40, up="x",
    height=-0.7, ends=("bLeftFoot", "bRightFoot"),
)  # fmt: skip
SKELETONS = {"character": CHARACTER, "capture": CAPTURE, "robot": ROBOT}
