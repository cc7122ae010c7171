"""The walk from above: wanted and walked."""

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
from visualize.drawing.camera import facing
from visualize.drawing.fonts import families, written
from visualize.drawing.frames import during
from visualize.drawing.goal_glyphs import Arrow, Dots, Line, Link, Mark, Sign, Zone
from visualize.drawing.labels import lines_of
from visualize.drawing.mosaic import check_count, tiled
from visualize.scene import Scene, scenes_of

_PANEL = (0.085, 0.135, 0.885, 0.775)  # left, bottom, width and height of the plot, as shares of the picture

_NEAR = 16  # points from a place to its note, below which they need no line between them
_BESIDE = [
    (side * reach * np.cos(angle), reach * np.sin(angle))
    for reach in (15, 30, 50, 75, 105)
    for angle in np.radians([20, -40, 50, -65, 75])
    for side in (1, -1)
]  # points from a place to where its note may be


def draw_path(
    motions: Motion | Sequence[Motion],
    path: str | Path,
    *,
    goals: GoalSet | Sequence[GoalSet] | None = None,
    titles: Sequence[str] | None = None,
    size: tuple[int, int] = (900, 760),
) -> None:
    """Draw a motion's walk from above, with its goals and how far it missed them, to a PNG; several side by side.

    The body starts looking up the page (+z); its left (+x) is left on the page, so a left turn looks like one.
    The pelvis is dark at first and lighter later, with a tick of where the body faces and the time every second.
    goals: of all motions, or of each. titles: of each; by default what tells them apart. size: of each, in pixels.
    Raises InputError for more motions than a picture has place for.
    """
    several = [motions] if isinstance(motions, Motion) else list(motions)
    check_count(len(several))
    scenes = scenes_of(several, goals, titles)
    with atomic(path) as temporary:
        Image.fromarray(tiled([walk(scene, size) for scene in scenes])).save(temporary)


