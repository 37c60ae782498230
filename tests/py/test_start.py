"""driftless sample from a time below 1: start states against NumPy, the mismatch meter, the record,
repeats, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
FAILURE, USAGE = 1, 2

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]])
COVS = np.array([np.diag(s)**2 for s in ([0.25, 0.4], [0.3, 0.2], [0.15, 0.35])])
MEAN = WEIGHTS @ MEANS
COV = np.einsum("k,kij->ij", WEIGHTS, COVS + np.einsum("ki,kj->kij", MEANS - MEAN, MEANS - MEAN))
SHORT = ["--t-start", "0.4", "--steps", "5"]


def word(text):
    return np.frombuffer(text.encode(), np.uint8)


def write_prior(path, weights=WEIGHTS, means=MEANS, covs=COVS, state=(1, 0), **more):
    """A prior as docs/prior-format.md has it."""
    np.savez(path, format=word("driftless-prior/1"), kind=word("full" if len(weights) > 1 else "gauss"),
             state=np.array(state, float), weights=weights, means=means, covariances=covs, **more)
    return path


@pytest.fixture
def prior(tmp_path):
    return write_prior(tmp_path / "it's a, prior.npz")


@pytest.fixture
def gauss(tmp_path):
    return write_prior(tmp_path / "gauss.npz", np.ones(1), MEAN[None], COV[None])


@pytest.fixture
def moments(tmp_path):
    np.savez(tmp_path / "moments.npz", mu=MEAN, sigma=COV)
    return tmp_path / "moments.npz"


def vp(t):
    big_b = 0.1 * t + 9.95 * t**2
    return np.exp(-big_b / 2), np.sqrt(-np.expm1(-big_b))


def samples(run, tmp_path, *options):
    run("sample", FLAT, *options, "-q", "-o", tmp_path / "x.npy")
    return np.load(tmp_path / "x.npy")


def test_flow_map_is_that_of_the_spec(run, tmp_path, gauss, moments):
    for source in (["--prior", gauss], ["--data-moments", moments]):
        run("sample", FLAT, *SHORT, *source, "--prior-map", "flow", "-n", "50", "-q", "-o", "x.npy",
            "--dtype", "float64", "--trajectory", "way.npz", "--save-noise", "noise.npz")
        z = np.load(tmp_path / "noise.npz")["start"]
        start = np.load(tmp_path / "way.npz")["states"][0]
        (a1, b1), (a2, b2) = vp(1), vp(0.4)
        lam, u = np.linalg.eigh(COV)
        gain = np.sqrt((a2**2 * lam + b2**2) / (a1**2 * lam + b1**2))
        expected = a2 * MEAN + (z - a1 * MEAN) @ u @ np.diag(gain) @ u.T
        assert np.abs(start - expected).max() < 1e-12
        again = samples(run, tmp_path, *SHORT, *source, "--prior-map", "flow", "-n", "50", "--noise",
                        "noise.npz", "--seed", "9", "--dtype", "float64")
        run("sample", FLAT, *SHORT, *source, "--prior-map", "flow", "-n", "50", "-q", "-o", "y.npy",
            "--dtype", "float64")
        assert np.array_equal(again, np.load(tmp_path / "y.npy"))


def test_starts_have_the_law_at_t(run, tmp_path, prior):
    run("sample", FLAT, *SHORT, "--prior", prior, "-n", "20000", "-q", "-o", "x.npy", "--trajectory",
        "way.npz")
    start = np.load(tmp_path / "way.npz")["states"][0].astype(float)
    a, b = vp(0.4)
    cov = a**2 * COV + b**2 * np.eye(2)
    assert np.all(np.abs(start.mean(0) - a * MEAN) < 5 * np.sqrt(np.diag(cov) / 20000))
    assert np.abs(np.cov(start.T) - cov).max() < 5 * np.sqrt(2 / 20000)


def test_cut_runs_join_up(run, tmp_path, prior, gauss):
    for options in (["--prior", prior], ["--prior", gauss, "--prior-map", "flow"],
                    ["--prior", prior, "--solver", "ode45"]):
        time = ["--t-start", "0.4"] if "ode45" in options else SHORT
        whole = samples(run, tmp_path, *time, *options, "-n", "40", "--seed", "3")
        parts = [samples(run, tmp_path, *time, *options, "-n", n, "--first", first, "--seed", "3",
                         "--batch", batch) for first, n, batch in ((0, 17, 5), (17, 23, 64))]
        assert np.array_equal(whole, np.concatenate(parts))
        other = samples(run, tmp_path, *time, *options, "-n", "40", "--seed", "4")
        assert np.abs(whole - other).min() > 0


def test_network_with_classes(run, tmp_path, model):
    """A density for each class of the shipped network: bright starts for one class, dark for others."""
    mean = np.full((10, 784), -0.4)
    mean[3] = 0.9
    np.savez(tmp_path / "p.npz", format=word("driftless-prior/1"), kind=word("diag"), means=mean,
             state=np.array([1.0, 0]), weights=np.full(10, 0.1), variances=np.full((10, 784), 0.3),
             labels=np.arange(10), shape=np.array([1, 28, 28]))
    options = ["--t-start", "0.3", "--solver", "ddim", "--steps", "1", "--prior", tmp_path / "p.npz"]
    run("sample", model, *options, "-n", "20", "-q", "-o", "x.npy", "--trajectory", "way.npz")
    start = np.load(tmp_path / "way.npz")["states"][0].reshape(20, -1).mean(1)
    assert [i for i in range(20) if start[i] > 0.2] == [3, 13]
    run("sample", model, *options, "-n", "4", "-q", "-c", "3", "-o", "x.npy", "--trajectory", "way.npz",
        "--first", "5")
    start = np.load(tmp_path / "way.npz")["states"][0].reshape(4, -1).mean(1)
    assert start.min() > 0.2


# ---- the meter -----------------------------------------------------------------------------------


def test_meter_warns_of_plain_noise(run, moments):
    done = run("sample", FLAT, *SHORT, "-o", "x.npy", "--data-moments", moments)
    meter, warning = done.stderr.splitlines()
    assert meter.startswith("driftless: start at t = 0.4") and "KL 0.0224 to 0.205 nats" in meter
    assert "W2 0.202 to 0.621" in meter and "plain noise" in meter
    assert warning.startswith("driftless: warning: ") and "0.0224 to 0.205 nats" in warning
    assert run("sample", FLAT, *SHORT, "-q", "-o", "x.npy").stderr == ""
    assert run("sample", FLAT, "-o", "x.npy").stderr == ""
    assert "warning" not in run("sample", FLAT, "--t-start", "0.99", "-o", "x.npy").stderr


def test_meter_warns_of_a_cut_plan(run):
    run("plan", FLAT, *SHORT, "--json", "plan.json")
    assert "warning" in run("sample", FLAT, "--plan", "plan.json", "-o", "x.npy").stderr


def with_card(tmp_path, **more):
    """The mixture as a model whose card says more."""
    mixture = json.loads((DATA / "mixture2d.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**mixture, **more}))
    return f"mixture:{tmp_path / 'model.json'}"


def test_meter_uses_the_card(run, tmp_path):
    model = with_card(tmp_path, card={"moments": {"mean": 0.05, "std": 0.96}})
    done = run("sample", model, *SHORT, "-n", "1", "-o", "x.npy", "--json", "r.json")
    assert "from moments of card" in done.stderr and "warning" in done.stderr
    a, b = vp(0.4)
    v = a**2 * 0.96**2 + b**2
    start = json.loads((tmp_path / "r.json").read_text())["start"]
    assert start["moments"] == "card"
    assert abs(start["kl_low"] - (v - 1 - np.log(v) + a**2 * 0.05**2)) < 1e-12


def test_meter_says_what_a_prior_gains(run, tmp_path, prior):
    done = run("sample", FLAT, *SHORT, "-o", "x.npy", "--prior", prior)
    assert "prior of kind full, 3 components" in done.stderr and "warning" not in done.stderr
    a, b = vp(0.4)
    for gain, warned in ((0.02, False), (-0.5, True)):
        path = write_prior(tmp_path / "gated.npz", gate=np.array([[a, b, gain, 0.005]]))
        done = run("sample", FLAT, *SHORT, "-o", "x.npy", "--prior", path)
        assert f"gained {gain:.3g}" in done.stderr
        assert ("failed its gate" in done.stderr) == warned


def test_record(run, tmp_path, prior, gauss, moments):
    run("sample", FLAT, *SHORT, "--prior", prior, "--data-moments", moments, "-q", "-o", "x.npy",
        "--json", "r.json", "--seed", "5")
    record = json.loads((tmp_path / "r.json").read_text())
    start = record["start"]
    a, b = vp(0.4)
    assert start["law"] == "prior" and start["components"] == 3 and start["kind"] == "full"
    assert abs(start["a"] - a) < 1e-12 and abs(start["b"] - b) < 1e-12 and start["t"] == 0.4
    assert start["kl_low"] is None and start["w2_low"] < 1e-6 and start["kl_plain"] > 0.015
    assert {i["role"] for i in record["inputs"]} == {"prior", "data-moments"}
    first = np.load(tmp_path / "x.npy")
    options = [o for k, v in record["run"]["options"].items() if k not in ("output", "json", "quiet")
               for o in (f"--{k}", v)]
    assert np.array_equal(samples(run, tmp_path, *options), first)
    run("sample", FLAT, "--t-start", "0.4", "--solver", "ode45", "--prior", gauss, "--prior-map", "flow",
        "-q", "-o", "x.npy", "--json", "r.json")
    start = json.loads((tmp_path / "r.json").read_text())["start"]
    assert start["law"] == "flow" and start["t_map"] == 1 and start["moments"] == "prior"
    assert 0 < start["kl_low"] < 1e-4
    run("sample", FLAT, "-q", "-o", "x.npy", "--json", "r.json")
    start = json.loads((tmp_path / "r.json").read_text())["start"]
    assert start["law"] == "normal" and start["t"] == 1 and start["kl_high"] < 1e-3


# ---- refusals ------------------------------------------------------------------------------------


def test_refusals(run, tmp_path, prior, gauss, moments):
    wide = write_prior(tmp_path / "wide.npz", np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
    fitted = write_prior(tmp_path / "fitted.npz", np.ones(1), MEAN[None], COV[None], state=vp(0.2))
    off = write_prior(tmp_path / "off.npz", WEIGHTS * 0.9)
    nan = write_prior(tmp_path / "nan.npz", np.ones(1), np.full((1, 2), np.nan), COV[None])
    flat = write_prior(tmp_path / "flat.npz", np.ones(1), MEAN[None], np.ones((1, 2, 2)))
    np.save(tmp_path / "init.npy", np.zeros((4, 2)))
    np.savez(tmp_path / "noise.npz", start=np.zeros((4, 2)))
    table = [
        (["--prior", wide], USAGE, "density of 3 numbers"),
        (["--prior", fitted], USAGE, "fitted at a=0.811395"),
        (["--prior", prior, "--prior-map", "flow"], USAGE, "3 components"),
        (["--prior", prior, "--init", tmp_path / "init.npy"], USAGE, "--init"),
        (["--prior", prior, "--noise", tmp_path / "noise.npz"], USAGE, "noise.npz holds start"),
        (["--prior-map", "flow"], USAGE, "--prior or, for flow, --data-moments"),
        (["--prior", gauss, "--data-moments", moments, "--prior-map", "flow"], USAGE, "not both"),
        (["--prior", "missing.npz"], FAILURE, "missing.npz"),
        (["--prior", moments], FAILURE, "format"),
        (["--data-moments", prior], FAILURE, "mu"),
        (["--prior", off], None, "weights"),
        (["--prior", nan], None, "nan.npz"),
        (["--prior", flat], None, "flat.npz"),
        (["--process", "psld", "--solver", "sscs", "--prior", prior, "--t-start", "0.4"], USAGE,
         "phase space"),
        (["--t-start", "1.5"], USAGE, "0 to 1"),
    ]
    for options, code, part in table:
        time = [] if "--t-start" in options else ["--t-start", "0.4"]
        done = run("sample", FLAT, "-o", "x.npy", *time, *options, ok=False)
        assert part in done.stderr and (code is None or done.returncode == code), (options, done)
        assert done.stderr.count("\n") == 1 and not (tmp_path / "x.npy").exists()


def test_refuses_what_the_card_contradicts(run, tmp_path):
    labels = {"labels": [0, 1, 2]}
    moments = {"card": {"moments": {"mean": 0.05, "std": 0.96}}}
    table = [({}, {}, None),
             ({}, {"shape": np.array([1, 2])}, "another shape"),
             (labels, {"labels": np.array([0, 1, 1])}, "for 2 classes, but the model has 3"),
             ({}, {"labels": np.array([0, 1, 2])}, "for 3 classes, but the model has 0"),
             (labels, {"labels": np.array([0, 2, 1])}, None),
             (labels, {}, None),
             (moments, {}, None),
             (moments, {"means": MEANS / 2 + 0.5, "covs": COVS / 4}, "scale them")]
    for card, more, part in table:
        model = with_card(tmp_path, **card)
        path = write_prior(tmp_path / "p.npz", **more)
        done = run("sample", model, "--t-start", "0.4", "-o", "x.npy", "--prior", path, ok=part is None)
        assert part is None or (part in done.stderr and done.returncode == USAGE)
