"""What a motion costs: the variational bound, step by step, and the motion that each part of it buys.

A diffusion model is a code. To send a motion, one sends x_t from T down to 0; each step costs the divergence between
what the sender knows and what the model expects, and the receiver can show x̂0 at any moment. Near T a few nats fix
where the person goes; most is spent on the last millimetre. (Ho et al. 2020, section 4.3: progressive coding.)

    python docs/examples/14_rate_and_distortion.py --models x0-mixed eps-mixed v-mixed
    python docs/examples/14_rate_and_distortion.py --data bandai --data-root DIR
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from data_loaders.datasets import DatasetName, load_examples
from motion_diffusion.atomic_io import atomic
from motion_diffusion.diffusion.variational_bound import Bound, variational_bound
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from train.batches import encoded, pad


@dataclass(frozen=True)
class Options:
    """Bound the likelihood of held-out motions, and draw rate and distortion."""

    models: tuple[str, ...] = ("x0-mixed", "eps-mixed", "v-mixed")
    data: DatasetName = "procedural"
    data_root: Path | None = None
    clips: int = 16
    steps: int = 100
    """Length of the chain; the bound of every length is a bound."""
    seed: int = 0
    out: Path = Path("out/rate_and_distortion.png")


def bound_of(model: MotionModel, options: Options) -> Bound:
    """The bound of the model on the first held-out clips, in nats a number, for the words that belong to each."""
    held_out = load_examples(options.data, options.data_root, frames=model.config.max_frames).held_out
    examples = [held_out.example(i) for i in range(options.clips)]
    x0, frames = encoded(*pad(examples), model)
    denoise = model.denoise_fn([example.text for example in examples], frames, text_scale=1.0)
    generator = torch.Generator().manual_seed(options.seed)

    def noise() -> torch.Tensor:
        return torch.randn(x0.shape, generator=generator)

    times = model.schedule.times(options.steps)
    with tqdm(total=options.steps, desc=model.name, disable=None) as bar:
        return variational_bound(
            denoise, x0, model.schedule, times, noise=noise, frames=frames, on_step=lambda _: bar.update()
        )


@command
def main() -> None:
    options = parse_arguments(Options)
    if options.clips < 1 or not options.models:
        raise InputError("nothing to bound: give --clips 1 or more, and --models")
    figure = Figure(figsize=(11, 4.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    terms, curve = figure.subplots(1, 2)
    print(f"{'nats a number':14}{'bound':>9}{'prior':>11}{'T … T/2':>10}{'T/2 … 0':>10}{'last':>9}")
    for name in options.models:
        model = MotionModel.load(name)
        bound = bound_of(model, options)
        each = bound.terms.mean(0)
        early = torch.tensor(bound.times) > model.schedule.T / 2
        parts = (bound.total.mean(), bound.prior.mean(), each[early].sum(), each[~early][:-1].sum(), each[-1])
        widths = (9, 11, 10, 10, 9)
        print(
            f"{name:14}"
            + "".join(f"{float(part):{w}.{6 if w == 11 else 3}f}" for part, w in zip(parts, widths, strict=True))
        )
        rate, distortion = bound.rate_distortion()
        terms.plot(bound.times[:-1], each[:-1], label=name)
        curve.plot(rate, distortion, label=name)
    terms.set(xlabel="t", ylabel="nats a number", yscale="log", title="what each step costs")
    terms.invert_xaxis()
    curve.set(xlabel="nats a number sent", ylabel="root mean squared error of x̂0", title="what has been bought")
    curve.set(xscale="log", yscale="log", xlim=(1e-3, None))
    for axes in (terms, curve):
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic(options.out) as path:
        figure.savefig(path)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
