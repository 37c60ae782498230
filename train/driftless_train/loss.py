"""The training loss, and the random numbers of one step.

All prediction types share one loss: mean of w * (v_body - v)^2 with w the square
of the prediction's gain, which is exactly the mean squared error of the prediction
itself (p - p_true = gain * (v_body - v)). For epsilon it is the usual "simple" loss.

Every random number is a function of (seed, step), so that a resumed run repeats
exactly what an uninterrupted one would have done, on any device.
"""

import torch

from .circle import circle, coefficients, wide


def stratified(n, generator):
    """n uniforms, one in each of n equal cells after one common shift (low discrepancy)."""
    shift = torch.rand((), generator=generator)
    return torch.remainder((torch.arange(n) + shift) / n, 1.0)


def weight(config, cos, sin):
    """w [n]: squared gain of the configured prediction."""
    _, gain = coefficients(config.prediction, cos, sin, config.process.sigma_data)
    return gain**2


def batch_loss(body, process, config, x0, labels, generator):
    """Mean loss of a batch x0 [n, c, h, w] in [-1, 1], labels [n] int64. -> scalar"""
    n, device = len(x0), x0.device
    t = process.draw(stratified(n, generator)).to(device)
    noise = torch.randn(x0.shape, generator=generator).to(device)
    if config.net.classes:
        drop = torch.rand(n, generator=generator) < config.train.null_fraction
        labels = torch.where(drop.to(device), config.net.classes, labels)
    log_snr = process.log_snr(t)
    cos, sin = circle(log_snr)
    z = wide(cos) * x0 + wide(sin) * noise
    target = wide(cos) * noise - wide(sin) * x0
    error = (body(z, log_snr, labels).float() - target).square().mean(dim=(1, 2, 3))
    return (weight(config, cos, sin) * error).mean()
