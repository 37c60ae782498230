"""DDIM-GMM and rectified flow through the solver itself: whole trajectories with tables, picks and noise
replayed, from options alone; and the exact moments of its chains (`excess` of the stored cases)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from library import NOISE, PICK, TABLE, Library

DATA = Path(__file__).resolve().parents[1] / "data"
BOUND = 1e-11


@pytest.fixture(scope="module")
def file():
    return np.load(DATA / "reference-ddimgmm.npz")


@pytest.fixture(scope="module")
def cases(file):
    return json.loads(str(file["cases"]))["cases"]


@pytest.fixture(scope="module")
def lib(program):
    return Library(program)


@pytest.fixture(scope="module")
def models(lib, cases, tmp_path_factory):
    """models(target, flow): the exact network of a reference target."""
    folder, made = tmp_path_factory.mktemp("targets"), {}
    targets = next(c for c in cases if c["kind"] == "targets")["targets"]

    def get(name, flow=False):
        if (name, flow) not in made:
            card = {"process": {"type": "flow"}, "prediction_type": "flow_prediction"} if flow else {}
            t = targets[name]
            made[name, flow] = lib.mixture(folder / f"{name}{flow}.json", t["weights"], t["means"], t["stds"],
                                           **card)
        return made[name, flow]

    yield get
    for model in made.values():
        lib.free_model(model)


def deviation(found, expected):
    return float(np.max(np.abs(found - expected) / (1 + np.abs(expected))))


def replay(lib, model, spec, start, noise, picks, tables):
    plan = lib.plan(model, spec)
    source = {NOISE: lambda i: noise[i], PICK: lambda i: picks[i], TABLE: lambda i: tables[i]}
    states, _ = lib.sample(model, plan, start, lambda kind, number: source[kind](number))
    assert lib.nfe(plan) == len(states) - 1
    lib.free_plan(plan)
    return states[1:]


def solver_options(case, pi, scale):
    words = [f"eta={case['eta']!r}", f"K={len(pi)}", f"offsets={case['offsets']}",
             f"covariance={case.get('covariance', case.get('cov'))}", scale]
    if not np.all(pi == pi[0]):
        words.append("pi=[" + ",".join(repr(float(p)) for p in pi) + "]")
    return words


def test_ddim_gmm(lib, file, cases, models):
    largest, count, seen = 0.0, 0, set()
    for case in cases:
        if case["kind"] != "ddim_gmm":
            continue
        count += 1
        pi, tables = file[case["pi"]], file[case["O" if "O" in case else "U"]]
        scale = {"absolute": "s", "relative": "rho"}[case["scale_mode"]]
        words = solver_options(case, pi, f"{scale}={case['scale']!r}")
        if case["shared"]:
            words.append("shared=1")
        steps = len(file[case["ab_t"]])
        spec = f"solver=ddim_gmm:{','.join(words)} process=vp_discrete grid=leading steps={steps} t_end=0"
        states = replay(lib, models(case["target"]), spec, file[case["x_T"]], file[case["z"]],
                        file[case["u"]], tables)
        error = deviation(states, file[case["x"]])
        assert error <= BOUND, (case["name"], error)
        largest = max(largest, error)
        seen.add((case["offsets"], case["covariance"], case["eta"], case["shared"], case["scale_mode"]))
    print(f"{count} trajectories of {len(seen)} settings, largest deviation {largest:.1e}")
    assert len(seen) >= 15 and count >= 49


def lengths(delta, pi):
    """Positive l_k with sum pi_k l_k delta_k = 0: rows of a table that the literal law turns into delta."""
    rows = (pi[:, None] * delta).T
    null = np.linalg.svd(rows)[2][np.linalg.matrix_rank(rows):]
    generator = np.random.default_rng(1)
    for _ in range(100000):
        l = generator.normal(size=len(null)) @ null
        l = l if l.sum() > 0 else -l
        if l.min() > 0.02 * l.max():
            return l
    raise AssertionError("no such lengths")


def test_rectified_flow(lib, file, cases, models):
    largest, count = 0.0, 0
    for case in cases:
        if not case["kind"].startswith("rfim"):
            continue
        steps, eta, tables, picks = case["steps"], case["eta"], None, None
        words = [f"eta={eta!r}", "K=1"]
        if case["kind"] == "rfim_gmm":
            pi, deltas = file[case["pi"]], file[case["delta"]]
            words = solver_options(case, pi, f"s={case['scale']!r}") + ["gmm_last=1"] * case["gmm_last"]
            picks = (np.cumsum(pi) - pi / 2)[file[case["picks"]].astype(int)]
            literal = case["offsets"] == "rand"
            tables = [lengths(d, pi)[:, None] * d if literal else d for d in deltas]
        spec = f"solver=ddim_gmm:kernel=rfim,{','.join(words)} grid=uniform steps={steps} t_start=1 t_end=0"
        states = replay(lib, models(case["target"], True), spec, file[case["x_T"]], file[case["z"]], picks, tables)
        error = deviation(states, file[case["x"]])
        assert error <= BOUND, (case["name"], error)
        largest, count = max(largest, error), count + 1
        if case["kind"] == "rfim" and eta == 0:  # plain Euler, and DDIM
            for same in ("euler:variable=t", "ddim", "rfim:eta=0"):
                plan = lib.plan(models(case["target"], True), spec.replace(spec.split()[0], f"solver={same}"))
                again, _ = lib.sample(models(case["target"], True), plan, file[case["x_T"]])
                lib.free_plan(plan)
                assert deviation(again[1:], states) <= 1e-13
    print(f"{count} trajectories, largest deviation {largest:.1e}")
    assert count >= 9


# ---- exact moments --------------------------------------------------------------------------------------


class Steps:
    """What a compiled plan does in each step: x' = shrink x + on_eps eps + draw of its kernel."""

    def __init__(self, plan):
        rows, self.steps = plan["rows"], []
        by_dst = {row["dst"]: row for row in rows if "dst" in row}
        state = 0
        for row in rows:
            if row["op"] != "STEP":
                continue
            weights, kernel = {row["src"]: 1.0}, None
            while True:  # down to the state before, through sums
                lin = next((v for v in weights if by_dst.get(v, {}).get("op") == "LIN" and v != state), None)
                if lin is None:
                    break
                c = weights.pop(lin)
                for v, w in zip(by_dst[lin]["src"], by_dst[lin]["c"]):
                    weights[v] = weights.get(v, 0) + c * w
            answers = [v for v in weights if by_dst.get(v, {}).get("op") == "EVAL"]
            mixes = [v for v in weights if by_dst.get(v, {}).get("op") == "MIX"]
            (answer,) = answers
            if mixes:
                kernel = plan["kernels"][by_dst[mixes[0]]["kernel"]]
            self.steps.append({"shrink": weights[state], "on_eps": weights[answer],
                               "b": by_dst[answer]["at"][1], "kernel": kernel, "at": row["at"]})
            state = row["src"]


