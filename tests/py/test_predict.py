"""`driftless plan --predict`: the table, its order, its JSON, and what is refused."""

import ast
import json
import re

import numpy as np
import pytest

USAGE, MODEL, FAILURE = 2, 3, 1


@pytest.fixture
def moments(model):
    return f"{model}/moments.npz"


@pytest.fixture
def predict(run, tmp_path):
    """predict(*arguments): the JSON of a prediction."""

    def call(*arguments):
        run("plan", *arguments, "--json", "p.json")
        return json.loads((tmp_path / "p.json").read_text())

    return call


@pytest.fixture
def toy(tmp_path):
    """Moments of two numbers, and eigenvalue and projected mean of each direction."""
    cov, mean = np.array([[0.3, 0.12], [0.12, 0.1]]), np.array([0.8, -0.5])
    np.savez(tmp_path / "toy.npz", mean=mean, cov=cov)
    values, vectors = np.linalg.eigh(cov)
    return values, mean @ vectors


def test_euler_by_hand(predict, toy):
    """One step of DDIM from t = 1 to 0.5 on the default process, worked out here."""
    values, mu = toy
    a, b = [], []
    for t in (1.0, 0.5):
        log_a = -0.5 * (0.1 * t + 0.5 * 19.9 * t * t)
        a.append(np.exp(log_a))
        b.append(np.sqrt(-np.expm1(2 * log_a)))
    psi = a[1] / a[0]
    gap = b[1] - psi * b[0]
    start, end = (a[k]**2 * values + b[k]**2 for k in (0, 1))
    on_x = psi + gap * b[0] / start  # x' = psi x + gap E[n|x], E[n|x] = b (x - a mu)/start
    mean = -gap * b[0] * a[0] * mu / start
    std = np.abs(on_x)
    exact = np.sqrt(end / start)
    found = predict("--process", "vp_linear", "--predict", "toy.npz", "--solver", "ddim", "--steps", 1, "--t-end", 0.5)
    (plan,) = found["plans"]
    assert found["dim"] == 2 and found["classes"] == 1
    rms = lambda x: np.sqrt(np.mean(x**2))  # noqa: E731
    assert plan["mean"] == pytest.approx(rms(mean - a[1] * mu), rel=1e-10)
    assert plan["spread"] == pytest.approx(rms(std - np.sqrt(end)), rel=1e-10)
    assert plan["data"] == pytest.approx(np.hypot(plan["mean"], plan["spread"]), rel=1e-12)
    flow = np.sqrt(np.mean((mean - (a[1] - exact * a[0]) * mu)**2 + (on_x - exact)**2))
    assert plan["flow"] == pytest.approx(flow, rel=1e-10)


def test_ranks(run, predict, model, moments):
    arguments = (model, "--predict", moments, "--solvers", "ddim deis:order=2 heun", "--grids", "power:kappa=2 usual",
                 "--nfe", "10,5")
    plans = predict(*arguments)["plans"]
    budgets = [p["budget"] for p in plans]
    assert budgets == sorted(budgets) and set(budgets) == {5, 10}
    for budget in (5, 10):
        flows = [p["flow"] for p in plans if p["budget"] == budget]
        assert flows == sorted(flows) and len(flows) == 4  # what is usual is on the list for two of three
    by_data = predict(*arguments, "--rank-by", "data")
    assert by_data["ranked_by"] == "data"
    data = [p["data"] for p in by_data["plans"] if p["budget"] == 5]
    assert data == sorted(data)
    table = run("plan", *arguments).stdout
    assert len([line for line in table.splitlines() if "power:kappa=2" in line]) == 6
    assert "10 classes" in table


def test_all_are_the_measured_ones(predict, root, model, moments):
    """--solvers all ranks the pairs that scripts/solver_table.py measures, in milliseconds each."""
    source = ast.parse((root / "scripts/solver_table.py").read_text())
    names = {"POWER": "power:kappa=2", "LOGSNR": "logsnr"}
    (listed,) = [n.value for n in source.body if isinstance(n, ast.Assign)
                 and getattr(n.targets[0], "id", None) == "DETERMINISTIC"]
    pairs = {tuple(names.get(getattr(e, "id", None), getattr(e, "value", None)) for e in pair.elts)
             for pair in listed.elts}
    plans = predict(model, "--predict", moments, "--solvers", "all", "--nfe", 10)["plans"]
    assert {(p["solver"], p["grid"]) for p in plans} == pairs
    assert len(plans) == len(pairs) and not [p for p in plans if "refused" in p]


