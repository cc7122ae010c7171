"""A first motion, in ten lines: words in; a motion file, a picture and a film out.

    python docs/examples/01_first_motion.py

`python -m sample "a happy person walks"` does the same. Bodies are 22 joints in metres, 20 frames a second.
"""

from motion_diffusion.model import MotionModel
from sample.generate import generate
from visualize.film import write_film
from visualize.stills import draw_strip

model = MotionModel.load("v-masks")
(motion,) = generate(model, ["a happy person walks"], [100])
print(motion.joints.shape, motion.seconds)
motion.save("out/first/motion.npz")
draw_strip(motion, "out/first/motion.png")
write_film([motion], "out/first/motion.mp4")
print("wrote out/first/motion.npz, motion.png and motion.mp4")
