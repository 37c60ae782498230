#!/usr/bin/env python3
"""Moments of Fashion-MNIST for `driftless plan --predict`: models/fashion-vp/moments.npz.

    build/venv/bin/python scripts/data_moments.py [-o FILE]

Class by class over the 60 000 training images, whose bytes are taken to [-1, 1] as the network was trained
(byte / 127.5 - 1): the eigenvalues of the covariance (divided by n) and the mean along its eigenvectors.
Nothing else of the data enters a prediction, so the eigenvectors are not kept. Needs NumPy and the Debian
package dataset-fashion-mnist.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = Path("/usr/share/datasets/fashion-mnist")


def read(name, head):
    with gzip.open(DATA / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=head)


def moments(pixels):
    """Eigenvalues, ascending, and projected mean of rows of numbers."""
    mean = pixels.mean(axis=0)
    values, vectors = np.linalg.eigh((pixels - mean).T @ (pixels - mean) / len(pixels))
    return np.maximum(values, 0), mean @ vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", default=str(ROOT / "models" / "fashion-vp" / "moments.npz"))
    arguments = parser.parse_args()
    pixels = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784) / 127.5 - 1
    labels = read("train-labels-idx1-ubyte.gz", 8)
    each = [moments(pixels[labels == k]) for k in range(10)]
    np.savez_compressed(arguments.output, eigenvalues=np.array([v for v, _ in each], np.float32),
                        projected_mean=np.array([m for _, m in each], np.float32))


if __name__ == "__main__":
    main()
