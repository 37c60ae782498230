"""Metrics of features against scipy, numpy, mpmath and torch-fidelity, on the same numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import scipy.stats
import torch

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("DRIFTLESS", ROOT / "build/release/driftless"))
BOUND = 1e-6  # relative; what is reached is printed by -s

# Its functions of features are what is compared; only its reading of pictures needs torchvision.
with mock.patch.dict(sys.modules, {name: mock.MagicMock() for name in (
        "torchvision", "torchvision.datasets", "torchvision.models", "torchvision.transforms",
        "torchvision.transforms.functional")}):
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc


def draw(n, d, seed, shift=0.0, decay=1.0):
    """Correlated features of which the later vary less, squashed a little so that they are not Gaussian."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    z = rng.normal(size=(n, d)) * np.geomspace(1, decay, d)
    return (np.abs(z @ turn + 0.3) + shift).astype(np.float32)


CASES = {
    "plain": (draw(500, 16, 2), draw(500, 16, 3, 0.05)),
    "unequal": (draw(700, 40, 2), draw(420, 40, 3, 0.02)),
    "near": (draw(600, 24, 2), draw(600, 24, 3)),
    "decaying": (draw(1000, 96, 2, 0, 1e-4), draw(900, 96, 3, 0.01, 1e-4)),
    "far": (draw(400, 12, 2, 50), draw(400, 12, 3, 50.1)),
    "few": (draw(20, 32, 2), draw(26, 32, 3, 0.1)),
}


@pytest.fixture(scope="session")
def tool():
    build = PROGRAM.parent
    subprocess.run(["cmake", "--build", build, "--target", "metrics_tool"], check=True, capture_output=True)
    return build / "tests/metrics_tool"


