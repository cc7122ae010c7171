"""Top-down view of pelvis path and goals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image

from guidance.goals.goal_set import GoalSet
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import JOINTS
from visualize.drawing import style
from visualize.drawing.camera import facing_direction
from visualize.drawing.canvas import check_count, tile, wrap_text
from visualize.drawing.goal_glyphs import (
    Glyph,
    HeadingGlyph,
    JointGlyph,
    ObstacleGlyph,
    PathGlyph,
    PoseGlyph,
    RelationGlyph,
    frame_slice,
)
from visualize.drawing.style import font_families, printable
from visualize.scene import Scene, make_scenes

_AXES_BOX = (0.085, 0.135, 0.885, 0.775)  # left, bottom, width and height of the axes, relative to the picture
_MIN_LEADER = 16  # points between a position and its note from which a leader line is drawn
_NOTE_OFFSETS = [
    (side * reach * np.cos(angle), reach * np.sin(angle))
    for reach in (15, 30, 50, 75, 105)
    for angle in np.radians([20, -40, 50, -65, 75])
    for side in (1, -1)
]  # candidate offsets of a note, points


def draw_path(
    motions: Motion | Sequence[Motion],
    path: str | Path,
    *,
    goals: GoalSet | Sequence[GoalSet] | None = None,
    titles: Sequence[str] | None = None,
    size: tuple[int, int] = (900, 760),
) -> None:
    """Draw the pelvis path from above, with the goals and their errors, to a PNG; several motions side by side.

    The body starts facing up the page (+z), and its left (+x) is left on the page. The path is dark at first and
    lighter later; every second is marked with its time and the facing.

    Args:
        motions: one or several.
        path: of the PNG.
        goals: of all motions, or one set per motion.
        titles: one per motion; by default what distinguishes them.
        size: width and height of each panel, pixels.

    Raises:
        InputError: for more motions than fit into a picture.
    """
    several = [motions] if isinstance(motions, Motion) else list(motions)
    check_count(len(several))
    scenes = make_scenes(several, goals, titles)
    with atomic(path) as temporary:
        Image.fromarray(tile([render_topdown(scene, size) for scene in scenes])).save(temporary)


def render_topdown(scene: Scene, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Render the picture (height, width, 3) of one motion."""
    canvas = draw_canvas(scene, size)
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_canvas(scene: Scene, size: tuple[int, int]) -> FigureCanvasAgg:
    """Draw one motion to a matplotlib canvas of `size` pixels."""
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(_AXES_BOX)
    scale = _set_up_axes(axes, scene, (size[0] * _AXES_BOX[2], size[1] * _AXES_BOX[3]))
    words = _draw_pelvis_path(axes, scene, scale)
    for glyph in scene.glyphs:
        words += _draw_glyph(axes, glyph, scene, scale)
    _place_notes(words, axes, canvas, scene)
    _add_title_and_legend(figure, axes, scene)
    canvas.draw()
    return canvas


