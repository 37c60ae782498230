#!/usr/bin/env python3
"""Writes tests/data/prior-cases.json: data, starts and what scikit-learn makes of them, iteration by iteration.

    prior_cases.py            needs numpy and scikit-learn (requirements/peers.txt)

Cases `em` (full, diag, tied): GaussianMixture from weights 1/K, means = the first K rows, covariances = I, one
iteration at a time. Case `dp`: BayesianGaussianMixture's own steps from hard responsibilities (nearest of the first K
rows); its bound leaves out constants, so only differences of bounds are kept. Cases `low` (ppca, fa): scikit-learn has
no mixtures of these; the iterations are written down here with dense matrices, for K = 1 and FA's likelihood checked
against its FactorAnalysis.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

warnings.filterwarnings("ignore")
OUT = Path(__file__).resolve().parents[1] / "data/prior-cases.json"


def toy(n, rng):
    """Rounded draws of a mixture of three, so that the file is short."""
    which = np.arange(n) % 3
    means = np.array([[1.2, -0.4, 0.3], [-0.9, 0.8, -0.2], [0.1, -1.5, 0.5]])
    stds = np.array([[0.35, 0.4, 0.2], [0.3, 0.4, 0.5], [0.25, 0.35, 0.3]])
    mix = np.array([[1, 0.3, 0], [0, 1, -0.4], [0.2, 0, 1]])
    return np.round(means[which] + (stds[which] * rng.normal(size=(n, 3))) @ mix, 6)


def em(x, k, kind, iterations):
    d = x.shape[1]
    eye = {"full": np.tile(np.eye(d), (k, 1, 1)), "tied": np.eye(d), "diag": np.ones((k, d))}[kind]
    model = GaussianMixture(k, covariance_type=kind, reg_covar=1e-6)
    model.weights_, model.means_, model.covariances_ = np.full(k, 1 / k), x[:k].copy(), eye
    model.precisions_cholesky_ = _compute_precision_cholesky(eye, kind)
    logs = []
    for _ in range(iterations):
        log, resp = model._e_step(x)
        model._m_step(x, resp)
        logs.append(float(log))
    return {"kind": kind, "reg": 1e-6, "loglik": logs, "weights": model.weights_.tolist(),
            "means": model.means_.ravel().tolist(), "covariances": model.covariances_.ravel().tolist()}


def dp(x, k, gamma, iterations):
    model = BayesianGaussianMixture(n_components=k, weight_concentration_prior=gamma, reg_covar=1e-6,
                                    weight_concentration_prior_type="dirichlet_process")
    model._check_parameters(x)
    labels = ((x[:, None] - x[None, :k]) ** 2).sum(2).argmin(1)
    model._initialize(x, np.eye(k)[labels])
    bounds = []
    for _ in range(iterations):
        log, resp = model._e_step(x)
        model._m_step(x, resp)
        bounds.append(float(model._compute_lower_bound(resp, log)))
    a, b = model.weight_concentration_
    v = a / (a + b)
    weights = v * np.concatenate([[1], np.cumprod(1 - v[:-1])])
    return {"labels": labels.tolist(), "components": k, "concentration": gamma, "reg": 1e-6, "bounds": bounds,
            "weights": (weights / weights.sum()).tolist(), "means": model.means_.ravel().tolist(),
            "covariances": model.covariances_.ravel().tolist()}


def log_normal(x, mean, cov):
    z = np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T)
    return -0.5 * (z**2).sum(0) - 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1]


def ppca(c, q, floor):
    values, vectors = np.linalg.eigh(c)
    s2 = max(values[:-q].mean(), floor)
    w = vectors[:, -q:] * np.sqrt(np.maximum(values[-q:] - s2, 0))
    return w, np.full(len(c), s2)


def low(x, kind, k, q, floor, iterations):
    n, d = x.shape
    labels = ((x[:, None] - x[None, :k]) ** 2).sum(2).argmin(1)
    r, state, logs = np.eye(k)[labels], None, []
    for i in range(iterations + 1):
        if i:
            each = np.stack([np.log(w) + log_normal(x, m, f @ f.T + np.diag(p)) for w, m, f, p in state], 1)
            total = np.log(np.exp(each - each.max(1, keepdims=True)).sum(1)) + each.max(1)
            logs.append(float(total.mean()))
            r = np.exp(each - total[:, None])
        fresh = []
        for j in range(k):
            count = r[:, j].sum()
            mean = r[:, j] @ x / count
            c = (r[:, j, None] * (x - mean)).T @ (x - mean) / count
            if kind == "ppca" or state is None:
                f, p = ppca(c, q, floor)
            else:
                f, p = state[j][2:]
                beta = f.T @ np.linalg.inv(f @ f.T + np.diag(p))
                f = c @ beta.T @ np.linalg.inv(np.eye(q) - beta @ f + beta @ c @ beta.T)
                p = np.maximum(np.diag(c - f @ beta @ c), floor)
            fresh.append((count / n, mean, f, p))
        state = fresh
    return {"kind": kind, "components": k, "rank": q, "floor": floor, "labels": labels.tolist(), "loglik": logs,
            "weights": [float(s[0]) for s in state], "means": np.ravel([s[1] for s in state]).tolist(),
            "covariances": np.ravel([s[2] @ s[2].T + np.diag(s[3]) for s in state]).tolist()}


def main():
    x = toy(45, np.random.default_rng(3))
    y = np.round(np.random.default_rng(4).normal(size=(60, 2)) @ [[1, 0.5, -0.3, 0.8, 0.2], [0.2, -0.7, 0.9, 0.1, 0.6]]
                 + 0.3 * np.random.default_rng(5).normal(size=(60, 5)) + np.where(np.arange(60) % 2, 1, -1)[:, None], 6)
    cases = {"x": x.ravel().tolist(), "d": 3, "em": [em(x, 3, kind, 12) for kind in ("full", "diag", "tied")],
             "dp": dp(x, 5, 0.2, 25), "y": y.ravel().tolist(), "low_d": 5,
             "low": [low(y, kind, 2, 2, 1e-6, 10) for kind in ("ppca", "fa")]}
    Path(sys.argv[1] if len(sys.argv) > 1 else OUT).write_text(json.dumps(cases, indent=0) + "\n")


if __name__ == "__main__":
    main()
