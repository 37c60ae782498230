"""Export of the averaged weights: ONNX with dynamic batch, a card, a round-trip check."""

import warnings
from pathlib import Path

import torch

from . import card, config as configs, evaluate
from .net import Body
from .phase import PhaseDenoiser
from .process import Denoiser, Process

OPSET = 17
TOLERANCE = 1e-4  # largest difference of the graph from PyTorch, over all times
TOLERANCE_HALF = 5e-2  # with float16 weights; a gross check, held-out loss is the real one


def denoiser(state):
    """(denoiser with the averaged weights of a checkpoint dictionary, configuration)"""
    config = configs.from_dict(state["config"])
    body = Body(config.net)
    body.load_state_dict(state["ema"], strict=True)
    kind = PhaseDenoiser if config.process.type == "psld" else Denoiser
    return kind(body, config).eval().requires_grad_(False), config


def export(state, folder, shape, half=False, check=True):
    """Write folder/network.onnx and model.json. half: weights stored as float16 (size halves).

    Returns the largest round-trip difference, or None where no ONNX runtime is installed.
    """
    model, config = denoiser(state)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "network.onnx"
    inputs = example(config, shape, 2)
    names = ["sample", "timestep", "class_labels"][:len(inputs)]
    with warnings.catch_warnings():  # the exporter that needs no further package is "legacy"
        warnings.simplefilter("ignore")
        torch.onnx.export(model, inputs, str(path), dynamo=False, opset_version=OPSET,
                          input_names=names, output_names=["out_sample"],
                          dynamic_axes={name: {0: "batch"} for name in [*names, "out_sample"]})
    if half:
        store_half(path)
    card.write(folder, config, path.name, shape, state["step"],
               state["step"] * config.train.batch)
    return round_trip(model, config, path, shape) if check else None


def example(config, shape, n, seed=0):
    """n inputs as the card describes them, noisy states at stratified times."""
    generator = torch.Generator().manual_seed(seed)
    process = Process(config.process)
    x0 = torch.randn(n, *shape, generator=generator).clamp(-1, 1)
    noise = torch.randn(evaluate.noise_shape(config, x0.shape), generator=generator)
    t = process.draw((torch.arange(n) + 0.5) / n)
    sample, timestep, _, _ = evaluate.problem(process, config, x0, noise, t)
    labels = (torch.arange(n) % (config.net.classes + 1),) if config.net.classes else ()
    return (sample, timestep, *labels)


def round_trip(model, config, path, shape, n=64):
    """Largest |graph - PyTorch| over n samples at times spread over the whole range."""
    try:
        predict = evaluate.onnx_predictor(path)
    except ImportError:
        return None
    inputs = example(config, shape, n)
    labels = inputs[2] if len(inputs) > 2 else None
    truth = model(inputs[0], inputs[1], labels)
    return float((predict(inputs[0], inputs[1], labels) - truth).abs().max())


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
