"""ASF and AMC files of random skeletons and of this body, and a plain reference implementation of kinematics."""

import numpy as np
from scipy.spatial.transform import Rotation

from data_loaders.augment import at_times
from data_loaders.skeleton_mapping import shipped_mappings
from motion_diffusion.body.skeleton import FPS, JOINTS, PARENTS

ASF = """# comment
:version 1.10
:name VICON
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
   anything: even begin and end
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 2
     axis 0 0 90 XYZ
    dof rx rz
    limits (-160.0 20.0)
           (-70.0 70.0)
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 3
     axis 0 0 0 XYZ
    dof rx
    limits (-10.0 170.0)
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""

AMC = """#!OML:ASF F:\\für\\someone.ASF
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
thigh 0 0
shin 0
2
root 4 5 6 0 0 90
thigh 0 0
shin 90
"""


def plain_positions(asf, amc):
    """Positions (F, 3) in metres of bones' ends by bone, following the specification one frame and bone at a time."""
    section, bones, children, root, units = "", {}, {}, {}, {"length": "1", "angle": "deg"}
    for line in asf.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0][0] == ":":
            section = words[0]
        elif section == ":units":
            units[words[0]] = words[1]
        elif section == ":root":
            root[words[0]] = words[1:]
        elif section == ":bonedata":
            if words[0] == "begin":
                bone = {"axis": ["0", "0", "0", "XYZ"], "dof": []}
            elif words[0] == "end":
                bones[bone["name"][0]] = bone
            else:
                bone[words[0]] = words[1:]
        elif section == ":hierarchy" and len(words) > 1:
            children.setdefault(words[0], []).extend(words[1:])
    metres, degrees, frames = 0.0254 / float(units["length"]), units["angle"] == "deg", []
    in_degrees = degrees
    for line in amc.splitlines():
        words = line.split()
        if words[:1] in ([":DEGREES"], [":RADIANS"]):
            in_degrees = words[0] == ":DEGREES"
        elif words and words[0].isdigit():
            frames.append({})
        elif words and words[0][0] not in ":#":
            frames[-1][words[0]] = [float(word) for word in words[1:]]
    ends = {}
    for frame in frames:

        def place(name, parent_end, parent_turn, frame=frame):
            bone = root if name == "root" else bones[name]
            order = root["order"] if name == "root" else bone["dof"]
            given = dict(zip([word.lower() for word in order], frame.get(name, [0.0] * len(order)), strict=True))
            axis = [*root["orientation"], *root["axis"]] if name == "root" else bone["axis"]
            c = Rotation.from_euler(axis[3].lower(), [float(x) for x in axis[:3]], degrees=degrees)
            m = Rotation.identity()
            for channel, value in given.items():
                if channel[0] == "r":
                    m = Rotation.from_euler(channel[1], value, degrees=in_degrees) * m  # each about a fixed axis
            turn = parent_turn * c * m * c.inv()
            if name == "root":
                end = metres * (np.array(root["position"], float) + [given.get(f"t{axis}", 0.0) for axis in "xyz"])
            else:
                end = parent_end + turn.apply(metres * float(bone["length"][0]) * np.array(bone["direction"], float))
            ends.setdefault(name, []).append(end)
            for child in children.get(name, []):
                place(child, end, turn)

        place("root", None, Rotation.identity())
    return {name: np.array(positions) for name, positions in ends.items()}


BONES = {ours: shipped_mappings()["cmu_acclaim"].joints.get(ours, f"x{ours}") for ours in JOINTS}
"""Names of CMU's bones by this body's joints; collar bones and spine2 are extra bones without counterpart."""


def write_walk(amc, asf, walk, *, fps=120, size=1.0, decimals=6):
    """Write joints (F, 22, 3) of this body at 20 frames per second as bones with CMU's names and random axes."""
    at = at_times(walk, np.arange(0, len(walk) - 1, FPS / fps)) * size * 0.45 / 0.0254
    rng = np.random.default_rng(3)
    axes = Rotation.from_euler("xyz", rng.uniform(-180, 180, (len(JOINTS), 3)), degrees=True)
    rest = Rotation.random(len(JOINTS), random_state=7)
    lines, rows, turns = [], ["root " + "{:.6f} " * 6], [[Rotation.random(random_state=5)] * len(at)]
    values = [np.c_[at[:, 0], [turn.as_euler("xyz", degrees=True) for turn in turns[0]]]]
    for joint in range(1, len(JOINTS)):
        parent, name = PARENTS[joint], BONES[JOINTS[joint]]
        bone = at[:, joint] - at[:, parent]
        direction = rest[joint].apply([0.0, 1.0, 0.0])
        length = np.linalg.norm(bone, axis=-1).mean()
        turns.append([Rotation.align_vectors(frame[None], direction[None])[0] for frame in bone])
        axis = axes[joint]
        local = [
            axis.inv() * above.inv() * turn * axis for above, turn in zip(turns[parent], turns[joint], strict=True)
        ]
        angles = " ".join(f"{x:.9f}" for x in axis.as_euler("xyz", degrees=True))
        lines += ["begin", f"name {name}", "direction " + " ".join(f"{x:.9f}" for x in direction)]
        lines += [f"length {length:.9f}", f"axis {angles} XYZ", "dof rx ry rz", "end"]
        rows.append(f"{name} " + f"{{:.{decimals}f}} " * 3)
        values.append(np.array([turn.as_euler("xyz", degrees=True) for turn in local]))
    tree = [f"{BONES[JOINTS[PARENTS[joint]]]} {BONES[JOINTS[joint]]}" for joint in range(1, len(JOINTS))]
    head = ASF[: ASF.index(":bonedata")]
    asf.parent.mkdir(parents=True, exist_ok=True)
    amc.parent.mkdir(parents=True, exist_ok=True)
    asf.write_text("\n".join([head + ":bonedata", *lines, ":hierarchy", "begin", *tree, "end", ""]))
    with amc.open("w") as file:
        file.write(":FULLY-SPECIFIED\n:DEGREES\n")
        for frame in range(len(at)):
            file.write(f"{frame + 1}\n")
            file.writelines(f"{row.format(*values[i][frame]).strip()}\n" for i, row in enumerate(rows))
