"""LeNet-5 against the definition written out in NumPy: from weights, and as the shipped graph."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from driftless_train import cli, evaluate, lenet

SHIPPED = Path(__file__).parents[2] / "models" / "mnist-lenet5"
SHAPES = {"conv2d": (6, 1, 5, 5), "conv2d_1": (16, 6, 5, 5), "dense": (120, 576),
          "dense_1": (84, 120), "dense_2": (10, 84)}


def resized(image, size=32):
    """Bilinear with pixel centres at half-integers, edges repeated: [h, w] -> [size, size]."""
    def at(values, axis):
        place = (np.arange(size) + 0.5) * values.shape[axis] / size - 0.5
        place = place.clip(0, values.shape[axis] - 1)
        left = np.minimum(place.astype(int), values.shape[axis] - 2)
        part = (place - left).reshape((-1, 1) if axis == 0 else (1, -1))
        return values.take(left, axis) * (1 - part) + values.take(left + 1, axis) * part
    return at(at(image, 0), 1)


def convolved(x, w, b):
    """[h, w, cin] with [cout, cin, 5, 5], no padding -> [h - 4, w - 4, cout]"""
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(0, 1))
    return np.einsum("yxcij,ocij->yxo", windows, w) + b


def pooled(x):
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).mean(axis=(1, 3))


def defined(image, weights):
    """(features, logits) of one image [28, 28] in [-1, 1], channels last throughout."""
    x = resized((image.astype(np.float64) + 1) / 2)[:, :, None]
    x = np.pad(x, ((2, 2), (2, 2), (0, 0)))
    for layer in ("conv2d", "conv2d_1"):
        x = pooled(np.tanh(convolved(x, weights[layer + ".w"], weights[layer + ".b"])))
    x = x.reshape(-1)
    for layer in ("dense", "dense_1"):
        x = np.tanh(weights[layer + ".w"] @ x + weights[layer + ".b"])
    return x, weights["dense_2.w"] @ x + weights["dense_2.b"]


def images(n):
    """Smooth random images and noise in [-1, 1], [n, 1, 28, 28] float32."""
    random = np.random.default_rng(1)
    noise = random.uniform(-1, 1, (n, 1, 28, 28))
    noise[::2] = np.tanh(5 * noise[::2].cumsum(2).cumsum(3) / 28)
    return noise.astype(np.float32)


@pytest.fixture
def weights(tmp_path):
    random = np.random.default_rng(0)
    made = {}
    for layer, shape in SHAPES.items():
        fan = np.prod(shape[1:])
        made[layer + ".w"] = random.normal(0, fan**-0.5, shape).astype(np.float32)
        made[layer + ".b"] = random.normal(0, 0.1, shape[0]).astype(np.float32)
    np.savez(tmp_path / "weights.npz", **made)
    return made, tmp_path / "weights.npz"


def test_network_is_the_definition(weights):
    model, x = lenet.load(weights[1]), images(8)
    made = [m.numpy() for m in model(torch.from_numpy(x))]
    for i in range(8):
        for value, exact in zip(made, defined(x[i, 0], weights[0])):
            assert np.abs(value[i] - exact).max() < 1e-5


def test_shipped_graph_is_the_definition():
    """With its weights read from the file; torch keeps names, so none can be mixed up."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    card = json.loads((SHIPPED / "features.json").read_text())
    path = SHIPPED / card["network"]["file"]
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    weights = {f"{theirs}.{kind[0]}": stored[f"{ours}.{kind}"]
               for theirs, ours in lenet.LAYERS.items() for kind in ("weight", "bias")}
    x = images(8)
    made = evaluate.onnx_runner(path)({"images": torch.from_numpy(x)})
    for i in range(8):
        for value, exact in zip(made, defined(x[i, 0], weights)):
            assert np.abs(value[i].numpy() - exact).max() < 1e-4
    assert made[0].shape[1] == card["features"]["count"] == 84
    assert card["accuracy"]["value"] > 0.984


def test_conversion(weights, tmp_path, capsys):
    assert cli.main(["lenet", str(weights[1]), str(tmp_path / "made")]) == 0
    card = json.loads((tmp_path / "made" / "features.json").read_text())
    assert card["network"]["outputs"]["features"] == "features" and "accuracy" not in card
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    assert cli.main(["lenet", str(tmp_path / "other.npz"), str(tmp_path / "no")]) == 1
    assert "not the weights of LeNet-5" in capsys.readouterr().err
