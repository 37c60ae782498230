"""The JSON form of plans: an independent reader (plan_reader.py) runs them and gets the program's
numbers, for plans of every solver, process and prediction type and for hand-written plans of every
op. Numbers agree to 1e-12, relative to 1 + |x|: both sum the same few terms in double."""

import ctypes
import json
from pathlib import Path

import numpy as np
import pytest

import plan_reader

TOLERANCE = 1e-12
WEIGHTS = [0.5, 0.3, 0.2]
MEANS = [[1.2, -0.4, 0.3], [-0.9, 0.8, -0.2], [0.1, -1.5, 0.7]]
STDS = [[0.25, 0.4, 0.3], [0.3, 0.2, 0.4], [0.15, 0.35, 0.2]]
COUNT = 5

SOLVERS = ["ddpm", "ddpm:variance_type=fixed_large", "ddim", "ddim:eta=0.5", "ddim:eta=1", "euler",
           "euler:variable=t", "heun", "heun:variable=t", "deis:order=0", "deis:order=1",
           "deis:order=2", "deis:order=3", "em", "conjugate", "conjugate:lambda=0.5", "ddim_gmm:K=1",
           "rhork", "scire:order=3", "scire:variant=v2", "dpm", "dpm:order=3,method=singlestep",
           "sde_dpm", "unipc"]
NO_PLAN = {"ode45", "deis_sn"}  # adaptive steps; a file of statistics comes first (test_deis_sn.c)
PHASE_SOLVERS = ["em", "euler", "heun", "deis", "conjugate", "conjugate_splitting", "splitting",
                 "splitting:scheme=robab", "sscs"]
# The cosine table's last beta, cut at 0.999, makes coefficients of 1e4, whose rounding would show.
COSINE = "vp_discrete:beta_schedule=squaredcos_cap_v2,interpolation=alpha_bar_prepended"
PROCESSES = {"vp_linear": 1, "vp_discrete": 1, "vp_discrete:interpolation=alpha_bar": 1, COSINE: 0.98,
             "vp_cosine": 0.98, "sub_vp": 0.9, "ve": 1, "edm": 1, "flow": 0.98}
PHASE_PROCESSES = ["psld", "cld"]


@pytest.fixture
def model(tmp_path):
    """model(**card): the test mixture in three dimensions, with a card."""

    def write(**card):
        path = tmp_path / "mixture.json"
        path.write_text(json.dumps({"format": "driftless-mixture/1", "weights": WEIGHTS,
                                    "means": MEANS, "stds": STDS, **({"card": card} if card else {})}))
        return f"mixture:{path}"

    return write


@pytest.fixture
def compare(run, tmp_path):
    """compare(model, plan): runs a plan by the program and by the reader on the same numbers."""

    def call(model, plan, tables=None, options=()):
        generator = np.random.default_rng(7)
        components = plan["components"]
        draws = 1 + max([r["draw"] for r in plan["rows"] if "draw" in r], default=0)
        start = generator.normal(size=(COUNT, components, 3))
        noise = {"noise": generator.normal(size=(draws, COUNT, components * 3)),
                 "picks": generator.random((draws, COUNT))}
        if tables is not None:
            noise["tables"] = tables
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        np.save(tmp_path / "start.npy", start.reshape(COUNT, -1))
        np.savez(tmp_path / "noise.npz", **noise)
        run("sample", model, "--plan", tmp_path / "plan.json", "--dtype", "float64", "-q", *options,
            "--init", tmp_path / "start.npy", "--noise", tmp_path / "noise.npz", "-n", COUNT,
            "-o", tmp_path / "x.npy", "--trajectory", tmp_path / "states.npz")
        mixture = plan_reader.Mixture(WEIGHTS, MEANS, STDS)
        output, states = plan_reader.execute(plan, mixture, start, noise)
        found = np.load(tmp_path / "x.npy")
        tracked = np.load(tmp_path / "states.npz")["states"]
        assert_close(found, output[:, 0])
        assert_close(tracked.reshape(len(states), COUNT, components, 3), np.array(states))
        return found

    return call


