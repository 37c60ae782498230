"""A toy data set (one bright square per image, its corner set by the class) and tiny networks."""

import numpy as np
import pytest
import torch

from driftless_train import config as configs

torch.set_num_threads(1)  # the same sums in the same order on every machine


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Path of an npz with 512 + 128 images [8, 8] of 4 classes."""
    random = np.random.default_rng(0)

    def part(n):
        labels = random.integers(0, 4, n)
        images = np.zeros((n, 8, 8), np.uint8)
        for image, label in zip(images, labels):
            row, column = 4 * (label // 2), 4 * (label % 2)
            image[row:row + 3, column:column + 3] = random.integers(150, 256)
        return images, labels

    path = tmp_path_factory.mktemp("data") / "toy.npz"
    (train_x, train_y), (test_x, test_y) = part(512), part(128)
    np.savez(path, train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y)
    return str(path)


@pytest.fixture
def make(toy):
    """make(prediction=..., process={...}, net={...}, train={...}) -> Config of a tiny network."""
    def build(prediction="epsilon", process=None, net=None, train=None, **top):
        small = {"classes": 4, "widths": [8, 16, 16], "down": [1, 1, 0], "up": [1, 1, 0],
                 "middle": 2, "heads": 2, "embedding": 16, "groups": 4}
        quick = {"batch": 32, "warmup": 10, "log_steps": 10, "precision": "fp32"}
        return configs.from_dict({
            "name": "tiny", "prediction": prediction, "process": process or {},
            "data": {"dataset": "npz", "path": toy},
            "net": {**small, **(net or {})}, "train": {**quick, **(train or {})}, **top})
    return build