def test_all_names_every_deterministic_solver(run, predict, toy):
    """Of both spaces; a new solver belongs on the list, or here with a reason."""
    stochastic = {"ddpm", "ddim_gmm", "sde_dpm", "em", "sscs"}
    known = set(re.findall(r"^(\w+) - ", run("solvers").stdout, re.M)) - {"ode45"}
    named = set()
    for process in ("vp_linear", "psld"):
        for plan in predict("--process", process, "--predict", "toy.npz", "--solvers", "all", "--nfe", 12)["plans"]:
            named.add(plan["solver"].split(":")[0])
            if "refused" in plan:
                assert plan["solver"].startswith("deis_sn") and "stats" in plan["refused"]
            else:
                assert (plan["flow"] is None) == (process == "psld")
    assert named == known - stochastic


def test_stochastic_and_refused_stand_in_the_table(predict, toy):
    found = predict("--process", "vp_linear", "--predict", "toy.npz", "--nfe", 6, "--solvers",
                    "ddim:eta=1 ddim_gmm:covariance=diag nonsense")
    assert found["ranked_by"] == "data"
    plans = found["plans"]
    assert plans[0]["flow"] is None and plans[0]["data"] > 0
    assert "direction to direction" in plans[1]["refused"] and "nonsense" in plans[2]["refused"]


def test_saved_plan_and_card(run, predict, toy, tmp_path):
    spec = ("--process", "vp_linear", "--solver", "deis:order=2", "--nfe", 5)
    run("plan", *spec, "--json", "plan.json")
    saved = predict("--plan", "plan.json", "--predict", "toy.npz")["plans"][0]
    fresh = predict(*spec, "--predict", "toy.npz")["plans"][0]
    assert saved.pop("budget", None) is None and fresh.pop("budget") == 5 and saved == fresh
    card = {"format": "driftless-model/1", "process": {"type": "vp_linear"}, "prediction_type": "epsilon",
            "t_min": 1e-3, "t_max": 1, "time_map": {"type": "linear", "scale": 1, "offset": 0, "dtype": "float32"},
            "network": {"file": "network.onnx"}, "sample": {"shape": [1, 4, 4]}, "moments": {"mean": -0.3, "std": 0.5}}
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.json").write_text(json.dumps(card))
    (tmp_path / "m/network.onnx").write_bytes(b"never read")
    by_card = predict("m", "--predict", "card", "--nfe", 5, "--solver", "ddim")
    assert by_card["dim"] is None
    np.savez(tmp_path / "same.npz", mu=np.full(16, -0.3), sigma=np.eye(16) * 0.25)
    by_file = predict("m", "--predict", "same.npz", "--nfe", 5, "--solver", "ddim")
    assert by_file["plans"][0]["data"] == pytest.approx(by_card["plans"][0]["data"], rel=1e-9)


@pytest.mark.parametrize("arguments, code, words", [
    (["--predict", "none.npz"], FAILURE, "none.npz"),
    (["--predict", "card"], USAGE, "no card with"),
    (["--predict", "toy.npz", "--solver", "ode45"], USAGE, "cannot be predicted"),
    (["--predict", "toy.npz", "--solvers", "ddim ode45"], USAGE, "cannot be predicted"),
    (["--predict", "toy.npz", "--solvers", " "], USAGE, "--solvers: the list is empty"),
    (["--predict", "toy.npz", "--solvers", "ddim", "--solver", "ddim"], USAGE, "--solver and --solvers"),
    (["--predict", "toy.npz", "--nfe", "5,x"], USAGE, '"x" is not a whole number'),
    (["--predict", "toy.npz", "--nfe", "5,"], USAGE, '"" is not a whole number'),
    (["--predict", "toy.npz", "--nfe", "5", "--steps", "5"], USAGE, "two ways"),
    (["--predict", "toy.npz", "--nfe", "5,6", "--steps", "5"], USAGE, "two ways"),
    (["--predict", "toy.npz", "--solvers", "x y", "--nfe", "5"], USAGE, "none of 2 plans"),
    (["--predict", "toy.npz", "--thresholding", "--solver", "dpm"], USAGE, "LIMIT"),
    (["--solvers", "ddim"], USAGE, "--solvers goes with --predict"),
    (["--rank-by", "data"], USAGE, "--rank-by goes with --predict"),
    (["--nfe", "5,6"], USAGE, "several budgets"),
])
def test_refuses(run, toy, arguments, code, words):
    done = run("plan", "--process", "vp_linear", *arguments, ok=False)
    assert done.returncode == code and words in done.stderr and not done.stdout
    assert done.stderr.count("\n") == 1


def test_moments_must_fit_the_model(run, toy, model, tmp_path):
    done = run("plan", model, "--predict", "toy.npz", ok=False)
    assert done.returncode == USAGE and "moments of 2 numbers; samples of the model have 784" in done.stderr
    np.savez(tmp_path / "three.npz", projected_mean=np.zeros((3, 784)), eigenvalues=np.ones((3, 784)))
    done = run("plan", model, "--predict", "three.npz", ok=False)
    assert done.returncode == USAGE and "3 classes; the model has 10" in done.stderr
