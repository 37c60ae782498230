"""The shipped model through the program looks like its data, and a network without learned weights
does not: 64 images, 10 evaluations, fixed seed, against the 10 000 Fashion-MNIST test images, by the
distance of fashion.py.

Measured when this was written (deis:order=3, grid power:kappa=2): real images 1.16 (0.91 to 1.63 in nine of
ten sets); the model 1.01, 0.70, 0.71, 1.08 for seeds 0 to 3; with 5 evaluations 1.5, 3 evaluations 2.5,
2 evaluations 4.6; ddim 1.5; one class only 9.0; the model's images with noise of 0.1 added 2.8, blurred 3.2;
shuffled weights 464.
"""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import fashion
from fashion import COUNT, distance

BOUND = 2.0


@pytest.fixture(scope="module")
def reference():
    return fashion.reference()


@pytest.fixture
def distance_of(run, tmp_path, reference):
    def call(model, steps=10):
        run("sample", model, "-n", COUNT, "--seed", 0, "--solver", "deis:order=3", "--steps", steps,
            "--grid", "power:kappa=2", "-q", "-o", tmp_path / "images.npy")
        images = np.load(tmp_path / "images.npy")
        assert images.shape == (COUNT, 1, 28, 28)
        return distance(images[:, 0].astype(float), reference)

    return call


def test_real_images(reference):
    """Other sets of 64 test images: the least that can be expected of a model."""
    low, median, high = np.quantile(reference["real"], [0.05, 0.5, 0.95])
    print(f"real images: {median:.2f}, {low:.2f} to {high:.2f}")
    assert high < BOUND


def test_shipped_model(model, distance_of):
    found = distance_of(model)
    print(f"the shipped model: {found:.2f}")
    assert found < BOUND


def test_cache_keeps_precisions_apart(model, run, tmp_path):
    """What was compiled for one precision is not taken for another."""
    for precision in ("f32", "bf16"):
        out = tmp_path / f"{precision}.npy"
        words = ["sample", model, "-n", 2, "--steps", 2, "-q", "--precision", precision, "-o", out]
        run(*words)
        alone = np.load(out)
        run(*words, "--model-cache", tmp_path / "cache")
        assert np.array_equal(np.load(out), alone), precision
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["bf16", "f32"]


def test_too_few_evaluations(model, distance_of):
    """The distance sees what a fifth of the evaluations costs."""
    found = distance_of(model, steps=2)
    print(f"2 evaluations: {found:.2f}")
    assert found > 2 * BOUND


def test_without_what_it_learned(model, distance_of, tmp_path):
    """Every weight is still there, but in a random place of its tensor."""
    folder = tmp_path / "shuffled"
    shutil.copytree(model, folder)
    network = onnx.load(folder / "network.onnx")
    generator = np.random.default_rng(1)
    for tensor in network.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype in (np.float16, np.float32) and value.ndim >= 2:
            mixed = generator.permutation(value.ravel()).reshape(value.shape)
            tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
    onnx.save(network, folder / "network.onnx")
    card = json.loads((folder / "model.json").read_text())
    card["network"]["sha256"] = hashlib.sha256((folder / "network.onnx").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(card))
    found = distance_of(folder)
    print(f"shuffled weights: {found:.2f}")
    assert found > 10 * BOUND
