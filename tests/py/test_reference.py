"""Trajectories of each method's public code, stored by tests/gen/reference_cases.py, reproduced through
the program in float64: DEIS, euler and heun (as rhoRK-DEIS 1euler and 2heun), DDIM, DDPM, and mixture
kernels. Largest deviations found when this was written, relative to 1 + |x|, are in BOUNDS.

Not comparable here: DEIS on a table with alpha_bar = 1 prepended in the authors' discrete code, which
cuts alpha_bar at 1 - 1e-7 (the same grid in the DEIS-SN repository has no cut and is compared);
single-precision runs."""

import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ.get("DRIFTLESS_REFERENCE", Path(__file__).resolve().parents[1] / "data"))
BOUNDS = {"deis": 1e-11, "euler": 1e-11, "heun": 1e-11, "ddim": 1e-12, "ddpm": 1e-12, "flow": 1e-12,
          "kernels": 1e-11, "offsets": 1e-13}


class Reference:
    def __init__(self, name):
        self.file = np.load(DATA / f"reference-{name}.npz")
        self.cases = json.loads(str(self.file["cases"]))["cases"]

    def array(self, case, name):
        return self.file[case[name]]


@pytest.fixture(scope="module")
def deis():
    return Reference("deis")


@pytest.fixture(scope="module")
def gmm():
    return Reference("ddimgmm")


@pytest.fixture
def target(gmm, tmp_path):
    """target(name): a mixture that is one of the reference targets."""

    def write(name, card=None):
        targets = next(c for c in gmm.cases if c["kind"] == "targets")["targets"]
        path = tmp_path / f"{name}.json"
        own = {"card": card} if card else {}
        path.write_text(json.dumps({"format": "driftless-mixture/1", **targets[name], **own}))
        return f"mixture:{path}"

    return write


@pytest.fixture
def sample(run, tmp_path):
    """sample(model, start, noise, *options): states [steps + 1][n][d] and times."""

    def call(model, start, noise, *options):
        np.save(tmp_path / "start.npy", start)
        if noise:
            np.savez(tmp_path / "noise.npz", **noise)
            options += ("--noise", tmp_path / "noise.npz")
        run("sample", model, "--dtype", "float64", "--init", tmp_path / "start.npy", "-q", *options,
            "-n", len(start), "-o", tmp_path / "x.npy", "--trajectory", tmp_path / "states.npz")
        with np.load(tmp_path / "states.npz") as track:
            states = track["states"]
        assert np.array_equal(states[-1], np.load(tmp_path / "x.npy"))
        return states

    return call


def times_option(times):
    return "list:times=[" + ",".join(f"{float(t)!r}" for t in times) + "]"


def deviation(found, expected):
    return float(np.max(np.abs(found - expected) / (1 + np.abs(expected))))


def check(largest, family):
    print(f"{family}: largest deviation {largest[family]:.1e}")
    assert largest[family] <= BOUNDS[family]


@pytest.mark.parametrize("family", ["deis", "euler", "heun"])
def test_deis_cases(deis, target, sample, family):
    """Every grid, order, end time and table of the authors' runs; their times are given one by one."""
    model = target("public2d")
    largest, count = defaultdict(float), 0
    for case in deis.cases:
        if case["solver"].split(":")[0] != family:
            continue
        times = deis.array(case, "times")
        states = sample(model, deis.array(case, "start"), None, "--solver", case["solver"],
                        "--process", case["process"], "--grid", times_option(times))
        assert len(states) == len(times)
        error = deviation(states[-1], deis.array(case, "result"))
        assert error <= BOUNDS[family], case
        largest[family] = max(largest[family], error)
        count += 1
    assert count >= {"deis": 150, "euler": 20, "heun": 30}[family]
    assert any(case["process"].startswith("vp_cosine") for case in deis.cases)
    check(largest, family)


@pytest.mark.parametrize("grid, option, bound", [("t:1.0", "uniform", 1e-12),
                                                 ("t:2.0", "power:kappa=2", 1e-12),
                                                 ("t:3.0", "power:kappa=3", 1e-12),
                                                 ("log:None", "logsnr", 1e-11)])
