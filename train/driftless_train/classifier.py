"""The classifier body: a strided convolutional network, clean or told how noisy its input is.

Strides instead of maxima and SiLU instead of ReLU make it smooth, so that its gradient (see
gradient.py) is smooth, too, and is again a graph of convolutions. Its last hidden layer is what a
feature distance compares.
"""

import math
from dataclasses import dataclass

from torch import nn
from torch.nn import functional as F

from .net import FourierTime, Norm


@dataclass(frozen=True)
class ClassifierConfig:
    """Shape of a classifier and how its training images are varied."""

    in_channels: int = 1
    size: int = 28  # height and width of the images
    classes: int = 10
    widths: tuple[int, ...] = (32, 64, 96, 64)  # channels and strides of the convolutions;
    strides: tuple[int, ...] = (2, 2, 1, 2)  # the first is 5x5, the others are 3x3
    features: int = 128
    groups: int = 8
    noise: bool = False  # classify x_t of the configured process at all its times, not x_0
    embedding: int = 64  # of the noise level; noise = true only
    flip: bool = True  # mirror images left to right at random
    shift: int = 2  # pixels by which images move at most, black (-1) moving in


class Stage(nn.Module):
    """Convolution, normalisation, scale and shift by the noise level if there is one, SiLU."""

    def __init__(self, cin, cout, kernel, stride, config):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride=stride, padding=kernel // 2)
        self.norm = Norm(config.groups, cout)
        self.modulate = nn.Linear(config.embedding, 2 * cout) if config.noise else None

    def forward(self, x, embedding=None):
        h = self.norm(self.conv(x))
        if self.modulate is not None:
            scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return F.silu(h)


class Classifier(nn.Module):
    """Images [n, c, h, w] in [-1, 1] (noise = true: of unit variance, with their half log-SNR
    [n]) -> (features [n, features], logits [n, classes])."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.time = None
        if config.noise:
            self.time = nn.Sequential(FourierTime(), nn.Linear(64, config.embedding), nn.SiLU())
        channels = (config.in_channels, *config.widths)
        self.stages = nn.ModuleList(
            Stage(channels[i], channels[i + 1], 3 if i else 5, stride, config)
            for i, stride in enumerate(config.strides))
        side = config.size
        for stride in config.strides:
            side = math.ceil(side / stride)
        self.hidden = nn.Linear(channels[-1] * side * side, config.features)
        self.out = nn.Linear(config.features, config.classes)

    def forward(self, x, log_snr=None):
        embedding = self.time(log_snr) if self.time is not None else None
        for stage in self.stages:
            x = stage(x, embedding)
        features = F.silu(self.hidden(x.flatten(1)))
        return features, self.out(features)
