"""Runs that start below t = 1 against stored ones: the same states, and the same distances to the data.

tests/data/start-samples.json has deterministic DDIM on the mixture of mixture2d.json, with the last step to t = 0.
"""

import json
import math

import numpy as np
import pytest

from test_start import COVS, DATA, FLAT, MEANS, WEIGHTS, vp, write_prior

STORED = json.loads((DATA / "start-samples.json").read_text())
COUNT = 20000


def uniform(t, steps):
    """The grid of the stored runs: the step to t = 0 is that of --denoise."""
    return f"list:times=[{','.join(repr(t * (1 - i / steps)) for i in range(steps))}]"


def sample(run, tmp_path, t, steps, *options):
    run("sample", FLAT, "--solver", "ddim", "--grid", uniform(t, steps), "--denoise", "--dtype", "float64", *options,
        "-q", "-o", tmp_path / "x.npy")
    return np.load(tmp_path / "x.npy")


@pytest.mark.parametrize("row", STORED["ddim"]["rows"], ids=lambda row: f"{row['T']}-{row['steps']}")
def test_stored_samples(run, tmp_path, row):
    np.save(tmp_path / "start.npy", np.array(STORED["ddim"]["x_T"]))
    found = sample(run, tmp_path, row["T"], row["steps"], "-n", "4", "--init", tmp_path / "start.npy")
    assert np.abs(found - np.array(row["x_0"])).max() < 1e-10


def quantiles(direction):
    """Of the mixture along a direction, at (i + 0.5)/COUNT."""
    means, stds = MEANS @ direction, np.sqrt(np.einsum("i,kij,j->k", direction, COVS, direction))
    x = np.linspace((means - 6 * stds).min(), (means + 6 * stds).max(), 3000)
    erf = np.vectorize(math.erf)
    cdf = sum(w * 0.5 * (1 + erf((x - m) / (s * math.sqrt(2)))) for w, m, s in zip(WEIGHTS, means, stds))
    return np.interp((np.arange(COUNT) + 0.5) / COUNT, cdf, x)


@pytest.fixture(scope="module")
def truth():
    return [(np.array(d), quantiles(np.array(d))) for d in STORED["directions"]]


def start_options(tmp_path, t, start):
    if start == "std":
        return []
    if start == "exact":
        return ["--prior", write_prior(tmp_path / "exact.npz")]
    fitted = next(p for p in STORED["priors"] if p["t"] == t and p["k"] == int(start))
    return ["--prior", write_prior(tmp_path / "fitted.npz", np.array(fitted["weights"]), np.array(fitted["means"]),
                                   np.array(fitted["covariances"]), state=vp(t))]


def distance(x, truth):
    return math.sqrt(np.mean([np.mean((np.sort(x @ d) - q)**2) for d, q in truth]))


@pytest.mark.parametrize("row", STORED["distances"], ids=lambda row: f"{row['t']}-{row['start']}-{row['steps']}")
def test_stored_distances(run, tmp_path, truth, row):
    """Three repeats tell a deviation to a factor of two or so; 0.01 is a floor for those that agree by chance."""
    x = sample(run, tmp_path, row["t"], row["steps"], "-n", str(COUNT), *start_options(tmp_path, row["t"], row["start"]))
    assert abs(distance(x, truth) - row["qmc"]) < 4 * row["sd"] + 0.01


def test_order(run, tmp_path, truth):
    """Plain noise at T = 0.2 is far worse than a fitted density, which is a little worse than the exact one."""
    found = [distance(sample(run, tmp_path, 0.2, 20, "-n", str(COUNT), *start_options(tmp_path, 0.2, start)), truth)
             for start in ("std", "1", "exact")]
    assert found[0] > 4 * found[1] and found[1] > 1.5 * found[2], found
