"""Export of the averaged weights: ONNX, a card, a round-trip check; Jacobian-vector products."""

from pathlib import Path

import torch

from . import card, config as configs, evaluate, graph
from .dual import Jvp
from .graph import TOLERANCE  # of a round trip, over all times
from .net import Body
from .phase import PhaseDenoiser
from .process import Denoiser, Process

TOLERANCE_HALF = 5e-2  # with float16 weights; a gross check, held-out loss is the real one
OUTPUT, JVP_FILE = "out_sample", "jvp.onnx"


def denoiser(state):
    """(denoiser with the averaged weights of a checkpoint dictionary, configuration)"""
    config = configs.from_dict(state["config"])
    body = Body(config.net)
    body.load_state_dict(state["ema"], strict=True)
    kind = PhaseDenoiser if config.process.type == "psld" else Denoiser
    return kind(body, config).eval().requires_grad_(False), config


def export(state, folder, shape, half=False, check=True, batch=None, moments=None):
    """Write folder/network.onnx and model.json. half: weights stored as float16 (size halves).

    batch: of a graph for this batch size only; moments: mean and deviation of the data, for the
    card. Returns the largest round-trip difference, or None where no ONNX runtime is installed.
    """
    model, config = denoiser(state)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path, inputs = folder / "network.onnx", example(config, shape, 64)
    graph.write(model, path, inputs, [OUTPUT], batch)
    if half:
        store_half(path)
    card.write(folder, config, path.name, shape, state["step"],
               state["step"] * config.train.batch, moments)
    return graph.difference(model, path, inputs, batch) if check else None


def example(config, shape, n, seed=0):
    """Inputs by name as the card describes them: noisy states at stratified times, all labels."""
    generator = torch.Generator().manual_seed(seed)
    process = Process(config.process)
    x0 = torch.randn(n, *shape, generator=generator).clamp(-1, 1)
    noise = torch.randn(evaluate.noise_shape(config, x0.shape), generator=generator)
    t = process.draw((torch.arange(n) + 0.5) / n)
    sample, timestep, _, _ = evaluate.problem(process, config, x0, noise, t)
    inputs = {"sample": sample, "timestep": timestep}
    if config.net.classes:
        inputs["class_labels"] = torch.arange(n) % (config.net.classes + 1)
    return inputs


def export_jvp(model, config, folder, shape):
    """Write folder/jvp.onnx: the network's inputs and `tangent` -> its output and `jvp`, the
    output's derivative along the tangent of the sample, and name it in the card that is there. Returns like export."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    both, inputs = Jvp(model).eval(), jvp_example(config, shape, 64)
    graph.write(both, folder / JVP_FILE, inputs, [OUTPUT, "jvp"])
    card.add_jvp(folder, JVP_FILE, OUTPUT)
    return graph.difference(both, folder / JVP_FILE, inputs)


def jvp_example(config, shape, n):
    """Inputs by name of a Jacobian-vector product; the tangents are random signs."""
    inputs = example(config, shape, n)
    draws = torch.rand(inputs["sample"].shape, generator=torch.Generator().manual_seed(1))
    return {**inputs, "tangent": torch.where(draws < 0.5, -1.0, 1.0)}


def store_half(path):
    """Rewrite an ONNX file with float16 weights, each cast back to float32 where it is used.

    Runtimes undo the cast when they load the network, so only the file changes. Tensors of
    fewer than 64 values stay as they are.
    """
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    casts, kept = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64:
            kept.append(tensor)
            continue
        name = tensor.name + ".half"
        kept.append(numpy_helper.from_array(values.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
