"""Fitted plans in phase space from the command line, on an analytic mixture."""

import json
import re

import numpy as np
import pytest

from mixtures import THREE

CARD = {"process": "psld:numerical_eps=0", "state_components": 2, "prediction_type": "epsilon", "t_min": 0.001}
QUIET = ("-n", 50, "-q", "--compare", "none")


@pytest.fixture
def mixture(tmp_path):
    """The name of the mixture with these keys of its card changed."""

    def write(labels=None, **changes):
        path = tmp_path / "mixture.json"
        more = {} if labels is None else {"labels": labels}
        path.write_text(json.dumps(THREE | more | {"card": CARD | changes}))
        return f"mixture:{path}"

    return write


@pytest.fixture
def error(run, tmp_path):
    """error(model, *options): RMS of samples to converged ones of the same starts, whose seed no fit used."""

    def sample(model, *options):
        run("sample", model, "-n", 300, "--seed", 7, "--dtype", "float64", "-q", "-o", "x.npy", *options)
        return np.load(tmp_path / "x.npy")

    def call(model, *options):
        truth = sample(model, "--solver", "ode45:rtol=1e-9,atol=1e-9")
        assert truth.shape == (300, 2)  # positions
        return np.sqrt(((sample(model, *options) - truth) ** 2).mean())

    return call


@pytest.mark.parametrize("nfe, factor", [(5, 0.6), (10, 0.4)])
def test_fitted_plan_is_nearer_than_the_best_classical_solver(mixture, fit, error, nfe, factor):
    """On other starts, against an integration of its own; the classical one is the best in the fit's own
    table of all of them."""
    model = mixture()
    done, plan = fit(model, "--steps", nfe, "-n", 1024, "--compare", "all")
    rivals = re.findall(r"^(\S+) +(\S+) +(\d+\.\d+) +\d+\.\d+$", done.stdout, re.M)
    assert rivals[0][0] == "fitted" and len(rivals) > 30
    solver, grid, _ = rivals[1]
    fitted = error(model, "--plan", "plan.json")
    assert fitted < factor * error(model, "--solver", solver, "--grid", grid, "--nfe", nfe)
    assert fitted < factor * error(model, "--solver", "deis:order=3,factor=flow", "--nfe", nfe)
    assert plan["counts"]["nfe"] == nfe and plan["components"] == 2
    assert "deis:kind=tab,order=3,quadrature=exact,factor=flow, 60 evaluations" in plan["meta"]["teacher"]


def test_coefficients_are_blocks(mixture, fit):
    _, plan = fit(mixture(), "--steps", 3, *QUIET)
    *steps, position = [row for row in plan["rows"] if row["op"] == "LIN"]
    assert [len(row["src"]) for row in steps] == [2, 3, 4]
    assert all(np.shape(c) == (2, 2) for row in steps for c in row["c"])
    assert position["c"] == [[[1, 0]]]


def test_searched_and_refined(mixture, fit, error):
    model = mixture()
    common = ("--steps", 5, "-n", 4096, "--compare", "none", "--work", "states")
    fit(model, *common, name="given.json")
    done, _ = fit(model, *common, "--grid", "search", name="found.json")
    assert ": 0 of the teacher" not in done.stderr  # starts that decide come behind the others
    done, plan = fit(model, *common, "--refine", 6, "--refine-times", name="refined.json")
    assert ": 0 of the teacher" in done.stderr
    assert plan["meta"]["solver"].endswith("objective=rms") and "times moved" in plan["meta"]["fit"]
    given = error(model, "--plan", "given.json")
    assert error(model, "--plan", "found.json") < 0.6 * given
    assert error(model, "--plan", "refined.json") < 0.85 * given


def test_refit_is_the_same_file(mixture, fit, tmp_path):
    model, options = mixture(), ("--steps", 3, "-n", 50, "--grid", "search:starts=30,validation=10,rounds=1")
    fit(model, *options)
    first = (tmp_path / "plan.json").read_bytes()
    fit(model, *options)
    assert (tmp_path / "plan.json").read_bytes() == first
    assert not (tmp_path / "plan.json.teacher").exists()


