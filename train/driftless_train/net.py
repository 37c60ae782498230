"""The network body: a compact U-Net for small images.

One page, four ideas, all for quality per operation on a CPU:

* Most of the work is at half and quarter resolution, where a convolution is
  rich in channels and poor in memory traffic; full resolution gets a stem and
  few narrow blocks.
* One skip connection per resolution, joined once on the way up. Going up is a
  1x1 convolution *before* nearest-neighbour upsampling: the same map as after
  it, at a quarter of the cost.
* Attention only at the lowest resolution (49 places at 7x7).
* The time enters as the half log-SNR of the state, so the same body serves
  every noise process (see circle.py); time and class act as scale and shift
  after the second normalisation of each block.

The body maps a state of roughly unit variance to v = a*noise - b*x0, a target
of roughly unit variance at every noise level. circle.py turns v into whatever
the model card promises.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

LOG_SNR_LIMIT = 8.0  # half log-SNR is clipped to +-8: noise of 3e-4, below one grey level


@dataclass(frozen=True)
class NetConfig:
    """Shape of a body. `widths`: channels at full, half, quarter resolution."""

    in_channels: int = 1
    classes: int = 10  # 0: unconditional; otherwise label `classes` means "no class"
    widths: tuple[int, ...] = (32, 64, 128)
    down: tuple[int, ...] = (1, 2, 0)  # blocks before going down; unused at the last level
    up: tuple[int, ...] = (2, 2, 0)  # blocks after coming up, the first joins the skip
    middle: int = 4  # blocks at the lowest resolution
    heads: int = 4  # attention heads, after every second middle block
    embedding: int = 128
    groups: int = 8


class FourierTime(nn.Module):
    """Half log-SNR [n] -> smooth features [n, 2*frequencies]."""

    def __init__(self, frequencies=32, lowest=0.1, highest=4.0):
        super().__init__()
        span = torch.linspace(math.log(lowest), math.log(highest), frequencies)
        self.register_buffer("omega", span.exp(), persistent=False)

    def forward(self, log_snr):
        angle = log_snr.clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT)[:, None] * self.omega
        return torch.cat((angle.sin(), angle.cos()), dim=1)


class Norm(nn.GroupNorm):
    """Group normalisation in float32, where autocast would take bf16: a CPU is three times as fast
    at it (measured at 28x28), and a training step a third faster."""

    def forward(self, x):
        return super().forward(x if x.dtype == torch.float32 else x.float())  # no Cast in the ONNX graph


class Block(nn.Module):
    """Residual block [n, cin, h, w] -> [n, cout, h, w], modulated by the embedding."""

    def __init__(self, cin, cout, config):
        super().__init__()
        self.norm1 = Norm(config.groups, cin)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.modulate = nn.Linear(config.embedding, 2 * cout)
        self.norm2 = Norm(config.groups, cout)
        self.conv2 = zeroed(nn.Conv2d(cout, cout, 3, padding=1))
        self.skip = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


class Attention(nn.Module):
    """Residual self-attention over all places of [n, c, h, w]."""

    def __init__(self, channels, config):
        super().__init__()
        self.heads = config.heads
        self.norm = Norm(config.groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x):
        n, c, height, width = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        # [n, places, 3, heads, c/heads] -> three of [n, heads, places, c/heads]
        qkv = self.qkv(tokens).reshape(-1, height * width, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = torch.softmax(q @ k.transpose(2, 3) * (c // self.heads) ** -0.5, dim=-1) @ v
        mixed = self.out(mixed.transpose(1, 2).reshape(-1, height * width, c))
        return x + mixed.transpose(1, 2).reshape(-1, c, height, width)


class Body(nn.Module):
    """U-Net: state [n, c, h, w], half log-SNR [n], labels int64 [n] -> v [n, c, h, w].

    h and w must be multiples of 2 ** (levels - 1).
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        widths, last = config.widths, len(config.widths) - 1
        self.time = nn.Sequential(FourierTime(), nn.Linear(64, config.embedding), nn.SiLU(),
                                  nn.Linear(config.embedding, config.embedding))
        self.label = nn.Embedding(config.classes + 1, config.embedding) if config.classes else None
        self.stem = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in range(last):
            c = widths[level]
            self.down.append(nn.ModuleList(Block(c, c, config) for _ in range(config.down[level])))
            self.up.append(nn.ModuleList(Block(c if i else 2 * c, c, config)
                                         for i in range(config.up[level])))
            self.shrink.append(nn.Conv2d(c, widths[level + 1], 3, stride=2, padding=1))
            self.grow.append(nn.Conv2d(widths[level + 1], c, 1))
        self.middle = nn.ModuleList(Block(widths[last], widths[last], config)
                                    for _ in range(config.middle))
        self.attend = nn.ModuleList(Attention(widths[last], config) if i % 2 else nn.Identity()
                                    for i in range(config.middle))
        self.norm = Norm(config.groups, widths[0])
        self.head = zeroed(nn.Conv2d(widths[0], config.in_channels, 3, padding=1))

    def forward(self, x, log_snr, labels=None):
        embedding = self.time(log_snr)
        if self.label is not None:
            embedding = embedding + self.label(labels)
        embedding = F.silu(embedding)
        h, skips = self.stem(x), []
        for blocks, shrink in zip(self.down, self.shrink):
            for block in blocks:
                h = block(h, embedding)
            skips.append(h)
            h = shrink(h)
        for block, attend in zip(self.middle, self.attend):
            h = attend(block(h, embedding))
        for blocks, grow in zip(reversed(self.up), reversed(self.grow)):
            h = F.interpolate(grow(h), scale_factor=2.0, mode="nearest")
            h = torch.cat((h, skips.pop()), dim=1)
            for block in blocks:
                h = block(h, embedding)
        return self.head(F.silu(self.norm(h)))


def zeroed(layer):
    """Start a residual branch (or the output) at zero, so that depth costs nothing at first."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def multiply_adds(body, height, width):
    """Multiply-adds of convolutions and linear maps for one [c, height, width] sample."""
    total, hooks = 0, []

    def count(layer, inputs, output):
        nonlocal total
        places = output.numel() // output.shape[1 if isinstance(layer, nn.Conv2d) else -1]
        total += layer.weight.numel() * places

    for layer in body.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            hooks.append(layer.register_forward_hook(count))
    device = next(body.parameters()).device
    label = torch.zeros(1, dtype=torch.int64, device=device)
    with torch.no_grad():
        body(torch.zeros(1, body.config.in_channels, height, width, device=device),
             torch.zeros(1, device=device), label)
    for hook in hooks:
        hook.remove()
    return total
