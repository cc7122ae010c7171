"""The reader agrees with plain forward kinematics on random skeletons; bad files are refused with one line."""

import os
import re
import time
import tracemalloc
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_loaders.formats.amc import find_asf, read_amc
from data_loaders.formats.asf import MAX_BONES, read_asf
from motion_diffusion.errors import InputError
from tests import needs
from tests.data_loaders.amc_files import AMC, ASF, plain_positions

UNIT = 0.0254 / 0.45
ORDERS = ["".join(order) for order in permutations("XYZ")]


@pytest.fixture
def write(tmp_path):
    """write(amc, asf): path of a motion 7_1.amc with its skeleton 7.asf beside it."""

    def write(amc=AMC, asf=ASF):
        (tmp_path / "7.asf").write_bytes(asf.encode("latin-1"))
        (tmp_path / "7_1.amc").write_bytes(amc.encode("latin-1"))
        return tmp_path / "7_1.amc"

    return write


def refused(path, **options):
    """refused(…): one-line error message of reading a file, which names the motion or its skeleton."""
    with pytest.raises(InputError) as caught:
        read_amc(path, **options)
    assert str(caught.value).startswith((f"{path}: ", f"{path.with_name('7.asf')}: ", f"{path} lasts "))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_world_positions_of_hand_computed_example(write):
    amc = read_amc(write())
    assert amc.names == ("root", "thigh", "shin")
    assert amc.parents == (-1, 0, 1)
    assert amc.frame_time == 1 / 120
    positions = amc.world() / UNIT
    np.testing.assert_allclose(positions[0], [[1, 2, 3], [1, 0, 3], [1, -3, 3]], atol=1e-12)
    # the root turns -y to +x; the shin, about its own x, turns -y to -z before
    np.testing.assert_allclose(positions[1], [[4, 5, 6], [6, 5, 6], [6, 5, 3]], atol=1e-12)


def test_channels_rotate_about_bone_axes(write):
    """The thigh's x axis is the global y axis according to its `axis`; its z axis is the global one."""
    turned = AMC.replace("thigh 0 0\nshin 90", "thigh 90 0\nshin 0").replace("6 0 0 90", "6 0 0 0")
    bone = np.diff(read_amc(write(turned)).world()[1], axis=0) / UNIT
    np.testing.assert_allclose(bone, [[0, -2, 0], [0, -3, 0]], atol=1e-12)
    turned = AMC.replace("thigh 0 0\nshin 90", "thigh 0 90\nshin 0").replace("6 0 0 90", "6 0 0 0")
    bone = np.diff(read_amc(write(turned)).world()[1], axis=0) / UNIT
    np.testing.assert_allclose(bone, [[2, 0, 0], [3, 0, 0]], atol=1e-12)


