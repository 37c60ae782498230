"""Fits of priors against scikit-learn, live: the stored iterations are still what it does, densities are equal to
rounding, and fits from data are as good as its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("DRIFTLESS", ROOT / "build/release/driftless")
MEANS = np.array([[0.9, -0.5, 0.2, 0.6], [-0.7, 0.4, -0.6, -0.2], [0.1, 0.9, 0.7, -0.8]])
# our structure: scikit-learn's, and our array of it
KINDS = {"full": ("full", "covariances"), "tied": ("tied", "covariances"), "diag": ("diag", "variances")}


def run(*line):
    return subprocess.run([PROGRAM, *map(str, line)], check=True, capture_output=True, text=True).stdout


def rows(n, seed):
    rng = np.random.default_rng(seed)
    mix = np.eye(4) + 0.3 * np.random.default_rng(0).normal(size=(4, 4))
    return MEANS[rng.integers(3, size=n)] + 0.35 * rng.normal(size=(n, 4)) @ mix


def close(a, b, bound):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            close(a[key], b[key], bound)
    elif isinstance(a, list) and a and isinstance(a[0], dict):
        for one, other in zip(a, b, strict=True):
            close(one, other, bound)
    elif isinstance(a, str):
        assert a == b
    else:
        assert np.abs(np.asarray(a, float) - np.asarray(b, float)).max() < bound


def test_stored_iterations(tmp_path):
    """test_prior_em holds our updates to these to 1e-12."""
    subprocess.run([sys.executable, ROOT / "tests/gen/prior_cases.py", tmp_path / "cases.json"], check=True)
    close(json.loads((tmp_path / "cases.json").read_text()),
          json.loads((ROOT / "tests/data/prior-cases.json").read_text()), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_densities_and_quality(tmp_path, kind):
    os.chdir(tmp_path)
    theirs, name = KINDS[kind]
    x, y = rows(3000, 1), rows(2000, 2)
    np.save("x.npy", x)
    np.save("y.npy", y)
    run("prior", "fit", "x.npy", "--kind", kind, "-k", 3, "--tolerance", 1e-9, "-o", "p.npz")
    run("prior", "logp", "p.npz", "y.npy", "-o", "logp.npy")
    model = GaussianMixture(3, covariance_type=theirs)
    with np.load("p.npz") as p:
        cov = p[name][0] if kind == "tied" else p[name]
        model.weights_, model.means_, model.covariances_ = p["weights"], p["means"], cov
    inverse = 1 / np.sqrt(cov) if kind == "diag" else np.linalg.inv(np.linalg.cholesky(cov)).swapaxes(-1, -2)
    model.precisions_cholesky_ = inverse
    assert np.abs(np.load("logp.npy") - model.score_samples(y)).max() < 1e-10
    own = GaussianMixture(3, covariance_type=theirs, n_init=5, tol=1e-9, max_iter=500, random_state=0).fit(x)
    assert np.load("logp.npy").mean() > own.score(y) - 0.01  # a tenth of the rows was held out


def test_dirichlet_process(tmp_path):
    os.chdir(tmp_path)
    x, y = rows(3000, 1), rows(2000, 2)
    np.save("x.npy", x)
    np.save("y.npy", y)
    run("prior", "fit", "x.npy", "--kind", "full", "-k", 8, "--inference", "dp", "--concentration", 0.05, "-o", "p.npz")
    own = BayesianGaussianMixture(n_components=8, weight_concentration_prior=0.05, max_iter=1000, tol=1e-4,
                                  random_state=0).fit(x)
    run("prior", "logp", "p.npz", "y.npy", "-o", "logp.npy")
    plain = GaussianMixture(8)  # its parameters as a density: its own scores are not normalised
    plain.weights_, plain.means_, plain.covariances_ = own.weights_, own.means_, own.covariances_
    plain.precisions_cholesky_ = own.precisions_cholesky_
    assert np.load("logp.npy").mean() > plain.score(y) - 0.01
    with np.load("p.npz") as p:
        assert (np.sort(p["weights"])[-3:].sum() > 0.95) == (np.sort(own.weights_)[-3:].sum() > 0.95)
