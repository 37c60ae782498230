"""Classifiers as feature networks: accuracy, ONNX with features and logits, a card.

The card (features.json, format driftless-features/1) says how images reach the network:

    network   file, sha256, names of input and outputs (`logits` may be missing)
    image     shape [c, h, w] and range of values that the input expects
    resize    what to do with images of another size: {"type": "none"}, they are refused, or
              {"type": "bilinear", "antialias": false}, pixel centres at half-integers
    features  count, and in words the layer
    classes   count and names of the logits; accuracy: how often the largest is right, and on what
"""

import hashlib
import json
from pathlib import Path

import torch

from . import config as configs, graph
from .circle import circle, wide
from .classifier import Classifier
from .data import FASHION_NAMES
from .evaluate import BINS, SEED, module_runner
from .process import Process
from .progress import Progress

FORMAT, BATCH = "driftless-features/1", 250


def classifier(state):
    """(classifier with the averaged weights of a checkpoint dictionary, configuration)"""
    config = configs.from_dict(state["config"])
    if config.kind != "classifier":
        raise configs.ConfigError(f"{config.name} is not a classifier")
    model = Classifier(config.classifier)
    model.load_state_dict(state["ema"], strict=True)
    return model.eval().requires_grad_(False), config


class Accuracy:
    """Right answers among labels, overall and by group (class or part of the time range)."""

    def __init__(self, right, group, what):
        self.count, self.mean, self.what = len(right), float(right.double().mean()), what
        self.groups = [float(right[group == i].double().mean())
                       for i in range(int(group.max()) + 1)]

    def __str__(self):
        groups = " ".join(f"{value:.4f}" for value in self.groups)
        return f"accuracy {self.mean:.4f} ({self.count} images)\nby {self.what}: {groups}"

    def entry(self):
        """What a card says about it."""
        return {"value": round(self.mean, 4), "images": self.count,
                f"by_{self.what}": [round(value, 4) for value in self.groups]}


def judge(run, config, images, limit=None, quiet=False):
    """Accuracy on held-out images of run({"images": [n, c, h, w]}) -> [features, logits].

    noise = true: of run({"images", "log_snr"}), each image noised at its own time, the times
    being the midpoints of equal cells of the process's range; grouped by tenths of the range.
    """
    count = min(limit or len(images), len(images))
    draws = torch.Generator().manual_seed(SEED)
    rank = torch.randperm(count, generator=draws)
    process, u = Process(config.process), ((rank + 0.5) / count).float()
    right, progress = [], Progress(quiet)
    for start in range(0, count, BATCH):
        part = slice(start, min(start + BATCH, count))
        x, labels = images.take(part)
        inputs = {"images": x}
        if config.classifier.noise:
            log_snr = process.log_snr(process.draw(u[part]))
            cos, sin = circle(log_snr)
            noise = torch.randn(x.shape, generator=draws)
            inputs = {"images": wide(cos) * x + wide(sin) * noise, "log_snr": log_snr}
        right.append(run(inputs)[1].argmax(1) == labels)
        progress.show(part.stop, count, None, "images")
    progress.close()
    by_noise = config.classifier.noise
    return Accuracy(torch.cat(right), rank * BINS // count if by_noise else images.labels[:count],
                    "time" if by_noise else "class")


def export(model, folder, entries, image):
    """Write folder/network.onnx and features.json; model(images) -> (features, logits).

    entries: name, layer, classes, ... of the card; image: {"shape": [c, h, w], "range": ...}.
    Returns the largest round-trip difference, or None where no ONNX runtime is installed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    low, high = image["range"]
    draws = torch.rand(64, *image["shape"], generator=torch.Generator().manual_seed(0))
    inputs = {"images": low + (high - low) * draws}
    graph.write(model, folder / "network.onnx", inputs, ["features", "logits"])
    with torch.no_grad():
        count = model(inputs["images"][:1])[0].shape[1]
    write_card(folder, entries, image, count)
    return graph.difference(model, folder / "network.onnx", inputs)


def write_card(folder, entries, image, count):
    """Write folder/features.json for the network.onnx beside it."""
    entries = dict(entries)
    card = {
        "format": FORMAT,
        "name": entries.pop("name"),
        "network": {
            "file": "network.onnx",
            "sha256": hashlib.sha256((folder / "network.onnx").read_bytes()).hexdigest(),
            "inputs": {"images": "images"},
            "outputs": {"features": "features", "logits": "logits"},
        },
        "image": image,
        "resize": {"type": "none"},
        "features": {"count": count, "layer": entries.pop("layer")},
        **entries,
    }
    (folder / "features.json").write_text(json.dumps(card, indent=2) + "\n")


def export_classifier(state, folder, images):
    """A checkpoint's averaged weights as a folder; `images` are held out, for the accuracy."""
    model, config = classifier(state)
    score = judge(module_runner(model), config, images, quiet=True)
    image = {"shape": [config.classifier.in_channels, *[config.classifier.size] * 2],
             "range": [-1.0, 1.0]}
    entries = {"name": config.name, "layer": "hidden layer after SiLU, before the logits",
               **about(state, config, score)}
    return export(model, folder, entries, image)


def about(state, config, score):
    """What every card of a classifier ends with."""
    fashion = config.data.dataset == "fashion-mnist"
    return {
        "classes": {"count": config.classifier.classes,
                    **({"names": list(FASHION_NAMES)} if fashion else {})},
        "accuracy": score.entry(), "license": "Apache-2.0",
        **({"data": "Fashion-MNIST (MIT)"} if fashion else {}),
        "training": f"{state['step']} steps, {state['step'] * config.train.batch} images seen,"
                    " averaged weights"}
