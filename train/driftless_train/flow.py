"""A normalising flow as the law of x_T = a x_0 + b n at one time T (How Much Is Enough?, Franzese et
al., arXiv 2206.05173): what a sampler starts from instead of N(0, I).

The noise has made x_T almost Gaussian, so the flow begins as the best Gaussian: the mean, the
standard deviations along the `rank` leading principal axes of the data and one deviation for all
other directions, where there is next to nothing but noise (Tipping and Bishop's probabilistic PCA,
carried to T in closed form). On the leading coordinates affine couplings (Dinh et al., Real NVP, arXiv
1605.08803) add what is not Gaussian: half of the coordinates, by a small network, shift and scale the
other half. The halves of layers 2i and 2i + 1 change places, and each pair splits the coordinates
anew. The last layer of every network is zero at first, so training can only gain on the Gaussian.
Log-scales are bounded by a tanh, so that no state can blow up and both directions are stable in
float32. Convolutions over pixels would have to find the principal axes first, whose long waves the
noise has left; in these coordinates a step costs a few small products.

Both directions are closed formulas without random numbers: normals -> state (Sampler) and state ->
log-density (Density) are exported as two graphs.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from .draws import generator

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class FlowConfig:
    """The density at `time` of the process; images [channels, size, size]."""

    time: float = 0.4
    in_channels: int = 1
    size: int = 28
    rank: int = 64  # leading principal coordinates, which the couplings act on; even
    layers: int = 12  # couplings; even
    width: int = 192  # of the two hidden layers of each
    bound: float = 1.5  # largest |log-scale| of one coupling


def marginal(process, time):
    """(a, b) of x_T = a x_0 + b n, vp_linear, in double precision."""
    rate = time * (process.beta_min + 0.5 * (process.beta_max - process.beta_min) * time)
    return math.exp(-0.5 * rate), math.sqrt(-math.expm1(-rate))


class Coupling(nn.Module):
    """Half of y [n, rank] shifts and scales the other half. `order` [rank]: those that stay, then
    those that change."""

    def __init__(self, config, order):
        super().__init__()
        half, width = config.rank // 2, config.width
        self.bound = config.bound
        self.net = nn.Sequential(nn.Linear(half, width), nn.SiLU(), nn.Linear(width, width),
                                 nn.SiLU(), nn.Linear(width, 2 * half))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        self.register_buffer("order", order)
        self.register_buffer("back", torch.argsort(order))

    def _terms(self, kept):
        log_scale, shift = self.net(kept).chunk(2, dim=1)
        return self.bound * torch.tanh(log_scale), shift

    def forward(self, y):
        """Towards the normals -> (y, log |determinant| [n])"""
        kept, changed = y[:, self.order].chunk(2, dim=1)
        log_scale, shift = self._terms(kept)
        changed = (changed - shift) * torch.exp(log_scale)
        return torch.cat([kept, changed], dim=1)[:, self.back], log_scale.sum(dim=1)

    def inverse(self, y):
        """From the normals to y."""
        kept, changed = y[:, self.order].chunk(2, dim=1)
        log_scale, shift = self._terms(kept)
        changed = changed * torch.exp(-log_scale) + shift
        return torch.cat([kept, changed], dim=1)[:, self.back]


class Flow(nn.Module):
    """States x [n, D] <-> normals z [n, D]; D = channels * size^2."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.dim = config.in_channels * config.size**2
        self.register_buffer("mean", torch.zeros(self.dim))
        self.register_buffer("axes", torch.eye(config.rank, self.dim))  # orthonormal rows
        self.register_buffer("scale", torch.ones(config.rank))  # deviations along them
        self.register_buffer("rest", torch.ones(()))  # deviation in all other directions
        self.couplings = nn.ModuleList(
            Coupling(config, order) for order in orders(config.rank, config.layers))

    @torch.no_grad()
    def fit(self, images, a, b):
        """The Gaussian to begin with: moments of all images, carried to a x_0 + b n."""
        mean, covariance = moments(images)
        variances, axes = torch.linalg.eigh(covariance)
        variances, axes = variances.flip(0).clamp(min=0), axes.flip(1).T
        rank = self.config.rank
        rest = variances[rank:].mean() if rank < self.dim else torch.zeros(())
        for name, value in (("mean", a * mean), ("axes", axes[:rank]),
                            ("scale", (a * a * variances[:rank] + b * b).sqrt()),
                            ("rest", (a * a * rest + b * b).sqrt())):
            getattr(self, name).copy_(value)

    def forward(self, x):
        """-> (leading normals [n, rank], half the squares of the others [n], log |det| [n])"""
        centred = x - self.mean
        y = centred @ self.axes.T
        others = (centred - y @ self.axes) / self.rest
        z, log_det = y / self.scale, -self.scale.log().sum()
        log_det = log_det - (self.dim - self.config.rank) * self.rest.log()
        for coupling in self.couplings:
            z, more = coupling(z)
            log_det = log_det + more
        return z, 0.5 * others.square().sum(dim=1), log_det

    def log_density(self, x):
        """log nu(x) [n] in nats."""
        z, others, log_det = self(x)
        return log_det - others - 0.5 * z.square().sum(dim=1) - 0.5 * self.dim * LOG_2PI

    def sample(self, normals):
        """States [n, D] from standard normals [n, D]; the normals off the axes are kept, scaled."""
        z = lead = normals @ self.axes.T
        for coupling in reversed(self.couplings):
            z = coupling.inverse(z)
        return self.mean + self.rest * (normals - lead @ self.axes) + (self.scale * z) @ self.axes


class Sampler(nn.Module):
    """What is exported: normals [n, D] -> state [n, D]."""

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def forward(self, normals):
        return self.flow.sample(normals)


class Density(nn.Module):
    """What is exported: state [n, D] -> log-density [n]."""

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def forward(self, state):
        return self.flow.log_density(state)


def orders(rank, layers):
    """Coordinates of each coupling. The first pair splits them by even and odd, so that both halves
    have leading ones; the others at random."""
    made = []
    for pair in range(layers // 2):
        split = torch.randperm(rank, generator=generator(0, "split", pair))
        if pair == 0:
            split = torch.arange(rank).view(-1, 2).T.reshape(-1)
        made += [split, split.roll(rank // 2)]
    return made


def moments(images, batch=5000):
    """Mean [D] and covariance [D, D] of images.take(...) in double precision."""
    total, squares = 0.0, 0.0
    for start in range(0, len(images), batch):
        x = images.take(slice(start, start + batch))[0].flatten(1).double()
        total, squares = total + x.sum(dim=0), squares + x.T @ x
    mean = total / len(images)
    return mean, squares / len(images) - torch.outer(mean, mean)


def gain(flow, x):
    """log nu(x) - log N(x; 0, I) [n]"""
    return flow.log_density(x) + 0.5 * (x.square().sum(dim=1) + flow.dim * LOG_2PI)


def flow_loss(flow, _process, config, x0, _labels, draws):
    """Minus the mean gain over N(0, I) on freshly noised images: maximum likelihood, in nats."""
    a, b = marginal(config.process, config.flow.time)
    noise = torch.randn(x0.shape, generator=draws).to(x0.device)
    with torch.autocast(x0.device.type, enabled=False):  # log-densities need float32
        return -gain(flow, (a * x0 + b * noise).flatten(1)).mean()