def test_grids(deis, run, tmp_path, grid, option, bound):
    """Our grids are the authors' grids: the times of a plan against their stored lists. (The kappa 7
    grid in rho is not built.)"""
    count = 0
    seen = set()
    for case in deis.cases:
        if case["grid"] != grid or not case["process"].startswith("vp_linear") or case["times"] in seen:
            continue
        seen.add(case["times"])
        times = deis.array(case, "times")
        run("plan", "--process", case["process"], "--solver", "euler", "--grid", option, "--steps",
            len(times) - 1, "--t-end", repr(float(times[-1].round(9))), "--json", tmp_path / "p.json")
        rows = json.loads((tmp_path / "p.json").read_text())["rows"]
        found = [row["t"] for row in rows if row["op"] == "STEP"]
        assert deviation(np.array(found), times[1:]) <= bound, case
        count += 1
    assert count >= 3


@pytest.mark.parametrize("family", ["ddim", "ddpm"])
def test_ddim_and_ddpm(gmm, target, sample, family):
    """Whole trajectories with the noise replayed; the last step lands on clean data."""
    largest, count = defaultdict(float), 0
    for case in gmm.cases:
        if case["kind"] != family:
            continue
        states = sample(target(case["target"]), gmm.array(case, "x_T"),
                        {"noise": gmm.array(case, "z")}, "--solver", case["solver"],
                        "--process", "vp_discrete",
                        "--grid", times_option(gmm.array(case, "times")))
        error = deviation(states[1:], gmm.array(case, "x"))
        largest[family] = max(largest[family], error)
        count += 1
    assert count >= {"ddim": 18, "ddpm": 12}[family]
    check(largest, family)


@pytest.mark.parametrize("solver", ["ddim", "euler", "euler:variable=t", "deis:order=0"])
@pytest.mark.parametrize("prediction", ["flow_prediction", "v_prediction", "sample"])
def test_rectified_flow(gmm, target, sample, solver, prediction):
    """Without fresh noise the samplers of rectified flow are Euler's method from t = 1 to t = 0."""
    largest, count = defaultdict(float), 0
    card = {"process": {"type": "flow"}, "prediction_type": prediction}
    for case in gmm.cases:
        if case["kind"] != "rfim" or case["eta"]:
            continue
        states = sample(target(case["target"], card), gmm.array(case, "x_T"), None, "--solver", solver,
                        "--grid", times_option(gmm.array(case, "times")))
        error = deviation(states[1:], gmm.array(case, "x"))
        largest["flow"] = max(largest["flow"], error)
        count += 1
    assert count >= 2
    check(largest, "flow")


def kernel_plan(gmm, case):
    """The plan of a DDIM-GMM case: every offset as data, its kernel's numbers from the case."""
    times, ab_t, ab_s = (gmm.array(case, k) for k in ("times", "ab_t", "ab_s"))
    scale = gmm.array(case, "s_per_step")
    delta, pi = gmm.array(case, "delta"), gmm.array(case, "pi")
    rows, kernels, x, value = [], [], 0, 0

    def new():
        nonlocal value
        value += 1
        return value

    for i in range(len(ab_t)):
        a, b, a_s = np.sqrt(ab_t[i]), np.sqrt(1 - ab_t[i]), np.sqrt(ab_s[i])
        sigma = case["eta"] * np.sqrt((1 - ab_s[i]) / (1 - ab_t[i]) * (1 - ab_t[i] / ab_s[i]))
        psi = a_s / a
        on_eps = np.sqrt(max(0, 1 - ab_s[i] - sigma**2)) - psi * b
        y = new()
        rows.append({"op": "EVAL", "dst": y, "src": x, "t": times[i], "tau": times[i], "at": [a, b],
                     "gives": [0, 1]})
        src, c = [x, y], [psi, on_eps]
        if i < len(ab_t) - 1:
            row = {"op": "MIX", "draw": i, "kernel": i}
            if sigma > 0:
                row["src"] = new()
                rows.append({"op": "NOISE", "dst": row["src"], "draw": i})
            row["dst"] = new()
            rows.append(row)
            offsets = delta[min(i, len(delta) - 1)]
            kernels.append({"pi": list(pi), "offsets": "data", "s": scale[i], "sigma": sigma,
                            "data": list((offsets / scale[i]).ravel()),
                            "covariance": case["covariance"]})
            src, c = src + [row["dst"]], c + [1]
        x = new()
        rows.append({"op": "LIN", "dst": x, "src": src, "c": c})
        rows.append({"op": "STEP", "src": x, "t": times[i + 1],
                     "at": [a_s, np.sqrt(1 - ab_s[i])]})
    start = {"id": 0, "t": times[0], "at": [np.sqrt(ab_t[0]), np.sqrt(1 - ab_t[0])], "scale": 1}
    return {"format": "driftless-plan/1", "components": 1, "inputs": [start], "outputs": [x],
            "kernels": kernels, "rows": rows}


