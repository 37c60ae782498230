#!/usr/bin/env python3
"""What sample size alone does to a Frechet distance: real images against real images.

    build/venv/bin/python scripts/sample_size.py

Features of the shipped classifier for 30 000 training images of Fashion-MNIST and the 10 000 test images.
For each n: n training images against the whole test set, which is how samples are judged, and against n other
training images; mean and standard deviation over disjoint sets, ten at most. The table stands in
docs/evaluation.md. Some minutes on one core. Needs NumPy, OpenVINO for Python (both in build/venv) and the
Debian package dataset-fashion-mnist.
"""

import gzip
from pathlib import Path

import numpy as np
from solver_table import ROOT, TEST_IMAGES, Features, frechet

SIZES, TRAIN, SETS, SEED = (250, 500, 1000, 2000, 5000, 10000), 30000, 10, 64
TRAIN_IMAGES = TEST_IMAGES.with_name("train-images-idx3-ubyte.gz")


def images():
    with gzip.open(TRAIN_IMAGES) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    chosen = np.random.default_rng(SEED).permutation(len(pixels))[:TRAIN]
    return pixels[chosen] / np.float32(127.5) - 1


def told(values):
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else f"{values[0]:.2f}"


def main():
    features = Features(Path(ROOT) / "models" / "fashion-classifier")
    train = features.of(images())
    print(f"{train.shape[1]} features\n\n| n | against 10 000 test images | sets | against n others | pairs |\n"
          "|---|---|---|---|---|")
    for n in SIZES:
        sets = [train[i:i + n] for i in range(0, min(TRAIN, SETS * n), n)]
        whole = [frechet(x, features.real) for x in sets]
        pairs = [frechet(x, y) for x, y in zip(sets[::2], sets[1::2])]
        print(f"| {n} | {told(whole)} | {len(whole)} | {told(pairs)} | {len(pairs)} |", flush=True)


if __name__ == "__main__":
    main()
