"""Noise processes as maps from their own time to the circle (circle.py); what is exported."""

import math

import torch
from torch import nn

from . import phase
from .circle import circle, coefficients, wide

TIME_SCALE = {"vp_linear": 1000.0, "rectified_flow": 1000.0}  # network time = scale * t


class Process(nn.Module):
    """The map from a process's own time t to (lambda, c). Times are tensors [n]."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        if config.type == "vp_discrete":
            betas = torch.linspace(config.beta_min, config.beta_max, config.steps,
                                   dtype=torch.float64)
            log_a2 = torch.log1p(-betas).cumsum(0)
            half = 0.5 * (log_a2 - torch.log(-torch.expm1(log_a2)))
            self.register_buffer("table", half.float(), persistent=False)

    def log_snr(self, t):
        """Half log-SNR ln(a/b) [n]; vp_discrete: t holds int64 steps 0..steps-1."""
        config = self.config
        if config.type == "vp_linear":
            # y = -2 ln a, and b^2 = 1 - exp(-y) through tanh, exact near t = 0
            y = t * (config.beta_min + 0.5 * (config.beta_max - config.beta_min) * t)
            half = torch.tanh(0.5 * y)
            return -0.5 * (y + torch.log(2 * half / (1 + half)))
        if config.type == "vp_discrete":
            return self.table[t]
        if config.type == "rectified_flow":
            return torch.log1p(-t) - torch.log(t)
        if config.type == "psld":
            return phase.log_snr(config, t)
        return -torch.log(t)  # edm: t is sigma

    def scale(self, t):
        """c = sqrt(a^2 + b^2) [n], or None where it is 1."""
        if self.config.type == "rectified_flow":
            return torch.sqrt((1 - t) ** 2 + t**2)
        if self.config.type == "edm":
            return torch.sqrt(1 + t**2)
        return None

    def draw(self, u):
        """Training times [n] from stratified uniforms u in [0, 1)."""
        config = self.config
        if config.type == "vp_discrete":
            first, last = self.discrete_range()
            return first + (u * (last - first + 1)).long().clamp(max=last - first)
        if config.times == "lognormal":
            z = math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-0.999999, 0.999999))
            t = torch.exp(config.times_mean + config.times_std * z)
            return t.clamp(config.t_min, config.t_max)
        return config.t_min + (config.t_max - config.t_min) * u

    def discrete_range(self):
        """First and last step that vp_discrete trains (t_min, t_max are fractions of steps)."""
        steps = self.config.steps
        return int(self.config.t_min * steps), max(1, round(self.config.t_max * steps)) - 1


class Denoiser(nn.Module):
    """What is exported: the body between the card's inputs and output.

    sample [n, c, h, w] float32, timestep [n] (float32; int64 for vp_discrete),
    class_labels [n] int64 -> [n, c, h, w] of the configured prediction.
    """

    def __init__(self, body, config):
        super().__init__()
        self.body = body
        self.process = Process(config.process)
        self.prediction = config.prediction
        self.sigma_data = config.process.sigma_data
        self.time_scale = TIME_SCALE.get(config.process.type)

    def forward(self, sample, timestep, class_labels=None):
        if self.prediction == "edm":  # the outer program has applied c_in and ln(sigma)/4
            log_snr = -4 * timestep
            sigma = torch.exp(4 * timestep)
            scale = torch.sqrt((1 + sigma**2) / (sigma**2 + self.sigma_data**2))
        else:
            t = timestep / self.time_scale if self.time_scale else timestep
            log_snr, scale = self.process.log_snr(t), self.process.scale(t)
        z = sample if scale is None else sample / wide(scale)
        cos, sin = circle(log_snr)
        skip, gain = coefficients(self.prediction, cos, sin, self.sigma_data)
        v = self.body(z, log_snr, class_labels).float()
        return wide(skip) * z + wide(gain) * v
