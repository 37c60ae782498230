"""Noise processes and prediction types, reduced to one picture.

Every process here is x_t = a(t) x0 + b(t) n. Divided by c = sqrt(a^2 + b^2) it
becomes a point on a circle, (a, b)/c = (cos, sin), fixed by the half log-SNR
lambda = ln(a/b) alone. The network body lives on that circle: it sees

    z = cos * x0 + sin * n        and answers       v = cos * n - sin * x0.

A process is then two functions of its time, lambda and c, and a prediction type
is two coefficients, p = skip * z + gain * v:

    epsilon          n      = sin z + cos v
    sample           x0     = cos z - sin v
    v_prediction     v      =         v
    flow_prediction  n - x0 = (sin - cos) z + (sin + cos) v
    edm              F of D = c_skip x + c_out F(c_in x, ln(sigma)/4), see edm_coefficients

So one body can serve, or be fine-tuned from, any other. It also conditions the
network well: at the noisy end "predict the noise" is almost "copy the input",
which the coefficients do exactly instead of the network approximately.
"""

import torch

from .config import ConfigError


def circle(log_snr):
    """(cos, sin) [n] of a half log-SNR [n]: the normalised signal and noise levels."""
    return torch.sigmoid(2 * log_snr).sqrt(), torch.sigmoid(-2 * log_snr).sqrt()


def coefficients(prediction, cos, sin, sigma_data=0.5):
    """(skip, gain) [n] with prediction = skip * z + gain * v."""
    if prediction == "epsilon":
        return sin, cos
    if prediction == "sample":
        return cos, -sin
    if prediction == "v_prediction":
        return torch.zeros_like(cos), torch.ones_like(cos)
    if prediction == "flow_prediction":
        return sin - cos, sin + cos
    if prediction == "edm":
        return edm_coefficients(cos, sin, sigma_data)
    raise ConfigError(f"unknown prediction {prediction!r}")


def edm_coefficients(cos, sin, sigma_data):
    """F = (D - c_skip x) / c_out, with D = cos z - sin v, x = z/cos, sigma = sin/cos.

    c_skip and c_out are those of Karras et al. (arXiv 2206.00364, table 1); written so that
    neither end of the circle divides 0 by 0.
    """
    s2 = sigma_data**2
    root = torch.sqrt(sin**2 + s2 * cos**2)  # sqrt(sigma^2 + s2) times cos
    return sin * cos * (1 - s2) / (sigma_data * root), -root / sigma_data


def wide(values):
    """[n] -> [n, 1, 1, 1]"""
    return values[:, None, None, None]
