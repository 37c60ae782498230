"""Phase-space Langevin diffusion (PSLD), reduced to the same circle (circle.py).

The state is a pair (x, m) per pixel, and with hybrid score matching (m_0 integrated out)

    (x, m) = a x0 + L (n_x, n_m),     a in R^2, L lower triangular, the same for every pixel.

Let g = L^-1 a, k = |g|^2, and split the plane along u = g/|g| and its normal w. In y = L^-1 (x, m)

    u.y = sqrt(k) x0 + u.n            w.y = w.n

so the normal part of the noise is known exactly from the state, and everything the state says
about x0 is in u.y: one number per pixel, with half log-SNR ln(k)/2. Divided by sqrt(1 + k) it is
a point z on the circle, and the noise to be predicted is

    (n_x, n_m) = w (w.y) + u (sin z + cos v).

Nothing is lost: the exact score has this form too. A body trained on VP noise can therefore serve
PSLD, and PSLD is trained by the same loss as everything else. Kernel: arXiv 2303.01748; the sums
below have non-negative terms only, so that float32 is enough.
"""

import torch
from torch import nn

from .circle import circle, wide

NUMERICAL_EPS = 1e-9  # added to both variances, as in the authors' code


def kernel(config, t):
    """a = (a0, a1) and L = (l11, l21, l22), each [n], at times t [n] in (0, 1]."""
    total = t * (config.beta_min + 0.5 * (config.beta_max - config.beta_min) * t)
    s, p = config.nu - config.gamma, config.nu + config.gamma
    mass = 4 / (s * s)  # critical damping
    u = 0.5 * p * total
    decay = torch.exp(-0.5 * u)
    psi00, psi01 = decay * (1 + s * total / 4), decay * total / (2 * mass)
    psi10, psi11 = -decay * total / 2, decay * (1 - s * total / 4)
    common = 0.5 * config.nu * config.gamma * total**2 + exp_remainder(u)
    v0 = config.kappa * mass  # variance of m at t = 0
    e = torch.exp(-u)
    xx = e * (config.gamma * total + common) + v0 * psi01**2 + NUMERICAL_EPS
    mm = e * mass * (config.nu * total + common) + v0 * psi11**2 + NUMERICAL_EPS
    xm = e * s * total**2 / 4 + v0 * psi01 * psi11
    l11 = torch.sqrt(xx)
    return (psi00, psi10), (l11, xm / l11, torch.sqrt((xx * mm - xm**2) / xx))


def exp_remainder(u):
    """e^u - 1 - u - u^2/2 without cancellation, u >= 0."""
    series = torch.ones_like(u)
    for i in range(10, 3, -1):
        series = 1 + series * u / i
    return torch.where(u < 1, u**3 / 6 * series, torch.exp(u) - 1 - u - 0.5 * u**2)


def direction(config, t):
    """(g0, g1) = L^-1 a, each [n]."""
    (a0, a1), (l11, l21, l22) = kernel(config, t)
    g0 = a0 / l11
    return g0, (a1 - l21 * g0) / l22


def log_snr(config, t):
    """Half log-SNR [n] of what the state says about x0."""
    g0, g1 = direction(config, t)
    return 0.5 * torch.log(g0**2 + g1**2)


def state(config, t, x0, noise):
    """(x, m) [n, 2c, h, w] from x0 [n, c, h, w] and noise [n, 2c, h, w], x channels first."""
    (a0, a1), (l11, l21, l22) = kernel(config, t)
    nx, nm = noise.chunk(2, dim=1)
    return torch.cat((wide(a0) * x0 + wide(l11) * nx,
                      wide(a1) * x0 + wide(l21) * nx + wide(l22) * nm), dim=1)


class PhaseDenoiser(nn.Module):
    """What is exported for PSLD: sample [n, 2c, h, w], timestep t [n] (unscaled), labels
    -> predicted noise [n, 2c, h, w], x channels first; score = -L^-T noise."""

    def __init__(self, body, config):
        super().__init__()
        self.body, self.config = body, config.process

    def forward(self, sample, timestep, class_labels=None):
        _, (l11, l21, l22) = kernel(self.config, timestep)
        g0, g1 = direction(self.config, timestep)
        norm = torch.sqrt(g0**2 + g1**2)
        u0, u1, level = wide(g0 / norm), wide(g1 / norm), torch.log(norm)
        cos, sin = (wide(part) for part in circle(level))
        x, m = sample.chunk(2, dim=1)
        y0 = x / wide(l11)
        y1 = (m - wide(l21) * y0) / wide(l22)
        z = (u0 * y0 + u1 * y1) * sin
        known = u0 * y1 - u1 * y0
        along = sin * z + cos * self.body(z, level, class_labels).float()
        return torch.cat((u0 * along - u1 * known, u1 * along + u0 * known), dim=1)
