"""ONNX Runtime computes what PyTorch computes, with the weights that the network has now, or says why it cannot."""

import copy
import dataclasses

import pytest
import torch

from motion_diffusion import engine
from motion_diffusion.engine import Engine, OnnxDenoiser
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network import onnx_graph
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig
from motion_diffusion.sampling import sample_features

SIZES = DenoiserConfig(features=7, text_dim=6, width=32, depth=2, heads=2, frame_width=16)


def make_network(**sizes):
    torch.manual_seed(0)
    network = Denoiser(dataclasses.replace(SIZES, **sizes))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    return network.eval().requires_grad_(False)


def inputs(network, batch=2, frames=9, words=4):
    """Arguments of `Denoiser.forward`; the last motion and its text are shorter than the others."""
    sizes, generator = network.config, torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    exist, visible = torch.ones(batch, frames, dtype=torch.bool), torch.ones(batch, words, dtype=torch.bool)
    exist[-1, 1 + frames // 2 :] = visible[-1, 1:] = False
    context = network.text(draw(batch, words, sizes.text_dim), visible)
    angle = torch.linspace(0.1, 1.5, batch)
    hints = draw(batch, frames, sizes.hints) if sizes.hints else None
    view = draw(batch, frames, sizes.features) if sizes.hints else None
    return draw(batch, frames, sizes.features), angle.cos(), angle.sin(), *context, exist, hints, view


@pytest.mark.parametrize("shape", [(2, 9, 4), (1, 1, 1), (3, 8, 2)])
@pytest.mark.parametrize("sizes", [{}, {"hints": 5}, {"outputs": 2}, {"outputs": 2, "hints": 3, "frames_per_token": 3}])
def test_the_graph_is_the_network(sizes, shape):
    network = make_network(**sizes)
    every = inputs(network, *shape)
    torch.testing.assert_close(OnnxDenoiser(network, 1)(*every), network(*every), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["onnx", "auto"])
def test_the_engine_follows_the_weights(name, monkeypatch):
    """Weights that were changed in place, replaced, and those of another network."""
    monkeypatch.setattr(engine, "_seconds", lambda candidates, inputs: [1.0, 2.0])
    network, evaluate = make_network(), Engine(name)
    every = inputs(network)
    before = evaluate(network, *every)
    network.frame_out.weight.mul_(2)
    changed = evaluate(network, *every)
    assert not torch.allclose(changed, before, atol=1e-3)
    torch.testing.assert_close(changed, network(*every), atol=2e-5, rtol=1e-4)
    for other in (make_network(), copy.deepcopy(network)):
        other.load_state_dict({name: 1.1 * value for name, value in other.state_dict().items()}, assign=True)
        torch.testing.assert_close(evaluate(other, *every), other(*every), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("onnx", "torch_", "faster"), [(1.0, 2.0, True), (0.95, 1.0, False), (2.0, 1.0, False)])
def test_auto_takes_the_faster_and_measures_once(onnx, torch_, faster, monkeypatch):
    measured = []

    def seconds(candidates, inputs):
        measured.append(inputs[0].shape)
        return [onnx, torch_]

    monkeypatch.setattr(engine, "_seconds", seconds)
    network, evaluate = make_network(), Engine("auto")
    expected = OnnxDenoiser(network, torch.get_num_threads()) if faster else network
    for batch, frames in ((2, 9), (2, 12), (8, 40)):
        every = inputs(network, batch, frames)
        for _ in range(2):
            assert torch.equal(evaluate(network, *every), expected(*every))
    assert measured == [(2, 9, 7), (8, 40, 7)]  # 18 and 24 frames are alike


def test_time_is_measured_by_calls():
    """The one that sleeps is slower."""
    network = make_network()
    every = inputs(network)
    calls = []

    def slow(*every):
        calls.append(1)
        return torch.stack([network(*every) for _ in range(30)])

    ours, theirs = engine._seconds((network, slow), every)
    assert 0 < ours < theirs
    assert len(calls) == 1 + engine.ROUNDS


def test_gradients_are_pytorchs(monkeypatch):
    monkeypatch.setattr(engine, "_seconds", lambda candidates, inputs: [1.0, 2.0])
    network = make_network()
    x, *others = inputs(network)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(Engine("auto")(network, x, *others).sum(), x)
    (expected,) = torch.autograd.grad(network(x, *others).sum(), x)
    assert torch.equal(gradient, expected)
    with pytest.raises(InputError, match="gradient of the network.*--engine auto or torch"):
        Engine("onnx")(network, x, *others)
    with torch.no_grad():
        assert not Engine("onnx")(network, x, *others).requires_grad


def test_without_onnx_runtime(monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    assert Engine("auto").name == "torch"
    with pytest.raises(InputError, match=r"--engine onnx needs .*pip install 'motion-diffusion\[onnx\]'"):
        MotionModel.load("v-masks", engine="onnx")


@pytest.mark.parametrize("broken", ["too large", "does not import"])
def test_what_cannot_be_built_is_pytorchs(broken, monkeypatch):
    def no_library(*_):
        raise ImportError("libgomp.so.1: not found")

    if broken == "too large":
        monkeypatch.setattr(onnx_graph, "MAX_BYTES", 1000)
    else:
        monkeypatch.setattr(engine, "session", no_library)
    network = make_network()
    every = inputs(network)
    assert torch.equal(Engine("auto")(network, *every), network(*every))
    with pytest.raises(InputError, match="(holds 2 GB; use|does not import .*libgomp.*; give) --engine torch"):
        Engine("onnx")(network, *every)


def test_a_copied_model_has_its_own_weights(make_model):
    model = make_model()
    model.engine = Engine("onnx")
    evaluate = model.denoise_fn(["walk"], torch.ones(1, 8, dtype=torch.bool))
    x = torch.randn(1, 8, model.representation.size)
    with torch.no_grad():
        expected = evaluate(x, 500, 480).x0
        other = copy.deepcopy(model)
        other.denoiser.frame_out.weight.mul_(3)
        assert not torch.equal(other.denoise_fn(["walk"], torch.ones(1, 8, dtype=torch.bool))(x, 500, 480).x0, expected)
        assert torch.equal(evaluate(x, 500, 480).x0, expected)


@pytest.mark.parametrize("name", ["v-masks", "eps-mixed"])
def test_sampled_motions_are_the_same_to_a_tenth_of_a_millimetre(name):
    joints = []
    for evaluated_by in ("torch", "onnx"):
        model = MotionModel.load(name, engine=evaluated_by)
        x = sample_features(model, ["a tired person walks", "a person bows"], [60, 44], seeds=[3, 4], steps=20)
        joints.append(model.representation.decode(x, lengths=torch.tensor([60, 44])))
    assert (joints[1][0] - joints[0][0]).abs().max() < 1e-4
    assert (joints[1][1, :44] - joints[0][1, :44]).abs().max() < 1e-4


def test_the_digest_follows_the_weights(make_model):
    """It is that of the weights in memory, whatever happens to them, and computed once for the same ones."""
    model, copied = make_model(), make_model()
    first = model.digest
    assert first == model.digest == copied.digest
    with torch.no_grad():
        model.denoiser.skip.bias += 1
        changed = model.digest
        assert changed != first
        model.denoiser.skip.bias -= 1
    model.representation = dataclasses.replace(model.representation, std=2 * model.representation.std)
    assert model.digest not in (first, changed)
    copied.denoiser = copy.deepcopy(copied.denoiser)
    copied.denoiser.load_state_dict({k: 2 * v for k, v in copied.denoiser.state_dict().items()}, assign=True)
    assert copied.digest != first
