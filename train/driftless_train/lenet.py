"""LeNet-5 for MNIST, the feature network of the published "FID-LeNet", from its weights as an npz.

28x28 images are resized to 32x32 (bilinear, pixel centres at half-integers) and scaled to [0, 1];
both happen inside, so images of the same range as everywhere here go in. The weights come from
TensorFlow: tanh everywhere, average pooling, and flattening in the order height, width, channel.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .config import ConfigError, from_dict
from .evaluate import module_runner
from .features import export, judge

LAYERS = {"conv2d": "conv1", "conv2d_1": "conv2", "dense": "dense1", "dense_1": "dense2",
          "dense_2": "out"}


class LeNet(nn.Module):
    """Images [n, 1, 28, 28] in [-1, 1] -> (features [n, 84], logits [n, 10])."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense1 = nn.Linear(576, 120)
        self.dense2 = nn.Linear(120, 84)
        self.out = nn.Linear(84, 10)

    def forward(self, images):
        x = 0.5 * images + 0.5
        x = F.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False)
        for conv in (self.conv1, self.conv2):
            x = F.avg_pool2d(torch.tanh(conv(x)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)
        features = torch.tanh(self.dense2(torch.tanh(self.dense1(x))))
        return features, self.out(features)


def load(path):
    """The network with the weights of an npz: conv2d.w, conv2d.b, conv2d_1.w, ..., dense_2.b."""
    model = LeNet()
    try:
        with np.load(path) as arrays:
            state = {f"{ours}.{kind}": torch.from_numpy(arrays[f"{theirs}.{short}"])
                     for theirs, ours in LAYERS.items()
                     for kind, short in (("weight", "w"), ("bias", "b"))}
        model.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{path}: not the weights of LeNet-5 ({error})") from error
    return model.eval().requires_grad_(False)


def convert(weights, folder, images=None):
    """Write folder/network.onnx and features.json; `images`: MNIST's test set, for the accuracy.

    Returns (largest round-trip difference or None, accuracy or None).
    """
    model, score = load(weights), None
    entries = {"name": "mnist-lenet5", "layer": "second dense layer after tanh, before the logits",
               "classes": {"count": 10, "names": [str(digit) for digit in range(10)]},
               "license": "Apache-2.0", "data": "MNIST"}
    if images is not None:
        plain = from_dict({"name": "mnist-lenet5", "kind": "classifier"})
        score = judge(module_runner(model), plain, images, quiet=True)
        entries["accuracy"] = score.entry()
    image = {"shape": [1, 28, 28], "range": [-1.0, 1.0]}
    return export(model, folder, entries, image), score
