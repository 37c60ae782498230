"""The gradient of a noise-conditional classifier as a graph, for classifier guidance.

ONNX knows no differentiation, so the backward pass is written out here, layer by layer: each
function returns a result and the pull-back that takes a gradient with respect to the result to
one with respect to the input. The gradient of a convolution is a transposed convolution.
"""

import hashlib
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from . import card as cards
from . import features, graph
from .circle import wide
from .config import ConfigError
from .dual import channels, normalised, normalised_slope, silu_slope
from .evaluate import module_runner, problem
from .process import TIME_SCALE, Process

PROCESSES = ("vp_linear", "vp_discrete", "rectified_flow")
FILE, FORMAT = "classifier.onnx", "driftless-classifier/1"


def convolution(layer, side, x):
    """A convolution of [n, c, side, side], same padding -> (result, pull-back)."""
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    spare = (side + 2 * layer.padding[0] - kernel) % stride  # the forward pass never saw these

    def pull(g):
        weight = layer.weight
        if weight.shape[0] == weight.shape[1]:  # OpenVINO 2026.4.1 mixes up the layouts of square
            weight, g = weight / 2, 2 * g  # weights that a convolution shares with its transpose
        return F.conv_transpose2d(g, weight, stride=stride, padding=layer.padding[0],
                                  output_padding=spare)
    return layer(x), pull


def normalisation(layer, x):
    """Group normalisation -> (result, pull-back)."""
    result, scale = normalised(x, layer.num_groups, layer.eps)
    weight, bias = channels(layer.weight, x), channels(layer.bias, x)

    def pull(g):
        h = (g * weight).reshape(result.shape)
        return normalised_slope(result, scale, h).reshape(x.shape)
    return result.reshape(x.shape) * weight + bias, pull


def stage(layer, side, x, embedding):
    """A Stage of the classifier -> (result, pull-back)."""
    h, pull_convolution = convolution(layer.conv, side, x)
    h, pull_norm = normalisation(layer.norm, h)
    scale, shift = layer.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
    h = h * (1 + scale) + shift

    def pull(g):
        return pull_convolution(pull_norm(g * silu_slope(h) * (1 + scale)))
    return F.silu(h), pull


class Gradient(nn.Module):
    """sample [n, c, h, w], timestep [n], class_labels [n] int64 -> d log p(label | sample, t)
    / d sample, [n, c, h, w]. Label `classes` means "no class": its gradient is 0."""

    def __init__(self, classifier, config):
        super().__init__()
        if not config.classifier.noise or config.process.type not in PROCESSES:
            raise ConfigError("a gradient graph needs classifier.noise = true and process.type"
                              f" among {', '.join(PROCESSES)}")
        self.classifier, self.process = classifier, Process(config.process)
        self.time_scale = TIME_SCALE.get(config.process.type)
        classes = config.classifier.classes
        self.register_buffer("answers", torch.eye(classes + 1)[:, :classes].contiguous(),
                             persistent=False)

    def forward(self, sample, timestep, class_labels):
        t = timestep / self.time_scale if self.time_scale else timestep
        scale = self.process.scale(t)
        x = sample if scale is None else sample / wide(scale)
        g = self.of_state(x, self.process.log_snr(t), class_labels)
        return g if scale is None else g / wide(scale)

    def of_state(self, x, log_snr, labels):
        """The gradient with respect to the state of unit variance."""
        net = self.classifier
        embedding, side, pulls = net.time(log_snr), net.config.size, []
        for layer, stride in zip(net.stages, net.config.strides):
            x, pull = stage(layer, side, x, embedding)
            pulls.append(pull)
            side = -(-side // stride)
        hidden = net.hidden(x.flatten(1))
        answer = self.answers[labels]
        guess = torch.softmax(net.out(F.silu(hidden)), dim=1)
        g = answer - answer.sum(1, keepdim=True) * guess  # of log softmax at the label
        g = (g @ net.out.weight) * silu_slope(hidden)
        g = (g @ net.hidden.weight).reshape(x.shape)
        for pull in reversed(pulls):
            g = pull(g)
        return g


def export(state, folder, images):
    """Write folder/classifier.onnx and, about it, classifier.json; name it in folder/model.json
    if a denoiser of the same process is there. `images` are held out, for the accuracy.

    Returns the largest round-trip difference over all times, or None without an ONNX runtime.
    """
    model, config = features.classifier(state)
    gradient, inputs, folder = Gradient(model, config).eval(), example(config), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    graph.write(gradient, folder / FILE, inputs, ["gradient"])
    entry = {"file": FILE, "sha256": hashlib.sha256((folder / FILE).read_bytes()).hexdigest(),
             "inputs": {"sample": "sample", "time": "timestep", "class": "class_labels"},
             "output": "gradient"}
    process = cards.process(config.process)
    score = features.judge(module_runner(model), config, images, quiet=True)
    about = {"format": FORMAT, "name": config.name, "network": entry, "process": process,
             "time_map": cards.time_map(config.process), **cards.times(config.process),
             "sample": {"shape": list(inputs["sample"].shape[1:]), "range": [-1.0, 1.0]},
             **features.about(state, config, score)}
    (folder / "classifier.json").write_text(json.dumps(about, indent=2) + "\n")
    enter(folder / "model.json", process, entry)
    return graph.difference(gradient, folder / FILE, inputs)


def enter(path, process, entry):
    """Name the graph in the card `path` of a denoiser, if there is one."""
    if not path.exists():
        return
    card = json.loads(path.read_text())
    if card["process"] != process:
        raise ConfigError(f"{path}: process {card['process']}, but the classifier was trained on"
                          f" {process}")
    path.write_text(json.dumps({**card, "classifier": entry}, indent=2) + "\n")


def example(config, n=64, seed=0):
    """Inputs by name: noisy random images at stratified times, all labels."""
    draws, process = torch.Generator().manual_seed(seed), Process(config.process)
    shape = (n, config.classifier.in_channels, *[config.classifier.size] * 2)
    x0, noise = torch.rand(shape, generator=draws) * 2 - 1, torch.randn(shape, generator=draws)
    sample, timestep, _, _ = problem(process, config, x0, noise,
                                     process.draw((torch.arange(n) + 0.5) / n))
    return {"sample": sample, "timestep": timestep,
            "class_labels": torch.arange(n) % (config.classifier.classes + 1)}

