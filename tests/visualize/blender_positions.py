"""For Blender: opens a BVH or a GLB and writes where every joint is in every frame.

blender --background --factory-startup --python blender_positions.py -- FILE FPS FRAMES OUT.json
"""

import builtins
import json
import sys

import bpy
import numpy

# Debian's Blender 3.4 runs on Python 3.11 and numpy 1.24, which have dropped what its add-ons still use.
numpy.bool = bool
plain_open = builtins.open
builtins.open = lambda file, mode="r", *more, **others: plain_open(file, mode.replace("U", ""), *more, **others)

path, fps, frames, out = sys.argv[sys.argv.index("--") + 1 :]
for thing in list(bpy.data.objects):
    bpy.data.objects.remove(thing)
scene = bpy.context.scene
scene.render.fps = int(fps)
if path.endswith(".bvh"):
    bpy.ops.import_anim.bvh(filepath=path, update_scene_fps=True)
    first = 1
else:
    bpy.ops.import_scene.gltf(filepath=path)
    first = 0
assert scene.render.fps / scene.render.fps_base == float(fps)
(armature,) = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
positions = []
for frame in range(int(frames)):
    scene.frame_set(first + frame)
    positions.append({bone.name: list(armature.matrix_world @ bone.head) for bone in armature.pose.bones})
with plain_open(out, "w") as file:
    json.dump(positions, file)
