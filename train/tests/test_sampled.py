"""The whole way: a tiny network is trained for about a minute, exported, and sampled by the program;
its samples must look far more like Fashion-MNIST than those of the same network untrained.

The measure is Frechet's distance on the 128 features of models/fashion-classifier, 400 samples (labels
i mod 10, 10 evaluations) against the 10 000 test images. Untrained: 371.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from driftless_train import config as configs, data, evaluate, loop, page
from driftless_train import export as exporter

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("DRIFTLESS", ROOT / "build" / "release" / "driftless"))
SAMPLES, STEPS = 400, 400
BOUND = 200


@pytest.fixture(scope="module")
def config():
    return configs.from_dict({
        "name": "minute", "prediction": "v_prediction", "seed": 1, "process": {"type": "vp_linear"},
        "data": {"dataset": "fashion-mnist"},
        "net": {"classes": 10, "widths": [16, 32, 48], "down": [0, 1, 0], "up": [1, 1, 0], "middle": 2,
                "heads": 2, "embedding": 32, "groups": 4},
        "train": {"batch": 48, "warmup": 50, "learning_rate": 3e-3, "precision": "fp32"}})


@pytest.fixture(scope="module")
def features():
    """features(images [n, 1, 28, 28] in [-1, 1]) -> [n, 128]"""
    run = evaluate.onnx_runner(ROOT / "models" / "fashion-classifier" / "network.onnx")
    return lambda images: np.concatenate(
        [np.asarray(run({"images": torch.from_numpy(images[i:i + 250])})[0], float)
         for i in range(0, len(images), 250)])


@pytest.fixture(scope="module")
def real(config, features):
    """Mean and covariance of the features of the test images."""
    images = data.load(config.data, train=False).take(slice(None))[0]
    x = features(images.numpy())
    return x.mean(axis=0), np.cov(x.T)


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def distance(x, real):
    mean, cov = real
    half = root(cov)
    cross = np.trace(root(half @ np.cov(x.T) @ half))
    difference = x.mean(axis=0) - mean
    return float(difference @ difference + np.trace(cov) + np.trace(np.cov(x.T)) - 2 * cross)


def sampled(folder, features, real, tmp_path):
    """Distance of what the program draws from a model folder."""
    out = tmp_path / "x.npy"
    subprocess.run([PROGRAM, "sample", folder, "-n", str(SAMPLES), "--nfe", "10", "--seed", "0", "-q",
                    "--t-end", "1e-3", "-o", out], check=True)
    return distance(features(np.clip(np.load(out), -1, 1)), real)


def test_a_minute_of_training(config, features, real, tmp_path):
    trainer = loop.Trainer(config, "cpu")
    exporter.export(trainer.state(), tmp_path / "raw", [1, 28, 28])
    loop.run(trainer, tmp_path / "run", loop.Limits(steps=STEPS, quiet=True))
    exporter.export(trainer.state(), tmp_path / "trained", [1, 28, 28])
    untrained = sampled(tmp_path / "raw", features, real, tmp_path)
    trained = sampled(tmp_path / "trained", features, real, tmp_path)
    assert trained < BOUND < untrained, (trained, untrained)
    check_page(trainer.state(), tmp_path, trained)


def check_page(state, tmp_path, distance):
    """The page has the distance just measured, the losses, the pictures; remarks stay when it is made anew."""
    folder, measure = tmp_path / "trained", page.Measure(
        PROGRAM, page.FASHION_TEST, ROOT / "models" / "fashion-classifier", SAMPLES,
        ["--nfe", "10", "--t-end", "1e-3"])
    (folder / "README.md").write_text("# old\n\n## Remarks\n\nby hand\n")
    page.write(state, tmp_path / "run", folder, measure)
    text = (folder / "README.md").read_text()
    assert text.startswith("# minute") and text.endswith("\n## Remarks\n\nby hand\n") and "# old" not in text
    found = float(re.search(r"--t-end 1e-3`:\n? ?\*\*([0-9.]+)", text)[1])
    assert abs(found - distance) < 0.1, (found, distance)
    for name in ("loss.csv", "loss.svg", "samples.png"):
        assert f"({name})" in text and (folder / name).stat().st_size > 200
    with pytest.raises(configs.ConfigError, match="no/such"):
        page.write(state, tmp_path / "run", folder, page.Measure("no/such", "x", "y", 2, []))


def bits(folder, *options):
    done = subprocess.run([PROGRAM, "likelihood", folder, folder.parent / "x.npy", "--steps", "5", "--json", "-",
                           *options], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_derivatives_of_an_exported_network(config, tmp_path):
    """Likelihoods by the graph of derivatives are those by central differences."""
    trainer, folder = loop.Trainer(config, "cpu"), tmp_path / "model"
    loop.run(trainer, tmp_path / "run", loop.Limits(steps=20, quiet=True))
    exporter.export(trainer.state(), folder, [1, 28, 28])
    images = data.load(config.data, train=False).take(slice(4))[0]
    np.save(tmp_path / "x.npy", ((images.numpy() + 1) * 127.5).round().astype(np.uint8))
    differences = bits(folder)
    exporter.export_jvp(*exporter.denoiser(trainer.state()), folder, [1, 28, 28])
    exact = bits(folder)
    assert (differences["jvp"], exact["jvp"]) == (False, True)
    assert abs(exact["bpd"] - differences["bpd"]) < 2e-3, (exact["bpd"], differences["bpd"])
    trainer = loop.Trainer(config, "cpu")  # other weights have another derivative
    exporter.export_jvp(*exporter.denoiser(trainer.state()), folder, [1, 28, 28])
    assert abs(bits(folder)["bpd"] - differences["bpd"]) > 2e-3
