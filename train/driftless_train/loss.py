"""The training loss, and the random numbers of one step.

All prediction types share one loss: mean of w * (v_body - v)^2 with w the square
of the prediction's gain, which is exactly the mean squared error of the prediction
itself (p - p_true = gain * (v_body - v)). For epsilon it is the usual "simple" loss.

Every random number is a function of (seed, step), so that a resumed run repeats
exactly what an uninterrupted one would have done, on any device.
"""

import torch
from torch.nn import functional as F

from .circle import circle, coefficients, wide
from .classifier import Classifier
from .flow import Flow, flow_loss
from .net import Body


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


def vary(x, config, generator):
    """Images [n, c, h, w], each moved by a few pixels and perhaps mirrored."""
    n, _, height, width = x.shape
    reach = config.shift
    move = torch.randint(0, 2 * reach + 1, (2, n), generator=generator).to(x.device)
    mirror = (torch.rand(n, generator=generator) < 0.5).to(x.device) & config.flip
    padded = F.pad(x, (reach,) * 4, value=-1.0)
    rows = torch.arange(height, device=x.device) + move[0][:, None]
    columns = torch.arange(width, device=x.device).expand(n, width)
    columns = torch.where(mirror[:, None], width - 1 - columns, columns) + move[1][:, None]
    image = torch.arange(n, device=x.device)[:, None, None]
    # indices [n, h, w] around the channel slice put the channels last
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def classifier_loss(body, process, config, x0, labels, generator):
    """Mean cross-entropy of a batch of varied images; of x_t at all times alike if noise = true."""
    x = vary(x0, config.classifier, generator)
    log_snr = None
    if config.classifier.noise:
        n, device = len(x), x.device
        log_snr = process.log_snr(process.draw(stratified(n, generator)).to(device))
        cos, sin = circle(log_snr)
        x = wide(cos) * x + wide(sin) * torch.randn(x.shape, generator=generator).to(device)
    return F.cross_entropy(body(x, log_snr)[1].float(), labels)


def body_and_loss(config):
    """What the configured kind trains: (untrained body, its loss)."""
    if config.kind == "classifier":
        return Classifier(config.classifier), classifier_loss
    if config.kind == "flow":
        return Flow(config.flow), flow_loss
    return Body(config.net), batch_loss
