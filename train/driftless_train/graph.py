"""Modules as ONNX files, and how far a file is from its module."""

import warnings

import torch

from . import rows
from .evaluate import onnx_runner

OPSET = 17
TOLERANCE = 1e-4  # largest difference of a graph from PyTorch


def write(model, path, inputs, outputs, batch=None):
    """Write model(*inputs.values()) as a graph with these input and output names.

    inputs: {name: tensor [n, ...]}, n >= 2. batch: the fixed batch size; None leaves it open.
    """
    names = [*inputs, *outputs]
    example = tuple(value[:2] if batch is None else value[torch.arange(batch) % len(value)]
                    for value in inputs.values())
    with warnings.catch_warnings():  # the exporter that needs no further package is "legacy"
        warnings.simplefilter("ignore")
        torch.onnx.export(model, example, str(path), dynamo=False, opset_version=OPSET,
                          input_names=list(inputs), output_names=list(outputs),
                          dynamic_axes=None if batch else {name: {0: "batch"} for name in names})
    rows.rewrite(path)


@torch.no_grad()
def difference(model, path, inputs, batch=None):
    """Largest |graph - PyTorch| over the outputs, or None where no ONNX runtime is installed.

    A graph of a fixed batch is asked part by part, the inputs starting again to fill the last.
    """
    try:
        run = onnx_runner(path)
    except ImportError:
        return None
    count, worst = len(next(iter(inputs.values()))), 0.0
    size = batch or count
    for start in range(0, count, size):
        index = torch.arange(start, start + size) % count
        part = {name: value[index] for name, value in inputs.items()}
        truth = model(*part.values())
        for made, exact in zip(run(part), truth if isinstance(truth, tuple) else (truth,)):
            worst = max(worst, float((made - exact).abs().max()))
    return worst