def kernel_moments(lib, model, kernel, offsets):
    """Offsets and covariances of a kernel's components, from what the executor does with unit vectors."""
    K, dim = offsets.shape
    data = dict(kernel, offsets="data", data=list((offsets / kernel["s"]).ravel()))
    data.pop("table", None)
    noise = kernel["sigma"] > 0
    rows = [{"op": "NOISE", "dst": 1, "draw": 0}] * noise + [
        {"op": "MIX", "dst": 2 if noise else 1, "draw": 0, "kernel": 0, **({"src": 1} if noise else {})},
        {"op": "LIN", "dst": 3 if noise else 2, "src": [0, 2 if noise else 1], "c": [1, 1]},
        {"op": "STEP", "src": 3 if noise else 2, "t": 0, "at": [1, 0]}]
    plan_text = json.dumps({"format": "driftless-plan/1", "components": 1, "kernels": [data], "rows": rows,
                            "inputs": [{"id": 0, "t": 1, "at": [0, 1], "scale": 1}],
                            "outputs": [3 if noise else 2]})
    plan = lib.plan_from(plan_text)
    pi = np.array(kernel["pi"])
    z = np.tile(np.vstack([np.zeros(dim), np.eye(dim)]), (K, 1))
    u = np.repeat(np.cumsum(pi) - pi / 2, dim + 1)
    source = {NOISE: z, PICK: u}
    _, found = lib.sample(model, plan, np.zeros_like(z), lambda kind, number: source[kind])
    lib.free_plan(plan)
    found = found.reshape(K, dim + 1, dim)
    factor = found[:, 1:] - found[:, :1]
    return pi, found[:, 0], np.einsum("kij,kil->kjl", factor, factor)