def _set_up_axes(axes: Axes, scene: Scene, panel: tuple[float, float]) -> float:
    """Set limits of equal scale that show everything in a panel of `panel` pixels, and the grid. Returns pixels per
    metre."""
    places = scene.visible_points[:, [0, 2]]
    middle, half = (places.max(axis=0) + places.min(axis=0)) / 2, np.maximum(np.ptp(places, axis=0) / 2 + 0.45, 1.0)
    scale = float((np.array(panel) / (2 * half)).min())
    half = np.array(panel) / 2 / scale
    axes.set_xlim(middle[0] + half[0], middle[0] - half[0])  # x increases to the left
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
    axes.set_aspect("equal")
    axes.set_xlabel("x in metres (the body's left at the start is left)", color=style.INK)
    axes.set_ylabel("z in metres (ahead at the start is up)", color=style.INK)
    axes.set_facecolor(style.BACKGROUND)
    axes.grid(color="#e1e5eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=style.FAINT_INK)
    return scale


def _draw_pelvis_path(axes: Axes, scene: Scene, scale: float) -> list[Text]:
    """Draw the pelvis path, the facing and the seconds, with one label for consecutive seconds in one place."""
    walked = scene.joints[:, 0, [0, 2]].astype(np.float64)
    share = np.linspace(0, 1, max(len(walked) - 1, 1))
    colours = style.mix(style.rgb(style.INK), style.rgb(style.FAINT_INK), share)
    pieces = np.stack([walked[:-1], walked[1:]], axis=1)
    axes.add_collection(LineCollection(list(pieces), colors=colours, linewidths=3.0, capstyle="round", zorder=3))
    stays: list[list[int]] = []
    at: list[Text] = []
    for second in range(0, int(scene.seconds + 1e-6) + 1, max(1, round(scene.seconds / 12))):
        place = scene.at(second)[0, [0, 2]]
        if stays and np.linalg.norm(place - scene.at(stays[-1][0])[0, [0, 2]]) * scale < 24:
            stays[-1].append(second)
        else:
            stays.append([second])
    for stay in stays:
        joints = scene.at(stay[-1])
        place, ahead = joints[0, [0, 2]], facing_direction(joints)
        tip = place + 30 / scale * ahead
        arrow = {"arrowstyle": "-|>", "color": style.LEFT, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=(tip[0], tip[1]), xytext=(place[0], place[1]), arrowprops=arrow, zorder=4)
        axes.plot(*place, "o", color="white", markeredgecolor=style.INK, markersize=6, zorder=5)
        beside = place + 20 / scale * np.array([-ahead[1], ahead[0]])
        words = f"{stay[0]} s" if len(stay) == 1 else f"{stay[0]}–{stay[-1]} s"
        at.append(
            axes.text(beside[0], beside[1], words, color=style.INK, fontsize=8.5, ha="center", va="center", zorder=8)
        )
    return at


def _draw_glyph(axes: Axes, glyph: Glyph, scene: Scene, scale: float) -> list[Text]:
    """Draw one goal. Returns its notes."""
    if isinstance(glyph, ObstacleGlyph):
        return _draw_obstacle(axes, glyph, scene)
    if isinstance(glyph, RelationGlyph):
        return []
    if isinstance(glyph, HeadingGlyph):
        return [_draw_heading(axes, glyph, scene, scale)]
    if isinstance(glyph, PoseGlyph):
        return [_draw_pose(axes, glyph, scene)]
    return [_draw_path(axes, glyph, scene) if isinstance(glyph, PathGlyph) else _draw_joint(axes, glyph, scene)]


def _draw_obstacle(axes: Axes, zone: ObstacleGlyph, scene: Scene) -> list[Text]:
    """Draw an obstacle; a moving one at several times, later ones darker, with the path of its centre."""
    moments = zone.moments(scene.seconds)
    for place, moment in enumerate(moments, 1):
        x, z = zone.outline(moment).T
        axes.fill(x, z, facecolor=style.OBSTACLE, alpha=0.5 * place / len(moments), edgecolor="none", zorder=1.5)
        axes.plot(np.append(x, x[0]), np.append(z, z[0]), color=style.OBSTACLE, linewidth=1.4, zorder=1.6)
    if len(moments) == 1:
        return []
    way = np.array([zone.outline(moment).mean(axis=0) for moment in moments])
    axes.plot(way[1:-1, 0], way[1:-1, 1], color=style.OBSTACLE, linewidth=1.2, dashes=(2, 2), zorder=1.7)
    return [
        axes.text(x, z, f"{moment:.3g} s", color=style.INK, fontsize=8, ha="center", va="center", zorder=7)
        for moment, (x, z) in zip((moments[0], moments[-1]), way[[0, -1]], strict=True)
    ]


def _draw_heading(axes: Axes, arrow: HeadingGlyph, scene: Scene, scale: float) -> Annotation:
    """Draw an arrow along the target heading from the position at that time, with the maximum error."""
    place = arrow.where(scene.joints, scene.fps)
    tip = place + 46 / scale * arrow.ahead
    look = {"arrowstyle": "-|>", "color": style.GOAL, "lw": 2.4, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=(tip[0], tip[1]), xytext=(place[0], place[1]), arrowprops=look, zorder=4)
    faced = facing_direction(scene.joints[frame_slice(arrow.time, arrow.last, scene.fps, len(scene.joints))])
    off = np.degrees(np.arccos(np.clip(faced @ arrow.ahead, -1, 1))).max()
    return _add_note(
        axes, tip, f"face {arrow.degrees:g}°, {_time_text(arrow)}: {_miss_text(scene, arrow, f'{off:.0f}° off')}"
    )


def _draw_pose(axes: Axes, dots: PoseGlyph, scene: Scene) -> Annotation:
    """Draw the first frame of a pose target as one dot per joint."""
    places = dots.visible_points(scene.joints, scene.fps)[:, [0, 2]]
    colours = [style.rgb(style.side_colour(joint)) for joint in dots.joints]
    axes.scatter(places[:, 0], places[:, 1], s=14, c=colours, edgecolors=style.GOAL, linewidths=0.9, zorder=6)
    off = _miss_text(scene, dots, f"{100 * dots.miss(scene.joints, scene.fps):.0f} cm off")
    return _add_note(axes, places.mean(axis=0), f"pose, {_time_text(dots)}: {off}")


def _time_text(glyph: JointGlyph | HeadingGlyph | PoseGlyph) -> str:
    return f"{glyph.time:.3g} s" if glyph.last <= glyph.time else f"{glyph.time:.3g}–{glyph.last:.3g} s"


def _miss_text(scene: Scene, glyph: Glyph, off: str) -> str:
    """The error, or "beyond the end" if the motion ends before the goal."""
    return off if scene.covers(glyph) else "beyond the end"


def _draw_path(axes: Axes, line: PathGlyph, scene: Scene) -> Annotation:
    points = np.array(line.points)
    axes.plot(points[:, 0], points[:, 1], color=style.GOAL_PALE, linewidth=9, solid_capstyle="round", zorder=1.9)
    axes.plot(points[:, 0], points[:, 1], color=style.GOAL, linewidth=2.2, dashes=(2.5, 1.5), zorder=2)
    middle = line.at((line.times[0] + line.times[-1]) / 2)
    off = _miss_text(scene, line, f"{100 * line.miss(scene.joints, scene.fps):.0f} cm off on average")
    return _add_note(axes, middle, f"path, {off}")


def _draw_joint(axes: Axes, glyph: JointGlyph, scene: Scene) -> Annotation:
    """Draw a ring for a way-point, a small ring for a contact or a ball for a joint target, and a line to the joint."""
    place = glyph.where(scene.joints, scene.fps)[[0, 2]]
    if scene.covers(glyph):
        reached = scene.at(glyph.time)[glyph.joint, [0, 2]]
        axes.plot(*np.stack([place, reached]).T, color=style.GOAL, linewidth=1.2, zorder=4)
    if glyph.stays:
        axes.plot(*place, "o", markersize=10, color="none", markeredgecolor=style.GOAL, markeredgewidth=2, zorder=6)
    elif glyph.on_floor:
        axes.plot(*place, "o", markersize=15, color="none", markeredgecolor=style.GOAL, markeredgewidth=2.6, zorder=6)
        axes.plot(*place, "o", markersize=4, color=style.GOAL, zorder=6)
    else:
        face = style.side_colour(glyph.joint)
        axes.plot(*place, "o", markersize=9, color=face, markeredgecolor=style.GOAL, markeredgewidth=2, zorder=6)
    name = "" if glyph.on_floor and not glyph.stays else JOINTS[glyph.joint].replace("_", " ") + ", "
    off = _miss_text(scene, glyph, f"{100 * glyph.miss(scene.joints, scene.fps):.0f} cm off")
    return _add_note(axes, place, f"{name}{'stays ' * glyph.stays}{_time_text(glyph)}: {off}")


def _add_note(axes: Axes, place: NDArray, words: str) -> Annotation:
    """Add text to the right of a position."""
    return axes.annotate(
        words,
        xy=(place[0], place[1]),
        xytext=_NOTE_OFFSETS[0],
        textcoords="offset points",
        color=style.GOAL,
        fontsize=9.5,
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": style.BACKGROUND, "edgecolor": "none", "alpha": 0.8},
        zorder=7,
    )


def _place_notes(words: list[Text], axes: Axes, canvas: FigureCanvasAgg, scene: Scene) -> None:
    """Move notes to positions where they overlap no text, and if possible neither path nor goals.

    A note that is far from its position gets a leader line.
    """
    renderer, panel = canvas.get_renderer(), axes.get_window_extent()
    taken = [text.get_window_extent(renderer) for text in words if not isinstance(text, Annotation)]
    glyphs = [
        glyph.visible_points(scene.joints, scene.fps) for glyph in scene.glyphs if not isinstance(glyph, ObstacleGlyph)
    ]
    goals = axes.transData.transform(np.concatenate([*glyphs, np.zeros((0, 3))])[:, [0, 2]])
    walked = axes.transData.transform(scene.joints[:, 0, [0, 2]])

    def penalty(box: Bbox) -> float:
        lies_over = box.count_overlaps(taken) + (not panel.x0 <= box.x0 <= box.x1 <= panel.x1)
        return 1e4 * lies_over + 60 * _inside(goals, box.padded(5)) + 3 * _inside(walked, box)

    for text in words:
        if isinstance(text, Annotation):
            choices = [_move_note(text, beside, renderer) for beside in _NOTE_OFFSETS]
            penalties = [penalty(box) + np.hypot(*beside) for beside, box in zip(_NOTE_OFFSETS, choices, strict=True)]
            best = int(np.argmin(penalties))
            box = _move_note(text, _NOTE_OFFSETS[best], renderer)
            taken.append(box)
            if np.hypot(*_NOTE_OFFSETS[best]) > _MIN_LEADER:
                edge = [box.x0 if _NOTE_OFFSETS[best][0] > 0 else box.x1, (box.y0 + box.y1) / 2]
                ends = np.stack([axes.transData.inverted().transform(edge), text.xy])
                axes.plot(*ends.T, color=style.GOAL, linewidth=0.8, zorder=3.5)


def _inside(points: NDArray, box: Bbox) -> int:
    """Number of points (n, 2) inside a box."""
    return int(((points > box.min) & (points < box.max)).all(axis=1).sum())


def _move_note(note: Annotation, beside: tuple[float, float], renderer: RendererAgg) -> Bbox:
    """Move a note to an offset in points from its position. Returns its bounding box in pixels."""
    note.set(position=beside, horizontalalignment="left" if beside[0] > 0 else "right", verticalalignment="center")
    return note.get_window_extent(renderer).padded(2)


def _add_title_and_legend(figure: Figure, axes: Axes, scene: Scene) -> None:
    lines = [printable(line) for line in wrap_text(scene.full_title, axes.bbox.width, size=12 / 0.72, most=2)]
    title = axes.set_title("\n".join(lines), loc="left", color=style.INK, fontsize=12, pad=10, parse_math=False)
    title.set_fontfamily(font_families())
    axes.plot([], [], color=style.INK, linewidth=3, label="walked (pelvis)")
    axes.plot([], [], color=style.LEFT, marker=r"$\rightarrow$", linestyle="none", markersize=10, label="facing")
    if any(isinstance(glyph, PathGlyph) for glyph in scene.glyphs):
        axes.plot([], [], color=style.GOAL, linewidth=2.2, dashes=(2.5, 1.5), label="wanted path")
    if any(isinstance(glyph, JointGlyph) for glyph in scene.glyphs):
        axes.plot(
            [], [], "o", color="none", markeredgecolor=style.GOAL, markeredgewidth=2.4, markersize=10, label="goal"
        )
    if any(isinstance(glyph, ObstacleGlyph) for glyph in scene.glyphs):
        axes.fill([], [], facecolor=style.OBSTACLE, alpha=0.5, edgecolor=style.OBSTACLE, label="stay out")
    figure.legend(loc="lower center", ncols=5, frameon=False, labelcolor=style.INK, fontsize=10)