def assert_close(found, expected):
    assert np.all(np.isfinite(expected))
    error = np.max(np.abs(found - expected) / (1 + np.abs(expected)))
    assert error <= TOLERANCE, error


def compiled(run, tmp_path, model, *options):
    """A plan of the program's own, as a dictionary; its text must survive being read and written."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    run("plan", model, *options, "--json", first)
    run("plan", "--plan", first, "--json", second)
    assert first.read_bytes() == second.read_bytes()
    return json.loads(first.read_text())


def test_none_is_missing(run):
    """A new solver or process gets a line above."""
    for family, lines in (("solvers", SOLVERS + PHASE_SOLVERS),
                          ("processes", [*PROCESSES, *PHASE_PROCESSES])):
        listed = {line.split(" - ")[0] for line in run(family).stdout.splitlines()
                  if " - " in line and not line.startswith(" ")}
        assert listed and listed - NO_PLAN == {line.split(":")[0] for line in lines}


@pytest.mark.parametrize("process", PROCESSES)
def test_every_solver(run, tmp_path, model, compare, process):
    results = {}
    for solver in SOLVERS:
        plan = compiled(run, tmp_path, model(), "--solver", solver, "--process", process, "--steps", 6,
                        "--t-start", PROCESSES[process])
        assert plan["counts"]["steps"] == 6
        results[solver] = compare(model(), plan).tobytes()
    # the same method under several names: Euler in rho is ddim, deis of order 0, ddpm is ddim, eta=1,
    # and on rectified flow Euler in t is another one
    assert len(set(results.values())) >= len(results) - 4


@pytest.mark.parametrize("process", PHASE_PROCESSES)
@pytest.mark.parametrize("solver", PHASE_SOLVERS)
def test_every_phase_solver(run, tmp_path, model, compare, process, solver):
    where = model(process={"type": process})
    compare(where, compiled(run, tmp_path, where, "--solver", solver, "--steps", 6))


@pytest.mark.parametrize("card", [{"score_matching": "dsm"}, {"prediction_type": "score"},
                                  {"process": {"type": "cld"}, "output_half": "m"},
                                  {"process": {"type": "cld"}, "output_half": "m", "score_matching": "dsm"}])
def test_every_phase_network(run, tmp_path, model, compare, card):
    where = model(**{"process": {"type": "psld"}, "state_components": 2, **card})
    for solver in "deis", "splitting", "conjugate_splitting:scheme=coba":
        compare(where, compiled(run, tmp_path, where, "--solver", solver, "--steps", 6, "--denoise"))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction", "score",
                                        "flow_prediction"])
def test_every_prediction_type(run, tmp_path, model, compare, prediction):
    where = model(prediction_type=prediction)
    for options in [("--solver", "deis:order=2"), ("--solver", "ddim:eta=1", "--denoise"),
                    ("--solver", "heun", "--t-end", "0", "--steps", "4"),
                    ("--solver", "deis", "--t-end", "0")]:
        compare(where, compiled(run, tmp_path, where, *options))


def test_preconditioned(run, tmp_path, model, compare):
    card = {"prediction_type": "sample", "time_map": {"type": "log_sigma"},
            "preconditioning": {"type": "edm", "sigma_data": 0.5}}
    where = model(**card)
    plan = compiled(run, tmp_path, where, "--solver", "deis", "--steps", 5)
    assert any(row["op"] == "LIN" and len(row["src"]) == 1 for row in plan["rows"])
    compare(where, plan)


# ---- plans by hand ------------------------------------------------------------------------------------


def plan_of(rows, output, components=1, kernels=()):
    eye = [[1, 0], [0, 1]]
    at = [0.6, 0.8] if components == 1 else [[0.6, 0.1], [[0.8, 0], [0.2, 0.7]]]
    start = {"id": 0, "t": 1, "at": at, "scale": 1 if components == 1 else eye}
    return {"format": "driftless-plan/1", "components": components, "inputs": [start],
            "outputs": [output], "kernels": list(kernels), "rows": rows}


def evaluation(dst, src, t, at, gives=(0, 1)):
    return {"op": "EVAL", "dst": dst, "src": src, "t": t, "tau": t, "at": list(at),
            "gives": list(gives)}


def test_clip_limit_select(model, compare):
    rows = [evaluation(1, 0, 1, (0.6, 0.8)),
            {"op": "LIN", "dst": 2, "src": [0, 1], "c": [1 / 0.6, -0.8 / 0.6]},
            {"op": "CLIP", "dst": 3, "src": 2, "lo": -0.7, "hi": 0.9},
            {"op": "LIMIT", "dst": 4, "src": 2, "quantile": 0.7, "floor": 0.4},
            {"op": "LIMIT", "dst": 5, "src": 2, "quantile": 1, "floor": 100},
            {"op": "LIN", "dst": 6, "src": [3, 4, 5], "c": [1, 0.5, 10]},
            {"op": "STEP", "src": 6, "t": 0.7, "at": [0.9, 0.1]},
            {"op": "CLIP", "dst": 7, "src": 1, "lo": 0, "hi": 1},
            {"op": "SELECT", "dst": 8, "src": [6, 0, 7]},
            {"op": "STEP", "src": 8, "t": 0.5, "at": [0.9, 0.1]}]
    compare(model(), plan_of(rows, 8))


PI = [0.2, 0.5, 0.3]


@pytest.mark.parametrize("covariance", ["diag", "vub", "full", "rank1"])
@pytest.mark.parametrize("law", ["data", "rand", "rand_c", "ortho"])
@pytest.mark.parametrize("components", [1, 2])
def test_mixture_kernels(model, compare, law, covariance, components):
    generator = np.random.default_rng(3)
    size = 3 * components
    table = generator.normal(size=(2, 3 * size + 1))  # longer than needed is fine
    numbers = {"data": list(generator.normal(size=3 * size) / 3)} if law == "data" else {"table": 1}
    kernels = [{"pi": PI, "offsets": law, "s": s, "sigma": sigma, "covariance": covariance, **numbers}
               for s, sigma in ((0.4, 0.7), (0.9, 0.5), (0.3, 0))]
    rows = [{"op": "NOISE", "dst": 1, "draw": 3}, {"op": "MIX", "dst": 2, "src": 1, "draw": 0, "kernel": 0},
            {"op": "NOISE", "dst": 3, "draw": 0}, {"op": "MIX", "dst": 4, "src": 3, "draw": 2, "kernel": 1},
            {"op": "MIX", "dst": 5, "draw": 1, "kernel": 2},
            {"op": "LIN", "dst": 6, "src": [0, 2, 4, 5], "c": [0.5, 1, 1, 1]},
            {"op": "STEP", "src": 6, "t": 0.5,
             "at": [0.6, 0.8] if components == 1 else [[0.6, 0.1], [[0.8, 0], [0.2, 0.7]]]}]
    compare(model(), plan_of(rows, 6, components, kernels), tables=table)


def test_two_components(model, compare):
    """Blocks 2x2, 2x1 and 1x2; a network that answers for one component, and for both."""
    at = [[0.6, 0.1], [[0.8, 0], [0.2, 0.7]]]
    rows = [evaluation(1, 0, 1, at, [0, [[0, 1]]]),
            {"op": "LIN", "dst": 2, "src": [0, 1], "c": [[[0.9, 0.2], [-0.1, 0.8]], [[0.3], [-0.4]]]},
            {"op": "NOISE", "dst": 3, "draw": 0},
            {"op": "LIN", "dst": 4, "src": [2, 3], "c": [1, [[0.3, 0], [0.1, 0.2]]]},
            {"op": "STEP", "src": 4, "t": 0.7, "at": at, "order": 1},
            evaluation(5, 4, 0.7, at, [[0.5, 0], [[1, 0], [0.5, 1]]]),
            {"op": "LIN", "dst": 6, "src": [4, 5, 1], "c": [[[0.7, 0.1]], [[-0.2, 0.1]], 0.25]},
            {"op": "LIN", "dst": 7, "src": [6], "c": [[[1], [0.5]]]},
            {"op": "LIN", "dst": 8, "src": [7, 4], "c": [0.5, [[0.1, 0], [0, 0.2]]]},
            {"op": "STEP", "src": 8, "t": 0, "at": [[1, 0], [[0, 0], [0, 0]]]}]
    compare(model(), plan_of(rows, 8, components=2))


def test_given(program, model, tmp_path):
    """GIVEN has no option of the program: through the shared library."""
    lib = ctypes.CDLL(str(Path(program).parent / "libdriftless.so"))
    rows = [{"op": "GIVEN", "dst": 1, "name": "image"}, {"op": "GIVEN", "dst": 2, "name": "mask"},
            {"op": "SELECT", "dst": 3, "src": [1, 0, 2]}, evaluation(4, 3, 1, (0.6, 0.8)),
            {"op": "LIN", "dst": 5, "src": [3, 4, 1], "c": [1, -0.5, 0.1]}]
    plan, text = plan_of(rows, 5), json.dumps(plan_of(rows, 5)).encode()
    handles = [ctypes.c_void_p() for _ in range(3)]
    found, start = np.empty((COUNT, 3)), np.linspace(-2, 2, 3 * COUNT).reshape(COUNT, 3)
    tensors = {"image": np.array([0.5, -1, 2]), "mask": np.array([1, 0, 0.25])}

    def pointer(array):
        return ctypes.c_void_p(array.ctypes.data)

    lib.dfl_last_message.restype = ctypes.c_char_p
    model_text = model().encode()
    assert lib.dfl_model_open(model_text, None, ctypes.byref(handles[0])) == 0
    assert lib.dfl_plan_from_json(text, ctypes.c_size_t(len(text)), ctypes.byref(handles[1])) == 0
    assert lib.dfl_run_new(handles[1], handles[0], b"dtype=float64", ctypes.byref(handles[2])) == 0
    sample = [handles[2], ctypes.c_uint64(0), ctypes.c_size_t(COUNT), None, pointer(start), pointer(found)]
    assert lib.dfl_run_sample(*sample) == -1
    assert b"image" in lib.dfl_last_message()
    for name, tensor in tensors.items():
        assert lib.dfl_run_given(handles[2], name.encode(), pointer(tensor)) == 0
    assert lib.dfl_run_sample(*sample) == 0, lib.dfl_last_message()
    for free, handle in zip((lib.dfl_run_free, lib.dfl_plan_free, lib.dfl_model_free), handles[::-1]):
        free(handle)
    output, _ = plan_reader.execute(plan, plan_reader.Mixture(WEIGHTS, MEANS, STDS), start[:, None], {},
                                    tensors)
    assert_close(found, output[:, 0])


# ---- the documentation --------------------------------------------------------------------------------


def test_documented_example(root, run, model, compare, tmp_path):
    """The complete example of docs/plan-format.md is read without a warning and runs."""
    pages = (root / "docs/plan-format.md").read_text()
    blocks = [b.split("```")[0] for b in pages.split("```json\n")[1:]]
    complete = [b for b in blocks if '"format"' in b]
    assert len(complete) == 1
    (tmp_path / "example.json").write_text(complete[0])
    shown = run("plan", "--plan", tmp_path / "example.json")
    assert shown.stderr == "" and shown.stdout
    compare(model(), json.loads(complete[0]))


def test_unknown_fields_are_reported(run, tmp_path, model):
    run("plan", model(), "--steps", 2, "--json", tmp_path / "p.json")
    plan = json.loads((tmp_path / "p.json").read_text())
    plan["rows"][0]["ta"] = 1
    plan["remark"] = "x"
    (tmp_path / "p.json").write_text(json.dumps(plan))
    shown = run("plan", "--plan", tmp_path / "p.json").stdout
    assert '"remark" is ignored' in shown
    assert 'rows 0: unknown key "ta" is ignored (did you mean "tau"?)' in shown
