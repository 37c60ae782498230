"""Schedulers of diffusers, driven with a denoiser that is exact for a Gaussian mixture.

Two things are taken from them so that what is left is the method: single precision, by letting their float32
be float64 while they are made and run; and the rounding of times, by asking the denoiser at the noise level
the scheduler computes with rather than at the index it hands out."""

import contextlib
import warnings
from unittest import mock

import numpy as np
import torch

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]])
STDS = np.array([[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]])
SIGMA_DATA = 0.5


@contextlib.contextmanager
def double_precision():
    """Whatever calls itself float32 in diffusers is float64 meanwhile."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch, "float32", torch.float64), mock.patch.object(np, "float32", np.float64), \
             warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(default)


def means(x, a, b):
    """E[x_0|x] and E[n|x] of the mixture for x = a x_0 + b n."""
    variance = a * a * STDS**2 + b * b
    e = x[:, None] - a * MEANS
    log_r = np.log(WEIGHTS) - 0.5 * (e**2 / variance + np.log(variance)).sum(2)
    r = np.exp(log_r - log_r.max(1, keepdims=True))
    r = (r / r.sum(1, keepdims=True))[:, :, None]
    return (r * (MEANS + a * STDS**2 * e / variance)).sum(1), b * (r * e / variance).sum(1)


def vp(state, sigma, prediction):
    """State x with a^2 + b^2 = 1, b/a = sigma."""
    a = 1 / np.sqrt(1 + sigma**2)
    x0, n = means(state, a, sigma * a)
    return {"epsilon": n, "sample": x0, "v_prediction": a * n - sigma * a * x0}[prediction]


def unit(state, sigma, prediction):
    """State x/a; the network is fed x."""
    return vp(state / np.sqrt(1 + sigma**2), sigma, prediction)


def edm(state, sigma, _):
    """State x/a and a network that is preconditioned around it."""
    s = np.sqrt(sigma**2 + SIGMA_DATA**2)
    x0, _ = means(state, 1.0, sigma)
    return (x0 - SIGMA_DATA**2 / s**2 * state) / (sigma * SIGMA_DATA / s)


def flow(state, sigma, _):
    """State (1 - sigma) x_0 + sigma n; the network predicts n - x_0."""
    x0, n = means(state, 1 - sigma, sigma)
    return n - x0


def level(scheduler, t):
    """sigma at the scheduler's current step."""
    if hasattr(scheduler, "step_index") and scheduler.step_index is None:
        scheduler._init_step_index(t)
    if hasattr(scheduler, "sigmas"):
        return float(scheduler.sigmas[scheduler.step_index])
    if hasattr(scheduler, "alphas_cumprod"):
        ab = float(scheduler.alphas_cumprod[int(t)])
        return np.sqrt((1 - ab) / ab)
    b = float(scheduler.betas[scheduler.step_index])  # iPNDM's name for it
    return b / np.sqrt(1 - b * b)


def drive(scheduler, net, x, steps, noise=(), **step):
    """(result, times handed out, sigmas it computes with) of a scheduler, made in double precision, from the
    state x [n][2] by `steps` steps; for `unit`, x is divided by a first. noise: the shared normals, a plane for
    each draw."""
    planes = iter(noise)
    with double_precision(), mock.patch(f"{type(scheduler).__module__}.randn_tensor", create=True,
                                        new=lambda *_, **__: torch.from_numpy(next(planes))):
        scheduler.set_timesteps(steps)
        first = float(scheduler.sigmas[0]) if net is unit else 0.0
        sigmas, state = [], torch.from_numpy(x * np.sqrt(1 + first**2))
        if hasattr(scheduler, "is_scale_input_called"):
            scheduler.is_scale_input_called = True  # net scales by itself
        for t in scheduler.timesteps:
            sigmas.append(level(scheduler, t))
            y = net(state.numpy(), sigmas[-1], scheduler.config.get("prediction_type"))
            state = scheduler.step(torch.from_numpy(y), t, state, **step).prev_sample
        if hasattr(scheduler, "sigmas"):
            sigmas.append(float(scheduler.sigmas[-1]))
    assert state.dtype == torch.float64
    return state.numpy(), scheduler.timesteps.numpy(), np.array(sigmas)


def make(kind, **config):
    with double_precision():
        return kind(num_train_timesteps=1000, **config)