def recursion(lib, model, steps, deltas):
    """Excess of mean and covariance over a_s x_0 and b_s^2, step by step, for a network that knows x_0."""
    dim = deltas.shape[2]
    mean, excess, out = np.zeros(dim), np.zeros((dim, dim)), []
    for i, step in enumerate(steps):
        if step["kernel"] is None:
            break
        A = step["shrink"] + step["on_eps"] / step["b"]
        pi, delta, covariance = kernel_moments(lib, model, step["kernel"], deltas[i])
        drift = pi @ delta
        S = np.einsum("k,ki,kj->ij", pi, delta, delta) - np.outer(drift, drift)
        added = S + np.einsum("k,kij->ij", pi, covariance)
        mean = A * mean + drift
        # what a step keeps of b_t^2, and adds, must make b_s^2
        kept = A * A * step["b"] ** 2
        excess = A * A * excess + added - (step["at"][1] ** 2 - kept) * np.eye(dim)
        out.append((mean.copy(), excess.copy()))
    return out


def chain(lib, model, case, file, covariance, **wrong):
    K, s = len(file[case["pi"]]), file[case["s_per_step"]]
    relative = not np.allclose(s[:-1], s[0])
    words = [f"eta={case['eta']!r}", f"K={K}", f"covariance={covariance}",
             "rho=1" if relative else f"s={float(s[0])!r}"]
    spec = (f"solver=ddim_gmm:{','.join(words)} process=vp_discrete grid=leading steps={len(s)} t_end=0")
    plan = lib.plan(model, spec)
    steps = Steps(lib.json(plan)).steps
    lib.free_plan(plan)
    for step, expected in zip(steps, s):
        if step["kernel"]:
            assert math.isclose(step["kernel"]["s"], expected, rel_tol=1e-12)
            step["kernel"] |= {k: v * step["kernel"][k] for k, v in wrong.items()}
    return recursion(lib, model, steps, file[case["delta"]])


def excess_error(found, case, file):
    error = max(abs(np.trace(e) - t) for (_, e), t in zip(found, file[case["excess_trace"]]))
    error = max(error, max(np.abs(np.diag(e) - d).max() for (_, e), d in zip(found, file[case["excess_diag"]])))
    error = max(error, np.abs(found[-1][1] - file[case["excess_cov_last"]]).max())
    return max(error, max(np.abs(m - d).max() for (m, _), d in zip(found, file[case["drift"]])))


def test_exact_moments(lib, file, cases, models):
    """The stored recursions to rounding; kernels of another covariance, or with a tenth more noise, are not
    taken for them."""
    count = 0
    for case in cases:
        if case["kind"] != "excess":
            continue
        model = models("wide16d")
        found = chain(lib, model, case, file, case["covariance"])
        assert len(found) == len(file[case["excess_trace"]])
        right = excess_error(found, case, file)
        wrong = [excess_error(chain(lib, model, case, file, other), case, file)
                 for other in ("diag", "vub", "full", "rank1") if other != case["covariance"]]
        louder = excess_error(chain(lib, model, case, file, case["covariance"], sigma=1.1), case, file)
        print(f"{case['name']}: {right:.1e}; other covariances {min(wrong):.1e}, louder {louder:.1e}")
        assert right < 1e-13
        if case["eta"] > 0:  # at eta = 0 every covariance is zero
            assert min(wrong) > 1e-6 and louder > 1e-3
        if case["covariance"] == "full":
            assert max(np.abs(e).max() for _, e in found) < 1e-13
        count += 1
    assert count >= 3