@st.composite
def motions(draw):
    """Random skeleton and motion as texts, with any order of bones, axes and channels and any units."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, degrees, named = draw(st.integers(1, 7)), draw(st.booleans()), draw(st.sampled_from(["", "deg", "rad"]))
    in_degrees = degrees if named == "" else named == "deg"

    def numbers(*scale):
        return " ".join(f"{x:.9f}" for x in rng.uniform(-1, 1, 3) * scale)

    def angles(count, degrees):
        return rng.uniform(-180, 180, count) * (1 if degrees else np.pi / 180)

    order = list(rng.permutation(["TX", "TY", "TZ", "RX", "RY", "RZ"]))
    bones, tree, widths = [], [], {"root": order}
    for i in range(count):
        parent = f"b{draw(st.integers(0, i - 1))}" if i and draw(st.booleans()) else "root"
        dof = list(rng.permutation(["rx", "ry", "rz"])[: draw(st.integers(0, 3))])
        widths[f"b{i}"] = dof
        axis = " ".join(f"{x:.9f}" for x in angles(3, degrees))
        bone = ["begin", f"id {i}", f"name b{i}", f"direction {numbers(1)}", f"length {rng.uniform(0.1, 9):.6f}"]
        bone += [f"axis {axis} {draw(st.sampled_from(ORDERS))}"]
        bone += [f"dof {' '.join(dof)}", "limits (-1 1)"] if dof else []
        bones.append([*bone, "end"])
        tree.append(f"{parent} b{i}")
    rng.shuffle(bones)
    rng.shuffle(tree)
    asf = [":version 1.10", ":units", f"length {draw(st.sampled_from(['0.45', '1.0', '2.54']))}",
           f"angle {'deg' if degrees else 'rad'}", ":documentation", "none", ":root", f"order {' '.join(order)}",
           f"axis {draw(st.sampled_from(ORDERS))}", f"position {numbers(30)}",
           "orientation " + " ".join(f"{x:.9f}" for x in angles(3, degrees)),
           ":bonedata", *(line for bone in bones for line in bone), ":hierarchy", "begin", *tree, "end"]  # fmt: skip
    amc = ["# any", ":FULLY-SPECIFIED", *({"deg": [":DEGREES"], "rad": [":RADIANS"]}.get(named, []))]
    irregular, names = draw(st.booleans()), ["root", *(f"b{i}" for i in range(count))]
    rng.shuffle(names)
    for frame in range(draw(st.integers(1, 12))):
        amc.append(str(frame + 1))
        if irregular and frame % 3 == 2:
            rng.shuffle(names)
            amc.append("  # a comment")
        for name in names:
            if name == "root" or not (irregular and frame % 2 and rng.random() < 0.3):
                values = [
                    rng.uniform(-50, 50) if channel[0] == "T" else angles(1, in_degrees)[0] for channel in widths[name]
                ]
                amc.append(" ".join([name, *(f"{x:.9g}" for x in values)]))
    amc += [str(frame + 2), "root 1 2 3 0 0 0"]  # so that the last one is whole, whatever it names
    amc += [f"{name} {'0 ' * len(widths[name])}" for name in names if name != "root"]
    return "\n".join([*asf, ""]), "\n".join([*amc, ""])


@settings(max_examples=150, deadline=None)
@given(texts=motions(), ending=st.sampled_from(["\n", "\r\n"]), chunk=st.sampled_from([7, 300, 2**20]))
def test_world_agrees_with_plain_kinematics(tmp_path_factory, texts, ending, chunk):
    """Within 0.01 mm for all orders, units and chunk sizes."""
    asf, amc = texts
    folder = tmp_path_factory.mktemp("amc")
    (folder / "a.asf").write_bytes(asf.replace("\n", ending).encode())
    (folder / "a.amc").write_bytes(amc.replace("\n", ending).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data_loaders.formats.amc._CHUNK", max(chunk, max(map(len, amc.splitlines())) + 9))
        read = read_amc(folder / "a.amc")
    positions, wanted = read.world(), plain_positions(asf, amc)
    assert set(read.names) == set(wanted)
    for i, name in enumerate(read.names):
        np.testing.assert_allclose(positions[:, i], wanted[name], atol=1e-5)
    some = np.random.default_rng(0).permutation(len(read.names))[: len(read.names) // 2 + 1]
    np.testing.assert_array_equal(read.world(some), positions[:, some])


def test_bulk_parsing_agrees_with_line_parsing(write, monkeypatch):
    rng = np.random.default_rng(0)
    rows = ["{}\nroot {:.4f} {:.4f} {:.4f} {:.4f} {:.4f} {:.4f}\nthigh {:.4f} {:.4e}\nshin {:.4f}\n"] * 3000
    text = AMC[: AMC.index("1\n")] + "".join(
        row.format(number + 1, *rng.normal(0, 50, 9)) for number, row in enumerate(rows)
    )
    path = write(text)
    quick = read_amc(path)
    monkeypatch.setattr("data_loaders.formats.amc._MotionReader.frames_at_once", lambda self, lines, place: 0)
    slow = read_amc(path)
    assert len(slow.values) == 3000
    np.testing.assert_array_equal(quick.values, slow.values)
    monkeypatch.setattr("data_loaders.formats.amc._BLOCK", 700)
    np.testing.assert_allclose(quick.world([2, 1]), slow.world()[:, [2, 1]], atol=1e-12)


def test_unlisted_bones_rest(write):
    path = write(AMC.replace("shin 0\n2", "2") + AMC[AMC.index("1\nroot") :].replace("1\n", "3\n", 1))
    wanted = write(AMC + AMC[AMC.index("1\nroot") :])
    np.testing.assert_array_equal(read_amc(path).world(), read_amc(wanted).world())


def test_angle_unit_defaults_to_that_of_the_skeleton(write):
    radians = ASF.replace("angle deg", "angle rad").replace("0 0 90", f"0 0 {np.pi / 2:.12f}")
    wanted = read_amc(write()).world()
    np.testing.assert_allclose(read_amc(write(asf=radians)).world(), wanted, atol=1e-9)
    turned = AMC.replace("90", f"{np.pi / 2:.12f}")
    np.testing.assert_allclose(read_amc(write(turned.replace("DEGREES", "RADIANS"))).world(), wanted, atol=1e-9)
    np.testing.assert_allclose(read_amc(write(turned.replace(":DEGREES\n", ""), radians)).world(), wanted, atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff".encode().decode("latin-1") + text,
        lambda text: text.replace("\n", " \n\n"),
        lambda text: text.replace(" ", "\t"),
    ],
    ids=["returns", "no end of the last line", "byte order mark", "empty lines", "tabs"],
)
def test_variants_of_other_programs_are_read(write, change):
    wanted = read_amc(write()).world()
    np.testing.assert_array_equal(read_amc(write(change(AMC), ASF)).world(), wanted)
    if "\ufeff".encode().decode("latin-1") not in change(""):
        np.testing.assert_array_equal(read_amc(write(AMC, change(ASF))).world(), wanted)
    np.testing.assert_array_equal(read_amc(write(AMC, ASF.replace("(", "").replace(")", ""))).world(), wanted)


@pytest.mark.parametrize(
    ("motion", "skeleton"),
    [
        ("02_01.amc", "02.asf"),
        ("02/02_01.amc", "02/02.asf"),
        ("amc/HDM_bd_depositFloorR_001_120.amc", "asf/HDM_bd.asf"),
        ("cut/depositFloorR/HDM_bd_depositFloorR_001_120.amc", "HDM_bd.asf"),
        ("cut/squat/HDM_BD_squat_001_120.AMC", "cut/HDM_BD.ASF"),
        ("a/walk.amc", "a/walk.asf"),
        ("a/walk.amc", "a/someone.asf"),
    ],
)
def test_find_asf_searches_folders(tmp_path, motion, skeleton):
    for name in (motion, skeleton):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / motion).write_text(AMC)
    (tmp_path / skeleton).write_text(ASF)
    assert find_asf(tmp_path / motion) == tmp_path / skeleton
    assert len(read_amc(tmp_path / motion).values) == 2
    for other in ("HDM_bk.asf", "03.asf"):
        (tmp_path / motion).with_name(other).write_text(ASF)
    if "someone" not in skeleton:
        assert find_asf(tmp_path / motion) == tmp_path / skeleton
    (tmp_path / skeleton).unlink()
    with pytest.raises(InputError, match=rf"2 \.asf files, none named for it in .*{Path(motion).stem}\.asf"):
        read_amc(tmp_path / motion)


def test_missing_skeleton_is_refused(write):
    path = write()
    path.with_name("7.asf").unlink()
    assert "no .asf file for it in" in refused(path)
    assert refused(path).endswith("put its skeleton there as 7.asf or 7_1.asf")
    with pytest.raises(FileNotFoundError, match=r"no ASF file .*b\.asf"):
        read_amc(path, path.with_name("b.asf"))
    with pytest.raises(FileNotFoundError, match=r"no AMC file .*b\.amc"):
        read_amc(path.with_name("b.amc"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("thigh 0 0\nshin 90", "thigh 0\nshin 90", "line 10: 1 values for thigh, which has 2 channels in"),
        ("thigh 0 0\nshin 90", "thigh 0 0 0\nshin 90", "line 10: 3 values for thigh"),
        ("thigh 0 0\nshin 90", "thigh 0 x\nshin 90", "line 10: '0 x' is not all numbers"),
        ("thigh 0 0\nshin 90", "thigh 0 nan\nshin 90", "line 10: not all numbers are finite"),
        ("thigh 0 0\nshin 90", "thigh 0 1e999\nshin 90", "line 10: not all numbers are finite"),
        ("thigh 0 0\nshin 90", "thigh 0 0\nthigh 0 0", "line 11: thigh is twice in the frame from line 8"),
        ("thigh 0 0\nshin 90", "neck 0 0\nshin 90", "line 10: no bone 'neck' in .*7.asf; give the .asf that belongs"),
        ("thigh 0 0\nshin 90", "thigh 0 \0\nshin 90", "line 10: not a text file"),
        ("thigh 0 0\nshin 90", "shin 90\nthigh 0 0\n3", "line 12: cut off in the frame from line 12, where root"),
        ("\nshin 90\n", "\n", "line 10: cut off in the frame from line 8, where shin should stand"),
        ("\nshin 90\n", "\nsh", "line 11: cut off after 'sh'"),
        ("\nshin 90\n", "\nshin", "line 11: cut off after 'shin'"),
        ("root 1 2 3 0 0 0\n", "", "line 4: a frame without its root"),
        ("1\nroot", "root", "line 4: 'root 1 2 3 0 0 0' where the number of a frame should stand"),
        (AMC[AMC.index("1\n") :], "", "no frames, so it is cut or no AMC file"),
    ],
)
def test_malformed_motion_errors_name_the_line(write, old, new, said):
    assert AMC.count(old) == 1
    assert re.search(said, refused(write(AMC.replace(old, new))))


@pytest.mark.parametrize("bad", ["shin x", "shin nan", "shin 1 2", "foot 1", "root 1 2 3 0 0 0", "shin", "shin 1 \0"])
def test_malformed_line_in_bulk_is_named(write, bad):
    frame = AMC[AMC.index("2\nroot") :]
    lines = (AMC + frame * 4000).splitlines()
    lines[8002] = bad  # was a shin
    assert ": line 8003: " in refused(write("\n".join(lines) + "\n"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("length 0.45", "length 0", "line 6: length 0 is no unit"),
        ("length 0.45", "length long", "line 6: 'long' is not all numbers"),
        ("angle deg", "angle grad", "line 7: angle 'grad', where deg or rad should stand"),
        ("order TX TY TZ RX RY RZ\n", "\n", "the root has no order, such as TX TY TZ RX RY RZ"),
        ("order TX TY", "order TX QY", "line 11: channel 'qy', where tx or ty or"),
        ("order TX TY", "order TX TX", "line 11: 'tx tx tz rx ry rz' has a channel twice"),
        ("axis XYZ\n", "axis XYX\n", "line 12: axis 'XYX' where an order such as XYZ should stand"),
        ("position 0 0 0", "position 0 0", "line 13: 'position 0 0' has 2 values, position needs 3"),
        ("orientation 0 0 0", "orientation 0 0 inf", "line 14: not all numbers are finite"),
        ("0 0 90 XYZ", "0 0 90 XXZ", "line 21: axis 'XXZ' where an order such as XYZ should stand"),
        ("0 0 90 XYZ", "0 0 90", "line 21: 'axis 0 0 90' has 3 values, axis needs 4"),
        ("dof rx rz", "dof rx l", "line 22: channel 'l', where rx or ry or rz should stand"),
        ("dof rx rz", "dof rx rx", "line 22: 'rx rx' has a channel twice"),
        ("length 3", "", "line 34: bone 'shin' from line 26 needs a name, a direction and a length"),
        ("length 3", "length 3 m", "line 30: 'length 3 m' has 2 values, length needs 1"),
        ("name shin", "name thigh", "line 34: a second bone 'thigh'"),
        ("name shin", "name root", "line 34: a second bone 'root'"),
        ("thigh shin", "thigh foot", "line 38: bone 'foot' is not in the section :bonedata"),
        ("thigh shin", "foot shin", "line 38: bone 'foot' is not in the section :bonedata"),
        ("thigh shin", "thigh shin\nroot shin", "line 39: bone 'shin' has two parents, 'thigh' and 'root'"),
        ("thigh shin", "thigh shin\nshin thigh", "line 39: bone 'thigh' has two parents, 'root' and 'shin'"),
        ("thigh shin", "shin shin", "bones shin are not connected to the root"),
        ("root thigh\n    thigh shin", "thigh shin\nshin thigh", "bones thigh, shin are not connected .* in a cycle"),
        ("thigh shin", "thigh root", "line 38: the root is a child of 'thigh'"),
        ("thigh shin", "", "bones shin are not connected to the root"),
        ("  end\n:hierarchy", ":hierarchy", "line 34: ':hierarchy' inside of a bone, where end should stand"),
        ("  end\n  begin\n     id 2", "  begin\n     id 2", "line 25: begin inside of a bone, where end should stand"),
        (":bonedata\n  begin", ":bonedata", "line 16: 'id 1' where begin should stand"),
        (ASF[ASF.index(":hierarchy") :], "", "no section :hierarchy, so it is cut or no ASF file"),
        (ASF[ASF.index("     length 3") :], "", "no section :hierarchy"),
        ("thigh shin", "thigh \x01", "line 38: not a text file"),
    ],
)
def test_malformed_skeleton_errors_name_the_line(write, old, new, said):
    assert ASF.count(old) == 1
    line = refused(write(AMC, ASF.replace(old, new)))
    assert re.search(said, line), line
    assert "again" in line


def test_truncated_motions_are_refused_or_unambiguous(write):
    """Truncation is detected, except where it is ambiguous: AMC files contain no number of frames. A first frame
    without its last bones may be complete, and so may a number without its last digits.
    """
    whole = read_amc(write()).values
    second, last = AMC.index("2\nroot"), AMC.index("shin 90")
    for size in range(len(AMC)):
        path, lines = write(AMC[:size]), AMC[:size].splitlines()
        if lines[-1:] == ["shin 0"]:
            np.testing.assert_array_equal(read_amc(path).values, whole[:1])
        elif size > last and lines[-1] in ("shin 9", "shin 90"):
            assert len(read_amc(path).values) == 2
        elif size < second and len(lines) > 4 and lines[-1] in ("root 1 2 3 0 0 0", "thigh 0 0"):
            np.testing.assert_array_equal(read_amc(path).values, whole[:1])
        else:
            refused(path)


def test_truncated_skeletons_are_refused(write):
    for size in range(ASF.index("thigh shin") + len("thigh shin")):
        refused(write(AMC, ASF[:size]))


@settings(max_examples=200, deadline=None)
@given(
    which=st.booleans(),
    place=st.floats(0, 1),
    new=st.one_of(st.binary(max_size=6), st.sampled_from([b"begin", b"end", b"root", b"\n", b" 1", b"-", b"1e400"])),
    cut=st.integers(0, 12),
)
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path_factory, which, place, new, cut):
    folder = tmp_path_factory.mktemp("amc")
    texts = [AMC.encode("latin-1"), ASF.encode("latin-1")]
    at = int(place * len(texts[which]))
    texts[which] = texts[which][:at] + new + texts[which][at + cut :]
    (folder / "a.amc").write_bytes(texts[0])
    (folder / "a.asf").write_bytes(texts[1])
    complaint = ""
    try:
        assert read_amc(folder / "a.amc").world().shape[2] == 3
    except InputError as error:
        complaint = str(error)
    assert complaint.isprintable()


def test_too_long_motions_are_refused_early(write):
    """Also with many more frames, and without line ends, in bounded memory."""
    frame = AMC[AMC.index("2\nroot") :]
    path = write(AMC + frame * 300_000)
    tracemalloc.start()
    began = time.process_time()
    said = refused(path, max_seconds=60.0)
    assert time.process_time() - began < 5
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()
    assert said == f"{path} lasts 2500 s; give one of up to 60 s, or cut it"
    assert len(read_amc(write(), max_seconds=2 / 120 + 1e-9).values) == 2
    path = write(AMC)
    os.truncate(path, 2**32)
    tracemalloc.start()
    assert "not a text file" in refused(path)
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()


def test_skeleton_size_is_bounded(write, tmp_path):
    path = write()
    os.truncate(path.with_name("7.asf"), 2**33)
    assert "8192 MB is no skeleton" in refused(path)
    bone = "begin\nname b{}\ndirection 0 1 0\nlength 1\nend\n"
    head = ASF[: ASF.index("  begin")]
    for count in (MAX_BONES - 1, MAX_BONES):
        chain = "".join(f"{f'b{i - 1}' if i else 'root'} b{i}\n" for i in range(count))
        write(AMC, head + "".join(bone.format(i) for i in range(count)) + ":hierarchy\nbegin\n" + chain + "end\n")
        began = time.process_time()
        if count < MAX_BONES:
            assert len(read_asf(tmp_path / "7.asf").names) == MAX_BONES
        else:
            assert f"more than {MAX_BONES} bones; give a file of one body" in refused(path)
        assert time.process_time() - began < 1


@pytest.mark.parametrize("fps", [0.0, -1.0, 0.5, 1e5, float("nan")])
def test_implausible_frame_rates_are_refused(write, fps):
    assert "frames per second; give 1 to 1000" in refused(write(), fps=fps)


@pytest.mark.parametrize("name", ["02_01.amc", "135_04.amc", "HDM_bd_squat1Reps_001_120.amc"])
def test_real_motions_agree_with_plain_kinematics(name):
    """Files of CMU and HDM05 against plain kinematics."""
    for path in needs.data(name, f"the file {name} of CMU or HDM05")[:1]:
        amc = read_amc(path)
        asf, text = (file.read_bytes().decode("latin-1") for file in (amc.skeleton.path, path))
        assert len(amc.names) == 31
        positions, wanted = amc.world(), plain_positions(asf, text.partition("\n31\n")[0])
        for i, name in enumerate(amc.names):
            np.testing.assert_allclose(positions[:30, i], wanted[name], atol=1e-5)
        root_height = positions[:, 0, 1]
        assert 0.3 < np.median(root_height) < 1.3  # metres