def test_mixture_kernels(gmm, target, sample, tmp_path):
    largest, seen = defaultdict(float), set()
    for case in gmm.cases:
        if case["kind"] != "ddim_gmm":
            continue
        (tmp_path / "plan.json").write_text(json.dumps(kernel_plan(gmm, case)))
        states = sample(target(case["target"]), gmm.array(case, "x_T"),
                        {"noise": gmm.array(case, "z"), "picks": gmm.array(case, "u")},
                        "--plan", tmp_path / "plan.json")
        error = deviation(states[1:], gmm.array(case, "x"))
        assert error <= BOUNDS["kernels"], case["name"]
        largest["kernels"] = max(largest["kernels"], error)
        seen.add((case["covariance"], case["target"], case["eta"]))
    assert {c for c, _, _ in seen} == {"diag", "vub", "full"} and len(seen) >= 12
    check(largest, "kernels")


def one_kernel(pi, sigma, s, law, covariance):
    """From a start of zeros: the kernel's offset and noise alone."""
    kernel = {"pi": list(pi), "offsets": law, "table": 0, "s": s, "sigma": sigma,
              "covariance": covariance}
    return {"format": "driftless-plan/1", "components": 1,
            "inputs": [{"id": 0, "t": 1, "at": [0, 1], "scale": 1}], "outputs": [3],
            "kernels": [kernel],
            "rows": [{"op": "NOISE", "dst": 1, "draw": 0},
                     {"op": "MIX", "dst": 2, "src": 1, "draw": 0, "kernel": 0},
                     {"op": "LIN", "dst": 3, "src": [0, 2], "c": [1, 1]},
                     {"op": "STEP", "src": 3, "t": 0, "at": [1, 0]}]}


def flat_mixture(tmp_path, dim):
    path = tmp_path / f"flat{dim}.json"
    path.write_text(json.dumps({"format": "driftless-mixture/1", "weights": [1],
                                "means": [[0.0] * dim], "stds": [1]}))
    return f"mixture:{path}"


# Law, the reference's unit table, its offsets, and the covariances stored for these offsets.
LAWS = [("rand", "O", "rand_literal", []), ("rand_c", "O", "rand_centred", []),
        ("ortho", "U", "ortho", ["diag", "vub", "rank1", "full"])]


@pytest.mark.parametrize("law, table, result, covariances", LAWS)
def test_offsets(gmm, sample, tmp_path, law, table, result, covariances):
    """One sample for each component: offsets from the replayed table, and the shaped noise."""
    largest, count = defaultdict(float), 0
    for case in gmm.cases:
        if case["kind"] != "offsets" or result not in case:
            continue
        offsets, pi = gmm.array(case, result), gmm.array(case, "pi")
        K, dim = offsets.shape
        model, start = flat_mixture(tmp_path, dim), np.zeros((K, dim))
        picks = (np.cumsum(pi) - pi / 2)[None]
        for covariance in ["diag", *covariances]:
            shaped = f"noise_{covariance}" in case and covariance in covariances
            plan = one_kernel(pi, case["sigma"] if shaped else 1, case["s"], law, covariance)
            (tmp_path / "plan.json").write_text(json.dumps(plan))
            z = np.tile(gmm.array(case, "z"), (1, K, 1)) if shaped else np.zeros((1, K, dim))
            noise = {"picks": picks, "noise": z, "tables": gmm.array(case, table).reshape(1, -1)}
            found = sample(model, start, noise, "--plan", tmp_path / "plan.json")[-1]
            expected = offsets + (gmm.array(case, f"noise_{covariance}") if shaped else 0)
            error = deviation(found, expected)
            assert error <= BOUNDS["offsets"], (case["name"], covariance)
            largest["offsets"] = max(largest["offsets"], error)
            count += 1
    assert count >= 4
    check(largest, "offsets")
