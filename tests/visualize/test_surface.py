"""Mesh rendering, and surfaces of all bodies."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
from scipy.spatial.transform import Rotation

from motion_diffusion.body.rig import REST
from motion_diffusion.body.skeleton import OFFSETS, PARENTS
from motion_diffusion.errors import InputError
from tests import needs
from tests.data_loaders.amass_files import body_model, skin, write_model
from tests.visualize.pictures import GOALS, film_of, near, pixels
from visualize.bodies.smpl_surface import SmplSurface, load_smpl
from visualize.bodies.surface import Looks, SkinnedSurface, make_surface
from visualize.drawing import style
from visualize.drawing.camera import Camera
from visualize.drawing.canvas import Canvas
from visualize.drawing.stick_figure import Solids
from visualize.film import write_film
from visualize.scene import detect_footprints
from visualize.stills import draw_strip

SIZE = (200, 160)
CAMERA = Camera(np.array([0.2, 0.9, -0.3]), 0.7, 4.0, SIZE, 0.3)
NONE = Solids(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 3)))
TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def ball(place, radius, colour):
    place = np.array([place], dtype=float)
    return Solids(place, place, np.full((1, 2), radius), np.array([style.rgb(colour)]))


@pytest.fixture
def renderer():
    pytest.importorskip("pyvista")
    from visualize.bodies.mesh_renderer import MeshRenderer

    made = MeshRenderer(TETRAHEDRON, np.tile(style.rgb(style.LEFT), (4, 1)), SIZE)
    yield made
    made.close()


def painted(renderer, corners, goals=NONE):
    canvas = Canvas(SIZE)
    before = canvas.image().astype(int)
    renderer.paint(canvas, CAMERA, corners, goals)
    image = canvas.image().astype(int)
    return image, np.abs(image - before).max(axis=-1) > 60


def test_mesh_covers_its_projected_extent(renderer):
    rng = np.random.default_rng(0)
    for _ in range(4):  # the same plotter, moved
        corners = CAMERA.target + rng.uniform(-0.8, 0.8, (4, 3))
        _, seen = painted(renderer, corners)
        rows, columns = seen.nonzero()
        at, _ = CAMERA.project(corners)
        assert columns.min() == pytest.approx(at[:, 0].min(), abs=2.5)
        assert columns.max() == pytest.approx(at[:, 0].max(), abs=2.5)
        assert SIZE[1] - rows.min() == pytest.approx(at[:, 1].max(), abs=2.5)
        assert SIZE[1] - rows.max() == pytest.approx(at[:, 1].min(), abs=2.5)
    assert not painted(renderer, corners + 50 * CAMERA.axes[0])[1].any()  # beside the picture


def test_nearer_objects_occlude_farther_ones(renderer):
    corners = CAMERA.target + 0.5 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    toward = -CAMERA.axes[2]
    for side, seen in ((1, True), (-1, False)):
        goal = ball(CAMERA.target + 1.2 * side * toward, 0.05, style.RIGHT)
        image, _ = painted(renderer, corners, goal)
        column, row = CAMERA.project(goal.start[0])[0]
        red, _, blue = image[round(SIZE[1] - row), round(column)]
        assert (red > blue) == seen


def test_balls_have_a_rim_in_the_goal_colour(renderer):
    image, seen = painted(renderer, CAMERA.target + 50 + np.eye(4, 3), ball(CAMERA.target, 0.3, style.RIGHT))
    rows, columns = seen.nonzero()
    assert np.ptp(columns) == pytest.approx(2 * 0.3 * CAMERA.focal / 4.0, abs=4)
    red, green, _ = np.moveaxis(image, -1, 0)
    rim = seen & (green > red + 20)
    assert rim.sum() > 50
    assert not rim[SIZE[1] // 2 - 5 : SIZE[1] // 2 + 5, SIZE[0] // 2 - 5 : SIZE[0] // 2 + 5].any()
    assert (rows.mean(), columns.mean()) == pytest.approx((SIZE[1] / 2, SIZE[0] / 2), abs=2)


@pytest.mark.parametrize("fps", [20.0, 60.0])
def test_capsule_surface_follows_the_rig(motion, fps):
    pytest.importorskip("pyvista")
    surface = make_surface(motion, Looks(body="capsules"), fps=fps)
    assert isinstance(surface, SkinnedSurface)
    joints = motion.rig.joints.numpy()
    for time in (0.0, 1.0, 99.0):
        vertices = surface.at(time)
        apart = np.linalg.norm(vertices[:, None] - joints[min(round(20 * time), 59)], axis=-1).min(axis=0)
        assert apart.max() < 0.2  # there is skin around every joint


def test_films_and_stills_of_capsules(motion, tmp_path):
    pytest.importorskip("pyvista")
    looks = Looks(body="capsules")
    write_film(motion, tmp_path / "a.mp4", goals=GOALS, looks=looks, size=(320, 240), fps=2)
    for colour in (style.LEFT, style.RIGHT, style.GOAL, style.WALKED):
        assert near(film_of(tmp_path / "a.mp4")[1][2], colour, 60) > 20
    write_film([motion] * 2, tmp_path / "b.mp4", looks=looks, layout="overlay", size=(320, 240), fps=1)
    assert near(film_of(tmp_path / "b.mp4")[1][1], style.LEFT, 25) < 20
    draw_strip(motion, tmp_path / "a.png", looks=looks, poses=4, size=(400, 160))
    assert near(pixels(tmp_path / "a.png"), style.LEFT, 60) > 50


# ---- Anny


def anny_is_there():
    """Whether anny is installed and has built its cache, which takes minutes."""
    try:
        from anny.paths import get_anny_cache_path
    except ImportError:
        return False
    return any(get_anny_cache_path().rglob("build_compact_model_data*"))


@needs.present(anny_is_there(), "the extra anny, with its body prepared")
def test_anny_is_fitted_to_the_skeleton():
    from visualize.bodies.anny_skin import Phenotype, anny_skin

    rest = REST.numpy()
    adult, child = anny_skin(Phenotype()), anny_skin(Phenotype(age=0.36))
    for made in (adult, child):
        np.testing.assert_allclose(made.weights.sum(axis=1), 1)
        for joint in (1, 4, 7, 16, 18, 20):  # limbs go round their joints
            near_joint = np.linalg.norm(made.vertices - rest[joint], axis=1) < 0.13
            assert near_joint.sum() > 30
            centre = (made.vertices[near_joint].min(axis=0) + made.vertices[near_joint].max(axis=0)) / 2
            assert np.linalg.norm(centre - rest[joint]) < 0.08
        assert made.vertices[:, 1].min() == pytest.approx(rest[:, 1].min() - 0.02, abs=0.02)
        mirrored = made.vertices * [-1, 1, 1]
        assert np.linalg.norm(mirrored[:, None] - made.vertices[None, ::200], axis=-1).min(axis=0).max() < 0.01
    head = [made.vertices[made.vertices[:, 1] > rest[15, 1]] for made in (adult, child)]
    assert np.ptp(head[1][:, 0]) > np.ptp(head[0][:, 0])  # a child's is large for its height


@needs.present(anny_is_there(), "the extra anny, with its body prepared")
def test_phenotype_follows_the_prompt():
    from visualize.bodies.anny_skin import Phenotype, anny_skin, phenotype_from_text

    assert phenotype_from_text("a person walks") == Phenotype()
    assert phenotype_from_text("An elderly woman walks") == Phenotype(age=1.0, gender=1.0)
    assert phenotype_from_text("a boy runs").age < 0.5
    assert phenotype_from_text("a strong young man, no heavy one, walks in heavy rain") == Phenotype(
        gender=0.0, muscle=0.95
    )
    assert phenotype_from_text("a person walks with big, strong steps") == Phenotype()
    assert phenotype_from_text("a childish person walks") == Phenotype()
    waist = {}
    for words in ("a thin man", "a man", "a heavy man"):
        vertices = anny_skin(phenotype_from_text(words)).vertices
        waist[words] = np.ptp(vertices[np.abs(vertices[:, 1] - 0.1) < 0.05][:, 2])
    assert list(waist.values()) == sorted(waist.values())


# ---- SMPL, SMPL-H, SMPL-X


def write_body(folder, kind, **changes):
    """Write a body model with random parameters and a skin. Returns its path."""
    if kind != "smpl":
        return write_model(folder, kind, "neutral", **(body_model(kind, 20) | skin(kind) | changes))
    arrays = body_model("smplh", 16) | skin("smplh")
    tree = arrays["kintree_table"][:, :24].copy()
    tree[0, 22:] = 20, 21
    weights = arrays["weights"][:, :24] / arrays["weights"][:, :24].sum(axis=1, keepdims=True)
    cut = {"J_regressor": arrays["J_regressor"][:24], "posedirs": arrays["posedirs"][..., : 9 * 23]}
    kept = {name: array for name, array in arrays.items() if not name.startswith("hands")}
    return write_model(folder, kind, "neutral", **(kept | cut | {"kintree_table": tree, "weights": weights} | changes))


@pytest.mark.parametrize("kind", ["smplh", "smplx"])
def test_smpl_surface_agrees_with_smplx(motion, tmp_path, kind):
    path = write_body(tmp_path, kind)
    path.rename(tmp_path / kind / f"{kind.upper()}_NEUTRAL.npz")
    rig = motion.rig
    surface = SmplSurface.of(rig, kind, "neutral", tmp_path)
    choices = {"use_pca": False, "flat_hand_mean": False, "num_betas": 10, "ext": "npz"}
    theirs = smplx.create(str(tmp_path), kind, gender="neutral", **choices)
    turns = torch.from_numpy(Rotation.from_matrix(rig.rotations[20].numpy()).as_rotvec())
    posed = theirs(global_orient=turns[:1].view(1, -1).float(), body_pose=turns[1:].view(1, -1).float())
    wanted, got = posed.vertices[0].detach().numpy(), surface.at(1.0)
    np.testing.assert_allclose(got - got.mean(axis=0), wanted - wanted.mean(axis=0), atol=1e-4)
    np.testing.assert_array_equal(surface.faces, theirs.faces.astype(int))


@pytest.mark.parametrize("kind", ["smpl", "smplh"])
def test_smpl_feet_follow_the_foot_contacts(motion, tmp_path, kind):
    """The bones differ from ours by up to a fifth: the pelvis moves, feet in contact do not."""
    write_body(tmp_path, kind)
    rig = motion.rig
    surface = SmplSurface.of(rig, kind, "neutral", tmp_path)
    world, rest = rig.world.numpy(), surface.model.rest.double().numpy()
    feet = np.repeat(surface.pelvis[:, None], 22, axis=1)
    for joint, parent in enumerate(PARENTS[1:], 1):
        feet[:, joint] = feet[:, parent] + world[:, parent] @ (rest[joint] - rest[parent])
    steps = detect_footprints(rig.joints.numpy(), 20.0)
    off = []
    for step in steps:
        frames = slice(round(step.time * 20) + 2, round(step.last * 20) - 1)
        off += np.linalg.norm((feet - rig.joints.numpy())[frames, step.toe], axis=-1).tolist()
    assert len(off) > 8
    without = np.linalg.norm((feet - surface.pelvis[:, None] + rig.joints.numpy()[:, :1] - rig.joints.numpy()), axis=-1)
    assert np.mean(off) < 0.035
    assert np.mean(off) < 0.5 * without[:, [10, 11]].mean()


def test_smpl_with_our_bones_keeps_the_pelvis(motion, tmp_path):
    arrays = body_model("smplh") | skin("smplh")
    rest = np.zeros((52, 3))
    for joint, parent in enumerate(PARENTS[1:], 1):
        rest[joint] = rest[parent] + OFFSETS[joint].numpy()
    for joint in range(22):
        vertices, weights = np.arange(10) + 10 * joint, arrays["J_regressor"][joint, 10 * joint : 10 * joint + 10]
        arrays["v_template"][vertices] += rest[joint] - weights @ arrays["v_template"][vertices]
    write_model(tmp_path, "smplh", "neutral", **arrays)
    rig = motion.rig
    surface = SmplSurface.of(rig, "smplh", "neutral", tmp_path)
    np.testing.assert_allclose(surface.pelvis, rig.root.numpy(), atol=1e-5)
    assert surface.colours.shape == arrays["v_template"].shape


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("smplh", {"weights": np.zeros((5, 52))}, r"weights is not \(6890, 52\) finite numbers"),
        ("smplx", {"f": np.full((2, 3), 99999)}, "joints or triangles do not fit"),
        ("smplx", {"f": np.full((2, 3), -1)}, "joints or triangles do not fit"),
        ("smpl", {"f": np.array(3)}, r"f is not \(0, 3\) finite"),
        ("smpl", {"v_template": np.full((6890, 3), np.nan)}, r"v_template is not \(6890, 3\) finite"),
        ("smpl", {"v_template": np.array(1.0)}, r"v_template is not \(6890, 3\) finite"),
        ("smpl", {"weights": np.full((6890, 24), "x")}, r"weights is not \(6890, 24\) finite numbers"),
        ("smpl", {"kintree_table": np.arange(24)}, r"kintree_table is not \(2, 24\) finite"),
        ("smplh", {"hands_meanl": np.zeros(7)}, r"hands_meanl is not \(45,\) finite"),
    ],
)
def test_damaged_model_files_are_refused(tmp_path, kind, changes, said):
    write_body(tmp_path, kind, **changes)
    with pytest.raises(InputError, match=said):
        load_smpl(kind, "neutral", tmp_path)


@pytest.mark.parametrize(("kind", "what"), [("smpl", "SMPL"), ("smplh", "SMPL.H"), ("smplx", "SMPL.X")])
def test_missing_models_name_file_and_source(tmp_path, kind, what):
    with pytest.raises(InputError, match=f"no {what} body model for female: get .*{kind}/female/model.npz"):
        load_smpl(kind, "female", tmp_path)
    arrays = body_model("smplh" if kind == "smpl" else kind)
    write_model(tmp_path, kind, "female", **arrays)
    with pytest.raises(InputError, match="has no skin: posedirs, weights, f missing|has no skin: "):
        load_smpl(kind, "female", tmp_path)


@pytest.mark.parametrize(
    ("body", "module", "extra"),
    [("capsules", "pyvista", "mesh"), ("smplx", "pyvista", "mesh"), ("anny", "anny", "anny")],
)
def test_missing_extras_name_the_package(motion, monkeypatch, body, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf'pip install "motion-diffusion\[{extra}\]"'):
        make_surface(motion, Looks(body=body), fps=20)


def test_unknown_body_is_refused(motion):
    with pytest.raises(InputError, match="unknown body 'robot'; choose one of stick, capsules, anny, smpl"):
        make_surface(motion, replace(Looks(), body="robot", body_models=Path("none")), fps=20)
