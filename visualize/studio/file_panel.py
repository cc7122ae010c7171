"""The panel of files: goals and motions come in and go out, all through the browser."""

from __future__ import annotations

from visualize.studio import words
from visualize.studio.controls import QUIET, Controls
from visualize.studio.files import DOWNLOADS, MAX_UPLOAD_BYTES

ABOUT = {
    "Motion": "a .npz that this studio and the command line read again, with all it was made from",
    "BVH": "for Blender, Maya, MotionBuilder",
    "GLB": "a body with its motion, for Blender, Unity, Unreal, the web",
    "AMASS": "a .npz as SMPL's tools read it",
    "CSV": "the joints' positions",
    "Film": "an .mp4",
}
"""What each download is good for."""


class FilePanel:
    """Loading, saving, taking away."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        gui.add_html(words.box("<b>The plan</b>"))
        controls.uploaded(
            gui.add_upload_button("Load goals (.json)", mime_type=".json", color=QUIET, icon="upload"),
            lambda bench, file: bench.load_goals(file.content),
        )
        controls.pressed(
            gui.add_button("Save goals", color=QUIET, icon="download", hint="with the words, for python -m sample"),
            lambda bench, _: bench.save_goals(),
        )
        gui.add_html(words.box("<b>Motions</b>", top=0.6))
        controls.uploaded(
            gui.add_upload_button("Load a motion", mime_type=".npz,.bvh,.npy", color=QUIET, icon="upload",
                                  hint=f".npz, .bvh or .npy, up to {MAX_UPLOAD_BYTES // 2**20} MB"),
            lambda bench, file: bench.load_motion(file.name, file.content),
        )  # fmt: skip
        controls.pressed(
            gui.add_button_group("Take away", tuple(DOWNLOADS)), lambda bench, value: bench.download(value)
        )
        lines = "".join(f"<div><b>{kind}</b>: {what}</div>" for kind, what in ABOUT.items())
        gui.add_html(words.box(lines))