@pytest.fixture(scope="session")
def results(tool, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("metrics"), {}
    for name, (a, b) in CASES.items():
        paths = [folder / f"{name}-{i}.npy" for i in range(3)]
        for path, x in zip(paths, (a, b, logits(a))):
            np.save(path, x)
        done = subprocess.run([tool, *paths], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    return found


def logits(a):
    return np.ascontiguousarray(3 * a[:, :10])


def agree(what, found, right, bound=BOUND):
    off = abs(found - right) / abs(right)
    print(f"{what}: {found:.10g}, off by {off:.2g}")
    assert off <= bound, (what, found, right)


def gaussian(x):
    x = x.astype(np.float64)
    return x.mean(0), np.cov(x, rowvar=False)


def exact_frechet(a, b):
    """With 60 digits, of features whose samples may be fewer than their dimension: of the centred samples X, Y
    the trace of the root is the sum of the singular values of X Y'."""
    mpmath.mp.dps = 60
    x, y = ([[mpmath.mpf(float(v)) for v in row] for row in s] for s in (a, b))
    mean = lambda s: [mpmath.fsum(column) / len(s) for column in zip(*s)]
    mx, my = mean(x), mean(y)
    cx = mpmath.matrix([[(v - m) / mpmath.sqrt(len(x) - 1) for v, m in zip(row, mx)] for row in x])
    cy = mpmath.matrix([[(v - m) / mpmath.sqrt(len(y) - 1) for v, m in zip(row, my)] for row in y])
    cross = cx * cy.T
    if cross.rows > cross.cols:
        cross = cross.T
    overlap = mpmath.fsum(mpmath.sqrt(max(v, 0)) for v in mpmath.eigsy(cross * cross.T, eigvals_only=True))
    square = lambda m: mpmath.fsum(v * v for v in m)
    return float(mpmath.fsum((p - q) ** 2 for p, q in zip(mx, my)) + square(cx) + square(cy) - 2 * overlap)


@pytest.mark.parametrize("name", [n for n in CASES if n != "few"])
def test_fid(name, results):
    a, b = CASES[name]
    (ma, ca), (mb, cb) = gaussian(a), gaussian(b)
    root = scipy.linalg.sqrtm(ca @ cb)
    agree(f"FID {name}, scipy", results[name]["fid"], ((ma - mb) ** 2).sum() + np.trace(ca + cb - 2 * root.real))
    peer = metric_fid.fid_statistics_to_metric({"mu": ma, "sigma": ca}, {"mu": mb, "sigma": cb}, False)
    agree(f"FID {name}, torch-fidelity", results[name]["fid"], peer[metric_fid.KEY_METRIC_FID])


def test_fid_singular(results):
    """Fewer samples than features, where roots by sqrtm or eigenvalues keep half of the digits."""
    a, b = CASES["few"]
    right = exact_frechet(a, b)
    agree("FID few, 60 digits", results["few"]["fid"], right, 1e-12)
    (ma, ca), (mb, cb) = gaussian(a), gaussian(b)
    peer = metric_fid.fid_statistics_to_metric({"mu": ma, "sigma": ca}, {"mu": mb, "sigma": cb}, False)
    print(f"torch-fidelity there: off by {abs(peer[metric_fid.KEY_METRIC_FID] / right - 1):.2g}")


@pytest.mark.parametrize("name", CASES)
def test_kid(name, results):
    a, b = (torch.from_numpy(x.astype(np.float64)) for x in CASES[name])
    if len(a) == len(b):
        peer = metric_kid.kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=len(a), verbose=False)
        agree(f"KID {name}, torch-fidelity", results[name]["kid"], peer[metric_kid.KEY_METRIC_KID_MEAN])
    size = min(len(a), len(b)) // 4
    peer = metric_kid.kid_features_to_metric(a, b, kid_subsets=400, kid_subset_size=size, verbose=False)
    mean, std = peer[metric_kid.KEY_METRIC_KID_MEAN], peer[metric_kid.KEY_METRIC_KID_STD]
    found = results[name]
    assert abs(found["kid_subsets"] - mean) < 4 * std * np.sqrt(1 / 100 + 1 / 400)  # other subsets than its
    assert 0.7 < found["kid_std"] / std < 1.4


@pytest.mark.parametrize("name", CASES)
def test_mmd(name, results):
    a, b = (x.astype(np.float64) for x in CASES[name])
    m, n, sigma = len(a), len(b), results[name]["bandwidth"]
    kernel = lambda x, y: np.exp(-scipy.spatial.distance.cdist(x, y, "sqeuclidean") / (2 * sigma**2))
    xx, yy, xy = kernel(a, a), kernel(b, b), kernel(a, b)
    right = ((xx.sum() - m) / (m * (m - 1)) + (yy.sum() - n) / (n * (n - 1)) - 2 * xy.mean())
    agree(f"MMD {name}", results[name]["mmd2"], right)
    if m <= 500 and n <= 500:
        agree(f"bandwidth {name}", sigma, np.median(scipy.spatial.distance.pdist(np.concatenate([a, b]))))


@pytest.mark.parametrize("name", CASES)
def test_neighbours(name, results):
    made, real = (x.astype(np.float64) for x in CASES[name])
    found = results[name]
    peer = metric_prc.prc_features_to_metric(torch.from_numpy(made), torch.from_numpy(real), verbose=False)
    agree(f"precision {name}", found["precision"], peer["precision"])
    agree(f"recall {name}", found["recall"], peer["recall"])
    cdist = scipy.spatial.distance.cdist
    reach = np.sort(cdist(real, real), axis=1)[:, 5]
    inside = cdist(real, made) < reach[:, None]
    agree(f"density {name}", found["density"], inside.sum() / (5 * len(made)))
    agree(f"coverage {name}", found["coverage"], inside.any(axis=1).mean())


@pytest.mark.parametrize("name", CASES)
def test_inception(name, results):
    peer = metric_isc.isc_features_to_metric(torch.from_numpy(logits(CASES[name][0])), shuffle=False)
    agree(f"IS {name}", results[name]["is"], peer[metric_isc.KEY_METRIC_ISC_MEAN])
    agree(f"IS std {name}", results[name]["is_std"], peer[metric_isc.KEY_METRIC_ISC_STD])


@pytest.mark.parametrize("name", CASES)
def test_sliced(name, results):
    """Directions are others, so that it is as near as both know it; scipy's distance is W_1, so by quantiles."""
    a, b = (x.astype(np.float64) for x in CASES[name])
    u = np.random.default_rng(5).normal(size=(1000, a.shape[1]))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    steps = np.union1d(np.arange(len(a) + 1) * len(b), np.arange(len(b) + 1) * len(a))  # of m n, exact
    pick = lambda x: np.sort(x @ u.T, axis=0)[(steps[:-1] * len(x)) // (len(a) * len(b))]
    squares = ((np.diff(steps)[:, None] * (pick(a) - pick(b)) ** 2).sum(0)) / (len(a) * len(b))
    right = np.sqrt(squares.mean())
    error = scipy.stats.sem(squares) / (2 * right)
    found = results[name]
    assert abs(found["sliced"] - right) < 4 * np.hypot(error, found["sliced_error"])
    assert 0.8 < found["sliced_error"] * np.sqrt(2) / error < 1.25


@pytest.mark.parametrize("name", CASES)
def test_program(name, results, tmp_path):
    """`driftless eval` on the features says the same as what was compared above."""
    for path, x in zip(("made.npy", "real.npy"), CASES[name]):
        np.save(tmp_path / path, x)
    subprocess.run([PROGRAM, "eval", "made.npy", "--ref", "real.npy", "--json", "found.json"], check=True,
                   capture_output=True, cwd=tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())["metrics"]
    for key in ("fid", "precision", "recall", "density", "coverage"):
        agree(f"{key} {name}, program", found[key]["value"], results[name][key], 1e-12)
    # It has the samples in another order, so that it draws others for subsets and medians: here all are taken.
    counts = [len(x) for x in CASES[name]]
    if max(counts) <= 500:
        agree(f"MMD {name}, program", found["mmd_squared"]["value"], results[name]["mmd2"], 1e-9)
    if counts[0] == counts[1] <= 1000:
        agree(f"KID {name}, program", found["kid"]["value"], results[name]["kid"], 1e-9)
