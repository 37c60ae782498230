"""Flow priors: the density is one, goes with the samples, and starts runs; folders that lie are refused.

tests/data/flow is a density of tests/data/mixture2d.json at T = 0.3 (scripts/tiny_flow.py)."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
FLOW = DATA / "flow"
FAILURE, USAGE = 1, 2
T = 0.3
A, B = np.exp(-(0.1 * T + 9.95 * T**2) / 2), np.sqrt(-np.expm1(-(0.1 * T + 9.95 * T**2)))
STANDARD = np.log(2 * np.pi)  # of two dimensions


def logp(run, tmp_path, x, *options):
    np.save(tmp_path / "points.npy", x.astype(np.float32))
    run("prior", "logp", FLOW, "points.npy", "-q", "-o", "logp.npy", *options)
    return np.load(tmp_path / "logp.npy")


def draw(run, tmp_path, *options, prior=FLOW):
    run("prior", "sample", prior, "-q", "-o", "drawn.npy", *options)
    return np.load(tmp_path / "drawn.npy")


def mixture(count, seed=0):
    """Clean samples, and the log-density of their noised law as a function."""
    rng, spec = np.random.default_rng(seed), json.loads((DATA / "mixture2d.json").read_text())
    weights, means, stds = (np.array(spec[key]) for key in ("weights", "means", "stds"))
    which = rng.choice(len(weights), count, p=weights)

    def exact(x):
        var = A**2 * stds**2 + B**2
        each = -0.5 * ((x[:, None] - A * means) ** 2 / var + np.log(2 * np.pi * var)).sum(2)
        return np.logaddexp.reduce(np.log(weights) + each, axis=1)

    return means[which] + stds[which] * rng.normal(size=(count, 2)), exact


# ---- the density -----------------------------------------------------------------------------


def test_density_integrates_to_one(run, tmp_path):
    step = 0.1
    axis = np.arange(-7, 7, step) + step / 2
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert abs(np.exp(logp(run, tmp_path, grid)).sum() * step**2 - 1) < 1e-4


def test_density_is_that_of_the_samples(run, tmp_path):
    """Change of variables, with the sampler's Jacobian by differences: the graph alone, no recipe."""
    openvino = pytest.importorskip("openvino")
    run("sample", FLAT, "--steps", "1", "-n", "200", "-q", "-o", "x.npy", "--save-noise", "noise.npz", "-s", 5)
    z = np.load(tmp_path / "noise.npz")["start"].astype(np.float32)
    x = draw(run, tmp_path, "-n", 200, "-s", 5)
    core = openvino.Core()
    graph = core.compile_model(core.read_model(FLOW / "sampler.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def sampler(normals):
        return graph({"normals": normals.astype(np.float32)})[0].astype(float)

    assert np.abs(sampler(z) - x).max() < 1e-5
    h = 2.0**-6
    jacobian = np.stack([(sampler(z + h * e) - sampler(z - h * e)) / (2 * h) for e in np.eye(2)], axis=2)
    expected = -0.5 * (z.astype(float)**2).sum(1) - STANDARD - np.log(np.abs(np.linalg.det(jacobian)))
    assert np.abs(logp(run, tmp_path, x) - expected).max() < 5e-3


def test_it_fits_the_law_at_its_time(run, tmp_path):
    clean, exact = mixture(20_000)
    x = A * clean + B * np.random.default_rng(1).normal(size=clean.shape)
    nu, best = logp(run, tmp_path, x), exact(x)
    gain = nu + 0.5 * (x**2).sum(1) + STANDARD
    told = json.loads((FLOW / "prior.json").read_text())["gate"]
    error = np.hypot(gain.std() / np.sqrt(len(x)), told["error"])
    assert abs(gain.mean() - told["gain"]) < 4 * error
    assert 0 < (best - nu).mean() < 0.03 < (best + 0.5 * (x**2).sum(1) + STANDARD).mean()
    np.save(tmp_path / "clean.npy", clean.astype(np.float32))
    said = run("prior", "logp", FLOW, "clean.npy", "--noised").stdout  # to its own state
    assert abs(float(said.splitlines()[1].split()[4]) - told["gain"]) < 4 * error


def test_draws_depend_on_seed_and_index_alone(run, tmp_path):
    whole = draw(run, tmp_path, "-n", 30, "-s", 3)
    assert whole.shape == (30, 2) and np.isfinite(whole).all()
    assert np.array_equal(draw(run, tmp_path, "-n", 7, "--first", 11, "-s", 3, "--t-start", T), whole[11:18])
    assert np.abs(draw(run, tmp_path, "-n", 30, "-s", 4) - whole).min() > 0
    some = logp(run, tmp_path, whole)
    assert np.array_equal(logp(run, tmp_path, whole[4:9]), some[4:9])


def test_info(run):
    told = run("prior", "info", FLOW).stdout
    assert "flow in 2 dimensions (2)" in told and "t = 0.3" in told and "passed" in told
    assert run("prior", "info", FLOW, "--t-start", T).stdout == told


# ---- runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [[], ["--t-start", "0.3"]])
def test_runs_start_from_it(run, tmp_path, time):
    """At the time of its card, whether that is said or not."""
    run("sample", FLAT, "--prior", FLOW, *time, "--steps", 4, "-n", 40, "-s", 3, "-o", "x.npy", "--batch", 7,
        "--trajectory", "way.npz", "--json", "record.json")
    start = np.load(tmp_path / "way.npz")["states"][0]
    assert np.array_equal(start, draw(run, tmp_path, "-n", 40, "-s", 3))
    told = json.loads((tmp_path / "record.json").read_text())["start"]
    assert told["law"] == "prior" and told["kind"] == "flow" and told["t"] == T
    assert told["gate_gain"] == json.loads((FLOW / "prior.json").read_text())["gate"]["gain"]
    assert abs(told["kl_plain"] - 0.0655) < 0.02  # of the exact law, by the method's specification
    done = run("sample", FLAT, "--prior", FLOW, *time, "--steps", 4, "-n", 2, "-o", "y.npy")
    assert "at t = 0.3 " in done.stderr and "from a normalising flow;" in done.stderr


def test_plans_are_fitted_from_it(run, tmp_path, spoil):
    """Its states are kept for it: those of a flow whose card is another are not taken."""
    options = ["--steps", 3, "--t-start", T, "-n", 20, "--held-out", 10, "--teacher-nfe", 10, "--compare", "none",
               "--work", "states", "-o", "plan.json", "--prior"]
    run("fit", FLAT, *options, FLOW, "-q")
    assert "starts at t = 0.3: prior=" in json.loads((tmp_path / "plan.json").read_text())["meta"]["fit"]
    assert " 0 of the teacher" in run("fit", FLAT, *options, FLOW).stderr
    assert f" {30 * 10} of the teacher" in run("fit", FLAT, *options, spoil({"gate.gain": 1.0})).stderr


def test_adaptive_runs_start_from_it_too(run, tmp_path):
    options = ["--prior", FLOW, "--solver", "ode45", "-s", 3, "-q"]
    run("sample", FLAT, *options, "-n", 9, "-o", "x.npy", "--json", "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["start"]["t"] == T
    run("sample", FLAT, *options, "-n", 4, "--first", 5, "-o", "y.npy")
    assert np.array_equal(np.load(tmp_path / "x.npy")[5:], np.load(tmp_path / "y.npy"))


def test_moments_beside_it(run, tmp_path):
    np.savez(tmp_path / "m.npz", mu=mixture(4000)[0].mean(0), sigma=np.cov(mixture(4000)[0].T))
    run("sample", FLAT, "--prior", FLOW, "--data-moments", "m.npz", "--steps", 2, "-n", 2, "-q", "-o", "x.npy",
        "--json", "r.json")
    told = json.loads((tmp_path / "r.json").read_text())["start"]
    assert told["kl_low"] is None and told["w2_low"] is None and told["kl_plain"] > 0


@pytest.mark.parametrize("options, code, part", [
    (["--t-start", "0.4"], USAGE, "good there only"),
    (["--process", "flow"], USAGE, "does not pass"),
    (["--process", "psld"], USAGE, "phase space"),
    (["--prior-map", "flow"], USAGE, "this prior is a normalising flow"),
    (["--init", "x.npy"], USAGE, "--init"),
])
def test_refused_beside_other_options(run, tmp_path, options, code, part):
    np.save(tmp_path / "x.npy", np.zeros((2, 2), np.float32))
    done = run("sample", FLAT, "--prior", FLOW, *options, "--steps", 2, "-n", 2, "-o", "out.npy", ok=False)
    assert done.returncode == code and part in done.stderr and done.stderr.count("\n") <= 2
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize("verb, part", [
    (["sample", "--t-start", "0.4", "-o", "o.npy"], "good there only"),
    (["sample", "--t-start", "0.3", "--process", "vp_linear:beta_max=15", "-o", "o.npy"], "good there only"),
    (["sample", "--label", "1", "-o", "o.npy"], "no classes"),
])
def test_refused_prior_verbs(run, tmp_path, verb, part):
    done = run("prior", verb[0], FLOW, *verb[1:], ok=False)
    assert done.returncode != 0 and part in done.stderr and not (tmp_path / "o.npy").exists()


# ---- folders that lie ------------------------------------------------------------------------


@pytest.fixture
def spoil(tmp_path):
    """spoil(key.key=value, ...) -> a copy of the folder with these entries of the card; ... removes one."""
    def build(changes=None):
        folder = tmp_path / "flow"
        shutil.copytree(FLOW, folder)
        card = json.loads((folder / "prior.json").read_text())
        for path, value in (changes or {}).items():
            *way, last = path.split(".")
            place = card
            for key in way:
                place = place[key]
            if value is ...:
                del place[last]
            else:
                place[last] = value
        (folder / "prior.json").write_text(json.dumps(card))
        return folder
    return build


def rejected(run, folder, part):
    done = run("prior", "info", folder, ok=False)
    assert done.returncode != 0 and part in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("changes, part", [
    ({"format": "driftless-prior/1"}, "driftless-flow-prior/1"),
    ({"name": ...}, "\"name\""), ({"name": ""}, "empty"), ({"sample": ...}, "\"sample\""),
    ({"sample.shape": []}, "0 dimensions"), ({"sample.shape": [1, 1, 1, 2]}, "4 dimensions"),
    ({"sample.shape": [0]}, "whole numbers"), ({"sample.shape": ["2"]}, "whole numbers"),
    ({"sample.shape": [2.5]}, "whole numbers"), ({"sample.shape": [262144, 2]}, "in all"),
    ({"sample.range": [1, -1]}, "smaller one"), ({"sample.range": [1]}, "\"range\""),
    ({"state": ...}, "\"state\""), ({"state.t": 0}, "\"t\" is 0"), ({"state.t": 2}, "\"t\" is 2"),
    ({"state.a": 0}, "above 0"), ({"state.b": -1}, "above 0"), ({"state.b": "x"}, "\"b\""),
    ({"sampler": ...}, "\"sampler\""), ({"density.sha256": "abc"}, "64 hexadecimal"),
    ({"density.sha256": "0" * 64}, "changed or damaged"), ({"density.output": ...}, "\"output\""),
    ({"sampler.file": "absent.onnx"}, "absent.onnx"), ({"sampler.file": "../flow/sampler.onnx"}, "sampler"),
    ({"sampler.file": "/etc/passwd"}, "sampler"), ({"sampler.file": ""}, "empty"),
    ({"sampler.input": "x"}, "no input 'x'"), ({"sampler.output": "x"}, "no output 'x'"),
    ({"sample.shape": [3]}, "not float32 [batch][3]"), ({"gate": ...}, "\"gate\""),
    ({"gate.error": -1}, "not below 0"), ({"gate.gain": None}, "\"gain\""),
])
def test_cards_that_lie(run, spoil, changes, part):
    rejected(run, spoil(changes), part)


def test_a_link_out_of_the_folder(run, spoil):
    folder = spoil()
    (folder / "sampler.onnx").unlink()
    (folder / "sampler.onnx").symlink_to(FLOW / "sampler.onnx")
    rejected(run, folder, "sampler")


def test_networks_in_each_others_place(run, spoil):
    """Each fits its digest and takes two numbers, but a density is not two numbers."""
    card = json.loads((FLOW / "prior.json").read_text())
    rejected(run, spoil({"density": card["sampler"]}), "1 numbers for each row")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"name": "a", "name": "b"}'])
def test_damaged_cards(run, spoil, content):
    folder = spoil()
    (folder / "prior.json").write_text(content)
    rejected(run, folder, "prior.json")


def test_no_card(run, tmp_path):
    rejected(run, tmp_path, "prior.json")
    done = run("sample", FLAT, "--prior", tmp_path, "--steps", 2, "-o", "x.npy", ok=False)
    assert done.returncode != 0 and "prior.json" in done.stderr


def test_a_damaged_network(run, spoil):
    folder = spoil()
    half = (folder / "density.onnx").read_bytes()[:20_000]
    (folder / "density.onnx").write_bytes(half)
    rejected(run, folder, "changed or damaged")
    card = json.loads((folder / "prior.json").read_text())
    card["density"]["sha256"] = hashlib.sha256(half).hexdigest()
    (folder / "prior.json").write_text(json.dumps(card))
    rejected(run, folder, "density.onnx")


@pytest.mark.parametrize("changes, part", [
    ({"sample.shape": [2, 1, 1]}, "another shape"),
    ({"sample.range": [0, 1]}, "data from 0 to 1"),
])
def test_of_other_data_than_the_model(run, tmp_path, spoil, changes, part):
    done = run("sample", FLAT, "--prior", spoil(changes), "--steps", 2, "-o", "x.npy", ok=False)
    assert done.returncode == USAGE and part in done.stderr and not (tmp_path / "x.npy").exists()


def test_other_number_of_numbers(run, model):
    done = run("sample", model, "--prior", FLOW, "--steps", 2, "-n", 1, "-o", "x.npy", ok=False)
    assert done.returncode == USAGE and "a sample of this model has 784" in done.stderr


def test_a_failed_gate_warns(run, spoil):
    done = run("sample", FLAT, "--prior", spoil({"gate.gain": 0.001}), "--steps", 2, "-n", 1, "-o", "x.npy")
    assert "failed its gate" in done.stderr


def test_densities_are_asked_when_they_are_told(run, tmp_path, spoil):
    """A density that has no numbers stops those who want the mismatch, before anything is sampled."""
    folder = spoil()
    net = onnx.load(folder / "density.onnx")
    net.graph.output[0].name = "root"
    net.graph.node.append(onnx.helper.make_node("Sqrt", ["logp"], ["root"]))  # of negative numbers
    onnx.save(net, folder / "density.onnx")
    card = json.loads((folder / "prior.json").read_text())
    digest = hashlib.sha256((folder / "density.onnx").read_bytes()).hexdigest()
    card["density"].update(output="root", sha256=digest)
    (folder / "prior.json").write_text(json.dumps(card))
    options = ["--prior", folder, "--steps", 2, "-n", 1, "-o", "x.npy"]
    for more in ([], ["-q", "--json", "r.json"]):
        done = run("sample", FLAT, *options, *more, ok=False)
        assert done.returncode == FAILURE and "no log-density" in done.stderr
        assert not (tmp_path / "x.npy").exists() and not (tmp_path / "r.json").exists()
    assert run("sample", FLAT, *options, "-q").stderr == ""
