"""Flow priors: the gate, two ONNX graphs and their card (prior.json, docs/prior-format.md)."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from . import card as cards, config as configs, graph
from .evaluate import SEED, module_runner
from .flow import LOG_2PI, Density, Flow, Sampler, marginal
from .progress import Progress

FORMAT, BATCH = "driftless-flow-prior/1", 250


def flow(state):
    """(flow with the averaged weights of a checkpoint dictionary, configuration)"""
    config = configs.from_dict(state["config"])
    if config.kind != "flow":
        raise configs.ConfigError(f"{config.name} is not a flow")
    model = Flow(config.flow)
    model.load_state_dict({**state["ema"], **state["buffers"]}, strict=True)
    return model.eval().requires_grad_(False), config


@dataclass(frozen=True)
class Gate:
    """Mean of log nu(x_T) - log N(x_T; 0, I) over held-out images, and its standard error, in nats.
    Passed: more than two of them; else N(0, I) is the better start."""

    gain: float
    error: float
    count: int

    @property
    def passed(self):
        """Whether the flow is worth starting from."""
        return self.gain > 2 * self.error

    def __str__(self):
        return (f"gain over N(0, I) on held-out x_T: {self.gain:.3f} +- {self.error:.3f} nats"
                f" ({self.count} images), gate {'passed' if self.passed else 'failed'}")

    def entry(self):
        """What a card says about it."""
        return {"gain": round(self.gain, 4), "error": round(self.error, 4), "samples": self.count}


def judge(run, config, images, limit=None, quiet=False):
    """The gate of run({"state": [n, D]}) -> [log-density [n]] on held-out images, each noised once."""
    count = min(limit or len(images), len(images))
    a, b = marginal(config.process, config.flow.time)
    draws, gains, progress = torch.Generator().manual_seed(SEED), [], Progress(quiet)
    for start in range(0, count, BATCH):
        part = slice(start, min(start + BATCH, count))
        x0, _ = images.take(part)
        x = (a * x0 + b * torch.randn(x0.shape, generator=draws)).flatten(1)
        standard = -0.5 * (x.double().square().sum(dim=1) + x.shape[1] * LOG_2PI)
        gains.append(run({"state": x})[0].double() - standard)
        progress.show(part.stop, count, None, "images")
    progress.close()
    gains = torch.cat(gains)
    return Gate(float(gains.mean()), float(gains.std()) / math.sqrt(count), count)


def density(state):
    """(module state -> log-density of a checkpoint dictionary, configuration)"""
    model, config = flow(state)
    return Density(model), config


def export(state, folder, images):
    """A checkpoint's averaged weights as a folder: sampler.onnx, density.onnx, prior.json.

    `images` are held out, for the gate. Returns the largest round-trip difference of the two, that of
    log-densities relative to their size, or None where no ONNX runtime is installed.
    """
    model, config = flow(state)
    gate = judge(module_runner(Density(model)), config, images, quiet=True)
    training = f"{state['step']} steps, {state['step'] * config.train.batch} images seen, averaged weights"
    return write(model, config, folder, gate, training)


def write(model, config, folder, gate, training):
    """The same from a flow; every gate is written, and a failed one makes readers warn."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    normals = torch.randn(64, model.dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = model.sample(normals)
    parts = {"sampler": (Sampler(model), "normals", normals, "state"),
             "density": (Density(model), "state", states, "logp")}
    entries, worst = {}, []
    for name, (part, given, value, made) in parts.items():
        path = folder / f"{name}.onnx"
        graph.write(part, path, {given: value}, [made])
        entries[name] = {"file": path.name, "input": given, "output": made,
                         "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        worst.append(graph.difference(part, path, {given: value}))
    _write_card(folder, config, entries, gate, training)
    if None in worst:
        return None
    with torch.no_grad():
        size = float(model.log_density(states).abs().max())
    return max(worst[0], worst[1] / max(size, 1.0))


def _write_card(folder, config, networks, gate, training):
    a, b = marginal(config.process, config.flow.time)
    fashion = config.data.dataset == "fashion-mnist"
    card = {
        "format": FORMAT, "name": config.name,
        "sample": {"shape": [config.flow.in_channels, config.flow.size, config.flow.size],
                   "range": [-1.0, 1.0]},
        "process": cards.process(config.process),
        "state": {"t": config.flow.time, "a": a, "b": b},
        **networks, "gate": gate.entry(), "license": "Apache-2.0",
        **({"data": "Fashion-MNIST (MIT)"} if fashion else {}), "training": training,
    }
    (folder / "prior.json").write_text(json.dumps(card, indent=2) + "\n")
