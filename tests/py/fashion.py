"""How far pictures are from Fashion-MNIST: Frechet's distance between two normal distributions of 16
features, the first 12 principal components of the pictures pooled 4x4 and 4 numbers about texture; each in
units of its own spread in the test images. tests/gen/fashion_features.py stores the statistics of the
test images, and the distances of random sets of 64 of them, for orientation.
"""

from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[1] / "data" / "fashion-features.npz"
COUNT, COMPONENTS = 64, 12  # pictures compared, principal components


def raw_features(images):
    """images [n][28][28] in [-1, 1] -> pooled pixels [n][49], texture [n][4]."""
    pooled = images.reshape(len(images), 7, 4, 7, 4).mean(axis=(2, 4)).reshape(len(images), 49)
    across, down = np.abs(np.diff(images, axis=2)), np.abs(np.diff(images, axis=1))
    texture = np.stack([across.mean(axis=(1, 2)), down.mean(axis=(1, 2)), images.std(axis=(1, 2)),
                        images.mean(axis=(1, 2))], axis=1)
    return pooled, texture


def features(images, reference):
    pooled, texture = raw_features(images)
    both = np.concatenate([(pooled - reference["centre"]) @ reference["basis"], texture], axis=1)
    return (both - reference["mean"]) / reference["spread"]


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def distance(images, reference):
    """Frechet distance to the reference; the covariance of the few images is shrunk by a tenth
    towards its diagonal."""
    x = features(images, reference)
    mean, cov = x.mean(axis=0), np.cov(x.T)
    cov = 0.9 * cov + 0.1 * np.diag(np.diag(cov))
    half = root(reference["covariance"])
    cross = np.trace(root(half @ cov @ half))
    return float(mean @ mean + np.trace(cov) + np.trace(reference["covariance"]) - 2 * cross)


def reference():
    """Statistics of the test images, by name."""
    with np.load(DATA) as file:
        return dict(file)