def walk(scene: Scene, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture (height, width, 3) of one motion that draw_path writes."""
    canvas = drawn(scene, size)
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def drawn(scene: Scene, size: tuple[int, int]) -> FigureCanvasAgg:
    """The same, of size pixels, with everything that is in it."""
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(_PANEL)
    scale = _frame(axes, scene, (size[0] * _PANEL[2], size[1] * _PANEL[3]))
    words = _walk(axes, scene, scale)
    for mark in scene.marks:
        words += _sign(axes, mark, scene, scale)
    _part(words, axes, canvas, scene)
    _words(figure, axes, scene)
    canvas.draw()
    return canvas


def _frame(axes: Axes, scene: Scene, panel: tuple[float, float]) -> float:
    """Limits that show everything with equal scales in a panel of so many pixels, and the grid. Pixels a metre."""
    places = scene.places[:, [0, 2]]
    middle, half = (places.max(axis=0) + places.min(axis=0)) / 2, np.maximum(np.ptp(places, axis=0) / 2 + 0.45, 1.0)
    scale = float((np.array(panel) / (2 * half)).min())
    half = np.array(panel) / 2 / scale
    axes.set_xlim(middle[0] + half[0], middle[0] - half[0])  # x grows to the left of the page
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


def _walk(axes: Axes, scene: Scene, scale: float) -> list[Text]:
    """The pelvis over the floor, where the body faces, and the seconds: one label for those spent in one place."""
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
        place, ahead = joints[0, [0, 2]], facing(joints)
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


def _sign(axes: Axes, mark: Sign, scene: Scene, scale: float) -> list[Text]:
    """Draw one goal; the notes on it."""
    if isinstance(mark, Zone):
        return _zone(axes, mark, scene)
    if isinstance(mark, Link):
        return []
    if isinstance(mark, Arrow):
        return [_arrow(axes, mark, scene, scale)]
    if isinstance(mark, Dots):
        return [_dots(axes, mark, scene)]
    return [_line(axes, mark, scene) if isinstance(mark, Line) else _mark(axes, mark, scene)]


def _zone(axes: Axes, zone: Zone, scene: Scene) -> list[Text]:
    """An obstacle; one that moves in a few of its places, the later the darker, and the way of its middle."""
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


def _arrow(axes: Axes, arrow: Arrow, scene: Scene, scale: float) -> Annotation:
    """An arrow to where the body should face, from where it was then, and how far off it was at most."""
    place = arrow.where(scene.joints, scene.fps)
    tip = place + 46 / scale * arrow.ahead
    look = {"arrowstyle": "-|>", "color": style.GOAL, "lw": 2.4, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=(tip[0], tip[1]), xytext=(place[0], place[1]), arrowprops=look, zorder=4)
    faced = facing(scene.joints[during(arrow.time, arrow.last, scene.fps, len(scene.joints))])
    off = np.degrees(np.arccos(np.clip(faced @ arrow.ahead, -1, 1))).max()
    return _note(axes, tip, f"face {arrow.degrees:g}°, {_when(arrow)}: {_off(scene, arrow, f'{off:.0f}° off')}")


def _dots(axes: Axes, dots: Dots, scene: Scene) -> Annotation:
    """A pose as a small dot for each of its joints, where it begins."""
    places = dots.places(scene.joints, scene.fps)[:, [0, 2]]
    colours = [style.rgb(style.side(joint)) for joint in dots.joints]
    axes.scatter(places[:, 0], places[:, 1], s=14, c=colours, edgecolors=style.GOAL, linewidths=0.9, zorder=6)
    off = _off(scene, dots, f"{100 * dots.miss(scene.joints, scene.fps):.0f} cm off")
    return _note(axes, places.mean(axis=0), f"pose, {_when(dots)}: {off}")


def _when(mark: Mark | Arrow | Dots) -> str:
    return f"{mark.time:.3g} s" if mark.last <= mark.time else f"{mark.time:.3g}–{mark.last:.3g} s"


def _off(scene: Scene, mark: Sign, off: str) -> str:
    """How far off a motion was, unless it ends before."""
    return off if scene.reaches(mark) else "beyond the end"


def _line(axes: Axes, line: Line, scene: Scene) -> Annotation:
    points = np.array(line.points)
    axes.plot(points[:, 0], points[:, 1], color=style.GOAL_PALE, linewidth=9, solid_capstyle="round", zorder=1.9)
    axes.plot(points[:, 0], points[:, 1], color=style.GOAL, linewidth=2.2, dashes=(2.5, 1.5), zorder=2)
    middle = line.at((line.times[0] + line.times[-1]) / 2)
    off = _off(scene, line, f"{100 * line.miss(scene.joints, scene.fps):.0f} cm off on average")
    return _note(axes, middle, f"path, {off}")


def _mark(axes: Axes, mark: Mark, scene: Scene) -> Annotation:
    """A ring for a way-point, a ball for a goal in space, and a thin line to where the joint really was.

    A contact is a small ring.
    """
    place = mark.where(scene.joints, scene.fps)[[0, 2]]
    if scene.reaches(mark):
        reached = scene.at(mark.time)[mark.joint, [0, 2]]
        axes.plot(*np.stack([place, reached]).T, color=style.GOAL, linewidth=1.2, zorder=4)
    if mark.stays:
        axes.plot(*place, "o", markersize=10, color="none", markeredgecolor=style.GOAL, markeredgewidth=2, zorder=6)
    elif mark.on_floor:
        axes.plot(*place, "o", markersize=15, color="none", markeredgecolor=style.GOAL, markeredgewidth=2.6, zorder=6)
        axes.plot(*place, "o", markersize=4, color=style.GOAL, zorder=6)
    else:
        face = style.side(mark.joint)
        axes.plot(*place, "o", markersize=9, color=face, markeredgecolor=style.GOAL, markeredgewidth=2, zorder=6)
    name = "" if mark.on_floor and not mark.stays else JOINTS[mark.joint].replace("_", " ") + ", "
    off = _off(scene, mark, f"{100 * mark.miss(scene.joints, scene.fps):.0f} cm off")
    return _note(axes, place, f"{name}{'stays ' * mark.stays}{_when(mark)}: {off}")


def _note(axes: Axes, place: NDArray, words: str) -> Annotation:
    """Words beside a place, to its right."""
    return axes.annotate(
        words,
        xy=(place[0], place[1]),
        xytext=_BESIDE[0],
        textcoords="offset points",
        color=style.GOAL,
        fontsize=9.5,
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": style.BACKGROUND, "edgecolor": "none", "alpha": 0.8},
        zorder=7,
    )


def _part(words: list[Text], axes: Axes, canvas: FigureCanvasAgg, scene: Scene) -> None:
    """Put notes where they lie over no other words and within the panel, off the walk and the goals if they can, and
    as near to their place as that allows; a thin line leads there from those that are not."""
    renderer, panel = canvas.get_renderer(), axes.get_window_extent()
    taken = [text.get_window_extent(renderer) for text in words if not isinstance(text, Annotation)]
    marks = [mark.places(scene.joints, scene.fps) for mark in scene.marks if not isinstance(mark, Zone)]
    goals = axes.transData.transform(np.concatenate([*marks, np.zeros((0, 3))])[:, [0, 2]])
    walked = axes.transData.transform(scene.joints[:, 0, [0, 2]])

    def harm(box: Bbox) -> float:
        lies_over = box.count_overlaps(taken) + (not panel.x0 <= box.x0 <= box.x1 <= panel.x1)
        return 1e4 * lies_over + 60 * _inside(goals, box.padded(5)) + 3 * _inside(walked, box)

    for text in words:
        if isinstance(text, Annotation):
            choices = [_beside(text, beside, renderer) for beside in _BESIDE]
            harms = [harm(box) + np.hypot(*beside) for beside, box in zip(_BESIDE, choices, strict=True)]
            best = int(np.argmin(harms))
            box = _beside(text, _BESIDE[best], renderer)
            taken.append(box)
            if np.hypot(*_BESIDE[best]) > _NEAR:
                edge = [box.x0 if _BESIDE[best][0] > 0 else box.x1, (box.y0 + box.y1) / 2]
                ends = np.stack([axes.transData.inverted().transform(edge), text.xy])
                axes.plot(*ends.T, color=style.GOAL, linewidth=0.8, zorder=3.5)


def _inside(points: NDArray, box: Bbox) -> int:
    """How many points (n, 2) a box covers."""
    return int(((points > box.min) & (points < box.max)).all(axis=1).sum())


def _beside(note: Annotation, beside: tuple[float, float], renderer: RendererAgg) -> Bbox:
    """Put a note so many points beside its place; the pixels that it then takes."""
    note.set(position=beside, horizontalalignment="left" if beside[0] > 0 else "right", verticalalignment="center")
    return note.get_window_extent(renderer).padded(2)


def _words(figure: Figure, axes: Axes, scene: Scene) -> None:
    lines = [written(line) for line in lines_of(scene.told, axes.bbox.width, size=12 / 0.72, most=2)]
    title = axes.set_title("\n".join(lines), loc="left", color=style.INK, fontsize=12, pad=10, parse_math=False)
    title.set_fontfamily(families())
    axes.plot([], [], color=style.INK, linewidth=3, label="walked (pelvis)")
    axes.plot([], [], color=style.LEFT, marker=r"$\rightarrow$", linestyle="none", markersize=10, label="facing")
    if any(isinstance(mark, Line) for mark in scene.marks):
        axes.plot([], [], color=style.GOAL, linewidth=2.2, dashes=(2.5, 1.5), label="wanted path")
    if any(isinstance(mark, Mark) for mark in scene.marks):
        axes.plot(
            [], [], "o", color="none", markeredgecolor=style.GOAL, markeredgewidth=2.4, markersize=10, label="goal"
        )
    if any(isinstance(mark, Zone) for mark in scene.marks):
        axes.fill([], [], facecolor=style.OBSTACLE, alpha=0.5, edgecolor=style.OBSTACLE, label="stay out")
    figure.legend(loc="lower center", ncols=5, frameon=False, labelcolor=style.INK, fontsize=10)