def test_every_network(mixture, fit, run, tmp_path):
    """By epsilon of either way of training and by the score: the same states are put together."""
    samples = []
    for changes in ({}, {"score_matching": "dsm"}, {"prediction_type": "score"}):
        model = mixture(**changes)
        fit(model, "--steps", 4, "-n", 200, "--ridge", 0, "--compare", "none")
        run("sample", model, "--plan", "plan.json", "-n", 20, "--dtype", "float64", "-o", "x.npy")
        samples.append(np.load(tmp_path / "x.npy"))
    assert np.abs(samples[1] - samples[0]).max() < 1e-5
    assert np.abs(samples[2] - samples[0]).max() < 1e-5


def test_network_of_one_half(mixture, fit):
    model = mixture(process="cld", output_half="m")
    done, plan = fit(model, "--steps", 4, "-n", 200)
    last = [row for row in plan["rows"] if row["op"] == "LIN"][-2]
    assert [np.shape(c) for c in last["c"]] == [(2, 2), (2, 1), (2, 1), (2, 1), (2, 1)]
    assert "teacher  deis:kind=tab,order=2,quadrature=exact,factor=cholesky" in done.stdout


def test_guidance_is_part_of_the_fit(mixture, fit, run):
    model = mixture(labels=[0, 1, 1], classes={"count": 2, "null": 2})
    _, plan = fit(model, "--steps", 3, *QUIET, "--guidance", 2)
    assert "guidance 2" in plan["meta"]["fit"]
    warned = run("sample", model, "--plan", "plan.json", "-n", 2, "-o", "x.npy").stderr
    assert "under another guidance" in warned


def test_auto(mixture, run, tmp_path, fit):
    """The fitted plan in the model's folder, and without one a classical solver of phase space."""
    fit(mixture(), "--steps", 4, *QUIET)
    (tmp_path / "m/plans").mkdir(parents=True)
    card = CARD | {"format": "driftless-model/1", "sample": {"shape": [2]}, "time_map": {"type": "linear"}, "t_max": 1,
                   "network": {"file": "network.onnx", "sha256": "ab" * 32}}
    (tmp_path / "m/model.json").write_text(json.dumps(card))
    (tmp_path / "m/network.onnx").write_bytes(b"")
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["meta"] |= {"model": "ab" * 32, "identity": "ab" * 32}
    (tmp_path / "m/plans/four.json").write_text(json.dumps(plan))
    said = run("plan", "m", "--solver", "auto", "--nfe", 4).stderr
    assert "m/plans/four.json, fitted to this model; held out: 256 starts" in said
    said = run("plan", "m", "--solver", "auto", "--nfe", 5).stderr
    assert "deis:order=3,factor=flow on power:kappa=2, the usual choice" in said


@pytest.mark.parametrize("changes, options, said", [
    ({}, ("--teacher", "em"), "draws noise"),
    ({}, ("--teacher", "unipc"), "scalar processes only"),
    ({}, ("--grid", "list:times=[1,0.5,0.5,0.1]"), "0.5"),
    ({}, ("--grid", "logsnr"), "phase space"),
    ({"process": "cld", "output_half": "m"}, ("--constraint", "consistency"), "predicts both halves"),
    ({"process": "cld", "output_half": "m"}, ("--teacher", "deis:factor=flow"), "predicts both halves"),
])
def test_refused_before_anything_runs(mixture, run, tmp_path, changes, options, said):
    done = run("fit", mixture(**changes), "--steps", 3, "-o", "x.json", *options, ok=False)
    assert done.returncode in (1, 2) and said in done.stderr
    assert done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mixture.json"]


def test_prior_is_refused(mixture, run, tmp_path):
    """Of data alone, where a start needs a momentum, too."""
    model = mixture()
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(100, 2)))
    run("prior", "fit", "data.npy", "--kind", "gauss", "-o", "prior.npz")
    done = run("fit", model, "--steps", 3, "-o", "x.json", "--t-start", 0.5, "--prior", "prior.npz", ok=False)
    assert done.returncode == 2 and "in phase space a start at T needs" in done.stderr
