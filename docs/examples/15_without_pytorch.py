"""A motion without PyTorch and without this project: numpy, ONNX Runtime and the library tokenizers.

python -m sample.export_onnx --model v-masks --out model.onnx
python docs/examples/15_without_pytorch.py model.onnx "a tired person walks"

Sampling is DDIM with classifier-free guidance, from the files alone; docs/onnx.md describes them.
"""

import json
import sys
from itertools import pairwise

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def sample(path: str, text: str, noise: np.ndarray) -> np.ndarray:
    """Joints (F, 22, 3) in metres, 20 frames a second, from noise (F, features)."""
    denoiser = onnxruntime.InferenceSession(path)
    encoder = onnxruntime.InferenceSession(path.replace(".onnx", ".text.onnx"))
    about = denoiser.get_modelmeta().custom_metadata_map
    alpha, sigma, mean, std, bound = (
        np.array(json.loads(about[name])) for name in ("alpha", "sigma", "mean", "std", "bound")
    )
    steps, shift, text_scale = (json.loads(about["recommended"])[name] for name in ("steps", "shift", "text_scale"))
    tokenizer = Tokenizer.from_str(encoder.get_modelmeta().custom_metadata_map["tokenizer"])
    ids = np.array([tokenizer.encode(text, add_special_tokens=False).ids[:32]] * 2)
    visible = np.array([[True], [False]]) & (ids >= 0)  # with the words, and without
    context, seen = encoder.run(["context", "seen"], {"ids": ids, "visible": visible})

    inputs = {value.name: value.shape for value in denoiser.get_inputs()}
    condition = {"context": context, "seen": seen, "frames": np.ones((2, len(noise)), bool)}
    if "hints" in inputs:  # of a model that can be given positions; here none are known
        condition["hints"] = np.zeros((2, len(noise), inputs["hints"][-1]), np.float32)
    left = np.linspace(1, 0, steps + 1)
    times = (json.loads(about["first"]) * shift * left / (1 + (shift - 1) * left)).round().astype(int)
    x = noise * np.hypot(alpha[times[0]], sigma[times[0]])
    for t, s in pairwise(times):
        both = np.stack([x, x]).astype(np.float32)
        feed = {"x": both, "view": both, "t": np.array([t, t]), **condition}
        (predicted,) = denoiser.run(["x0"], {name: feed[name] for name in inputs})
        x0 = np.clip(text_scale * predicted[0] + (1 - text_scale) * predicted[1], -bound, bound)
        x = alpha[s] * x0 + sigma[s] * (x - alpha[t] * x0) / sigma[t]
    return joints(x * std + mean)


def joints(features: np.ndarray) -> np.ndarray:
    """Positions (F, 22, 3): yaw, x, z and height of the pelvis, and the other joints as they are from there."""
    half, root = features[:, :1], features[:, [1, 3, 2]]
    side, up, front = np.moveaxis(features[:, 4:67].reshape(-1, 21, 3), -1, 0)
    x, z = (np.cos(2 * half) * side - np.sin(2 * half) * front, np.sin(2 * half) * side + np.cos(2 * half) * front)
    others = np.stack([x, up, z], axis=-1) + root[:, None] * (1, 0, 1)
    return np.concatenate([root[:, None], others], axis=1)


if __name__ == "__main__":
    path, text = sys.argv[1:]
    motion = sample(path, text, np.random.default_rng(0).standard_normal((120, 137)))
    np.savez("joints.npz", joints=motion, fps=20)
    print(f"joints.npz: {len(motion)} frames, the pelvis goes to {motion[-1, 0].round(2)}")
