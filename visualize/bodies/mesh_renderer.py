"""Shaded meshes, rendered by VTK without a display and composited on a Canvas."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from visualize.drawing import style
from visualize.drawing.camera import FIELD_OF_VIEW, Camera
from visualize.drawing.canvas import Canvas
from visualize.drawing.stick_figure import Solids

Array = NDArray[np.float64]
Faces = NDArray[np.int64]
_LIGHTS = (((-0.7, 0.9, 1.0), 0.62), ((0.8, 0.1, 1.0), 0.22))  # direction in camera coordinates, and intensity
_SURFACE = {"ambient": 0.5, "diffuse": 0.95, "specular": 0.10, "specular_power": 12.0}


class MeshRenderer:
    """Renders moving triangles and balls with one plotter, whose meshes are updated in place."""

    def __init__(self, faces: Faces, colours: Array, size: tuple[int, int], *, smooth: int = 2) -> None:
        """Create the plotter.

        Args:
            faces: (T, 3) vertex indices.
            colours: (V, 3), 0…1.
            size: width and height of the pictures, pixels.
            smooth: supersampling factor per side.
        """
        pyvista, vtk = import_module("pyvista"), import_module("vtkmodules.vtkCommonCore")  # optional dependencies
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)  # suppress warnings about the missing display
        self._size, self._smooth, self._pixels = size, smooth, vtk.vtkUnsignedCharArray()
        window = [size[0] * smooth, size[1] * smooth]
        self._plotter = plotter = pyvista.Plotter(off_screen=True, window_size=window, lighting="none")
        for position, intensity in _LIGHTS:
            plotter.add_light(pyvista.Light(position=position, intensity=intensity, light_type="camera light"))
        self._bodies, _ = _mesh(plotter, np.zeros((len(colours), 3)), faces, colours)
        self._vertex_faces = _vertex_faces(faces, len(colours))
        ball = pyvista.Icosphere(nsub=2)
        self._ball, self._ball_faces = np.asarray(ball.points, dtype=np.float64), np.asarray(ball.regular_faces)
        self._balls, self._balls_actor = _mesh(plotter, self._ball, self._ball_faces, np.zeros_like(self._ball))
        plotter.disable_anti_aliasing()
        plotter.renderer.SetBackground(0, 0, 0)
        plotter.renderer.SetBackgroundAlpha(0)
        plotter.render_window.SetAlphaBitPlanes(1)

    def paint(self, canvas: Canvas, camera: Camera, vertices: Array, goals: Solids) -> None:
        """Paint bodies with vertices (V, 3) in metres, and goals as balls with a rim."""
        self._bodies.points[:] = vertices
        self._bodies.point_data["Normals"][:] = _normals(vertices, self._bodies.regular_faces, self._vertex_faces)
        self._bodies.GetPoints().Modified()
        self._bodies.Modified()
        everything = np.concatenate([vertices, self._place(goals, camera)])
        self._look(camera)
        self._plotter.render_window.Render()
        pixels, _ = camera.project(everything)
        low = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 1, 0, self._size)
        high = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 1, 0, self._size)
        if (high > low).all():
            canvas.blend(self._picture(low, high), int(low[0]), int(low[1]))

    def _place(self, goals: Solids, camera: Camera) -> Array:
        """Place balls, and the bones between two; returns their vertices."""
        self._balls_actor.visibility = len(goals.start) > 0
        if not len(goals.start):
            return np.zeros((0, 3))
        along = goals.end - goals.start
        far = self._ball @ along[..., None] > 0  # (n, V, 1): which half of a ball is moved to the end
        ends = np.where(far, goals.end[:, None], goals.start[:, None])
        radii = np.where(far, goals.radii[:, None, 1:], goals.radii[:, None, :1])
        points = (ends + radii * self._ball).reshape(-1, 3)
        normals = np.tile(self._ball, (len(along), 1))
        eye = camera.target - camera.distance * camera.axes[2]
        view = (eye - points) / np.linalg.norm(eye - points, axis=-1, keepdims=True)
        rim = np.clip(2.2 - 3.2 * (normals * view).sum(axis=-1), 0, 1)
        colours = style.mix(np.repeat(goals.colours, len(self._ball), axis=0), style.rgb(style.GOAL), rim)
        faces = (self._ball_faces + len(self._ball) * np.arange(len(along))[:, None, None]).reshape(-1, 3)
        self._balls.copy_from(_poly(points, faces, colours, normals))
        return points

    def _look(self, camera: Camera) -> None:
        right_up_ahead = camera.axes
        vtk = self._plotter.renderer.GetActiveCamera()
        vtk.SetPosition(*(camera.target - camera.distance * right_up_ahead[2]))
        vtk.SetFocalPoint(*camera.target)
        vtk.SetViewUp(*right_up_ahead[1])
        vtk.SetViewAngle(float(np.degrees(FIELD_OF_VIEW)))
        self._plotter.renderer.ResetCameraClippingRange()

    def _picture(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Downsampled pixels (height, width, 4) between a lower left and an upper right corner, top row first."""
        (left, bottom), (right, top) = low * self._smooth, high * self._smooth - 1
        self._plotter.render_window.GetRGBACharPixelData(left, bottom, right, top, 0, self._pixels)
        wide, tall, smooth = right - left + 1, top - bottom + 1, self._smooth
        fine = np.frombuffer(self._pixels, dtype=np.uint8).reshape(tall, wide, 4)[::-1]
        total = np.zeros((tall // smooth, wide // smooth, 4), dtype=np.uint16)
        for row, column in np.ndindex(smooth, smooth):
            total += fine[row::smooth, column::smooth]
        return (total // smooth**2).astype(np.uint8)

    def close(self) -> None:
        """Free the plotter."""
        self._plotter.close()


def _poly(points: Array, faces: Faces, colours: Array, normals: Array) -> Any:
    """VTK mesh of vertices (V, 3) and faces (T, 3), with colours and normals (V, 3)."""
    poly = import_module("pyvista").PolyData.from_regular_faces(points.astype(np.float32), faces)
    poly.point_data["colours"] = np.round(255 * colours).astype(np.uint8)
    poly.point_data["Normals"] = normals.astype(np.float32)
    poly.point_data.active_normals_name = "Normals"
    return poly


def _mesh(plotter: Any, points: Array, faces: Faces, colours: Array) -> tuple[Any, Any]:
    """Add a mesh to a plotter; returns the mesh and its VTK actor."""
    poly = _poly(points, faces, colours, np.zeros_like(points))
    actor = plotter.add_mesh(poly, scalars="colours", rgb=True, render=False, **_SURFACE)
    actor.prop.interpolation = "gouraud"
    return poly, actor


def _vertex_faces(faces: Faces, vertices: int) -> csr_array:
    """Incidence matrix (V, T) of vertices and triangles."""
    where = faces.ravel(), np.repeat(np.arange(len(faces)), 3)
    return csr_array((np.ones(faces.size, dtype=np.float64), where), shape=(vertices, len(faces)))


def _normals(vertices: Array, faces: Faces, vertex_faces: csr_array) -> Array:
    """Unit normals (V, 3): the area-weighted mean over adjacent triangles."""
    a, b, c = vertices[faces.T]
    normals: Array = vertex_faces @ np.cross(b - a, c - a)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
