"""Adaptive sampling and tuning from the command line, on a two-dimensional mixture."""

import json

import numpy as np
import pytest

MIXTURE = {
    "format": "driftless-mixture/1",
    "weights": [0.5, 0.3, 0.2],
    "means": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]],
    "stds": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]],
}
CARD = {
    "format": "driftless-model/1",
    "prediction_type": "epsilon",
    "sample": {"shape": [2]},
    "t_min": 0.001,
    "t_max": 1.0,
}


@pytest.fixture
def mixture(tmp_path):
    """mixture(process, **changes): writes a mixture with a card of that process, gives its name."""

    def write(process, **changes):
        path = tmp_path / f"{process}{len(changes)}.json"
        card = CARD | {"process": process}
        path.write_text(json.dumps(MIXTURE | {"card": card} | changes))
        return f"mixture:{path}"

    return write


@pytest.fixture
def sample(run, tmp_path):
    """sample(model, *options): draws float64 samples, gives them as an array."""

    def call(model, *options):
        path = tmp_path / "samples.npy"
        run("sample", model, "--dtype", "float64", "-q", "-o", path, *options)
        return np.load(path)

    return call


def tune(run, model, *options, **keywords):
    return run("tune", model, *options, **keywords).stdout


# ---- adaptive ----------------------------------------------------------------------------------


def test_adaptive_samples_meet_many_steps(mixture, sample):
    model = mixture("vp_linear")
    exact = sample(model, "-n", 40, "--solver", "ode45:rtol=1e-9,atol=1e-9")
    steps = sample(model, "-n", 40, "--solver", "deis:order=3", "--steps", 300)
    assert np.abs(exact - steps).max() < 1e-4


def test_adaptive_record_counts_evaluations(run, mixture, tmp_path):
    run("sample", mixture("psld"), "-n", 30, "--solver", "ode45:rtol=1e-4", "-o", "x.npy",
        "--json", "run.json")
    record = json.loads((tmp_path / "run.json").read_text())
    nfe = record["adaptive"]["nfe"]
    assert 8 < nfe["min"] <= nfe["mean"] <= nfe["max"] < 1000
    assert nfe["total"] == pytest.approx(nfe["mean"] * 30)
    assert record["run"]["network_calls_per_sample"] == nfe["mean"]
    assert record["adaptive"]["solver"].startswith("ode45:rtol=0.0001,atol=1e-05")
    assert "plan" not in record


def test_adaptive_runs_join_up_and_take_starts(mixture, sample, tmp_path):
    model, solver = mixture("psld"), ("--solver", "ode45")
    whole = sample(model, "-n", 20, *solver, "--seed", 3)
    parts = [sample(model, "--first", first, "-n", 10, *solver, "--seed", 3, "--batch", 3)
             for first in (0, 10)]
    assert np.array_equal(whole, np.concatenate(parts))
    start = np.random.default_rng(0).normal(size=(5, 2, 2))
    np.save(tmp_path / "start.npy", start)
    again = [sample(model, "--init", "start.npy", *solver, "--seed", seed) for seed in (1, 2)]
    assert np.array_equal(*again) and again[0].shape == (5, 2)


@pytest.mark.parametrize("option", [("--steps", "9"), ("--nfe", "9"), ("--grid", "uniform"),
                                    ("--plan", "p.json"), ("--trajectory", "t.npz"),
                                    ("--tuned", "t.json")])
def test_adaptive_refuses_what_plans_take(run, mixture, option):
    done = run("sample", mixture("vp_linear"), "--solver", "ode45", "-o", "x.npy", *option, ok=False)
    assert done.returncode == 2 and option[0] in done.stderr


def test_adaptive_is_no_plan_and_listed_apart(run, mixture):
    done = run("plan", mixture("vp_linear"), "--solver", "ode45:rtol=1e-3", ok=False)
    assert done.returncode == 2 and "not a plan" in done.stderr
    text = run("solvers").stdout
    assert text.index("adaptive, for") < text.index("ode45 - ")
    assert max(map(len, text.splitlines())) <= 80


def test_adaptive_gives_up_at_its_limit(run, mixture):
    done = run("sample", mixture("vp_linear"), "--solver", "ode45:max_nfe=30", "-o", "x.npy",
               ok=False)
    assert "max_nfe=30" in done.stderr and "sample 0" in done.stderr


# ---- tuning ------------------------------------------------------------------------------------


def distance(x, y):
    return np.median(np.sqrt(((x - y) ** 2).mean(axis=1)))


def test_tuned_lambda_beats_zero_on_other_starts(run, mixture, sample):
    model = mixture("psld")
    table = tune(run, model, "--solver", "conjugate:type=2", "--nfe", 50, "--scan", "lambda=0:4:9",
                 "-o", "tuned.json")
    assert max(map(len, table.splitlines())) <= 80 and "**" in table
    held_out = ("-n", 400, "--seed", 77)
    exact = sample(model, *held_out, "--solver", "ode45:rtol=1e-8,atol=1e-8")
    budget = ("--nfe", 50, "--grid", "auto", "--tuned", "tuned.json")
    tuned = sample(model, *held_out, "--solver", "conjugate:type=2,lambda=auto", *budget)
    plain = sample(model, *held_out, "--solver", "conjugate:type=2,lambda=0", "--nfe", 50)
    assert distance(tuned, exact) < 0.7 * distance(plain, exact)


def test_auto_is_the_value_that_was_stored(run, mixture, sample, tmp_path):
    model = mixture("psld")
    tune(run, model, "--solver", "conjugate:type=2", "--nfe", "20,50", "--scan", "lambda=0:4:5",
         "--samples", 64, "-o", "tuned.json")
    entries = json.loads((tmp_path / "tuned.json").read_text())["entries"]
    assert len(entries) == 4  # two budgets on two grids
    chosen = {(e["nfe"], e["grid"]): e["values"]["lambda"] for e in entries}
    for nfe, near in ((20, 20), (50, 50), (24, 20), (300, 50)):
        options = ("-n", 8, "--nfe", nfe, "--grid", "power:kappa=2")
        auto = sample(model, *options, "--solver", "conjugate:lambda=auto", "--tuned", "tuned.json")
        value = chosen[near, "power:kappa=2"]
        plain = sample(model, *options, "--solver", f"conjugate:lambda={value}")
        assert np.array_equal(auto, plain)
    done = run("plan", model, "--solver", "conjugate:lambda=auto", "--steps", 24, "--grid", "auto",
               "--tuned", "tuned.json")
    assert "tuned for nfe 20, the nearest to 24 there is" in done.stderr
    best = min((e for e in entries if e["nfe"] == 20), key=lambda e: e["error"])
    assert f"lambda={best['values']['lambda']:g}," in done.stdout
    assert f"grid     {best['grid']}" in done.stdout


def test_uniform_is_the_power_grid_of_one(run, mixture):
    model = mixture("psld")
    tune(run, model, "--solver", "conjugate", "--nfe", 10, "--scan", "lambda=1:2:2", "--grid",
         "uniform", "--samples", 16, "-o", "tuned.json")
    for grid in ("uniform", "power:kappa=1", "auto"):
        run("plan", model, "--solver", "conjugate:lambda=auto", "--nfe", 10, "--grid", grid,
            "--tuned", "tuned.json")


def test_stochastic_solvers_are_held_against_a_cloud(run, mixture, tmp_path):
    table = tune(run, mixture("psld"), "--solver", "splitting:scheme=roba", "--nfe", 50, "--scan",
                 "lambda_s=0.5:2:4", "--samples", 500, "-o", "tuned.json")
    assert "sliced Wasserstein distance; two references" in table
    entries = json.loads((tmp_path / "tuned.json").read_text())["entries"]
    assert {e["measure"] for e in entries} == {"sliced Wasserstein distance"}
    assert all(0 < e["floor"] < 0.1 and e["error"] < 0.2 for e in entries)
    run("plan", mixture("psld"), "--solver", "splitting:scheme=roba,lambda_s=auto", "--nfe", 40,
        "--grid", "auto", "--tuned", "tuned.json")


def test_a_scan_of_grids_alone_and_a_plain_reference(run, mixture, tmp_path):
    table = tune(run, mixture("vp_linear"), "--solver", "deis", "--nfe", 8, "--scan", "kappa=1:3:3",
                 "--reference", "heun", "--samples", 32, "-o", "tuned.json")
    assert "heun, 256 steps" in table and "with half the steps" in table
    done = run("plan", mixture("vp_linear"), "--solver", "deis", "--nfe", 8, "--grid", "auto",
               "--tuned", "tuned.json")
    assert "grid=power:kappa=" in done.stderr


@pytest.mark.parametrize("process", ["vp_linear", "psld"])
def test_what_a_start_below_one_costs_is_told(run, mixture, process):
    command = ("tune", mixture(process), "--solver", "euler", "--nfe", "8", "--grid", "uniform", "--samples", 8,
               "-o", "tuned.json")
    assert "start at" not in run(*command).stderr
    assert "start at t = 0.4" in run(*command, "--t-start", 0.4).stderr
    assert run(*command, "--t-start", 0.4, "-q").stderr == ""


def test_scans_are_repeatable_and_replace_their_entries(run, mixture, tmp_path):
    model, store = mixture("psld"), tmp_path / "tuned.json"
    options = ("--solver", "conjugate", "--nfe", 20, "--samples", 32, "-o", store)
    tune(run, model, *options, "--scan", "lambda=0:2:3")
    first = store.read_text()
    tune(run, model, *options, "--scan", "lambda=0:2:3")
    assert store.read_text() == first
    tune(run, model, *options, "--scan", "lambda=3:4:2")
    entries = json.loads(store.read_text())["entries"]
    assert len(entries) == 2 and all(e["values"]["lambda"] >= 3 for e in entries)
    assert [p.name for p in tmp_path.iterdir() if "tuned" in p.name] == ["tuned.json"]


def test_values_of_another_model_are_refused(run, mixture):
    options = ("--solver", "conjugate", "--nfe", 10, "--scan", "lambda=0:1:2", "--samples", 8,
               "-o", "tuned.json")
    tune(run, mixture("psld"), *options)
    other = mixture("psld", weights=[0.2, 0.3, 0.5])
    for command in (("plan", other, "--solver", "conjugate:lambda=auto", "--tuned", "tuned.json"),
                    ("tune", other, *options)):
        done = run(*command, ok=False)
        assert done.returncode == 2 and "another model" in done.stderr


@pytest.mark.parametrize("solver, grid, words", [
    ("conjugate:type=1,lambda=auto", "auto", "no values for conjugate:type=1"),
    ("conjugate:lambda=auto", "logsnr", "on grid logsnr"),
    ("conjugate:lambda=auto,factor=flow", "auto", "no values for"),
    ("heun", "auto", "no values for heun"),
    ("conjugate:type=auto", "auto", "type=auto"),
])
def test_auto_without_an_entry_is_refused(run, mixture, solver, grid, words):
    model = mixture("psld")
    tune(run, model, "--solver", "conjugate", "--nfe", 10, "--scan", "lambda=0:1:2", "--samples", 8,
         "-o", "tuned.json")
    done = run("plan", model, "--solver", solver, "--nfe", 10, "--grid", grid, "--tuned",
               "tuned.json", ok=False)
    assert done.returncode == 2 and words in done.stderr


def test_auto_without_a_store_is_refused(run, mixture, tmp_path):
    model = mixture("psld")
    done = run("plan", model, "--solver", "conjugate:lambda=auto", ok=False)
    assert done.returncode == 2 and "name a file" in done.stderr
    missing = run("plan", model, "--solver", "conjugate:lambda=auto", "--tuned", "no.json", ok=False)
    assert missing.returncode == 1 and "no.json" in missing.stderr
    (tmp_path / "bad.json").write_text('{"format": "driftless-tuned/1", "entries": 5}')
    bad = run("plan", model, "--solver", "conjugate:lambda=auto", "--tuned", "bad.json", ok=False)
    assert "bad.json" in bad.stderr


@pytest.mark.parametrize("scan", ["lambda=2:1:3", "lambda=0:1", "lambda=0:1:0", "lambda=0:1:1",
                                  "lambda=a:1:2", "lambda=0:500:3", "lambda_s=0:1:2", "beta=0:1:2",
                                  "kappa=1:2:2,kappa=1:2:2", "kappa=0:2:2", "lambda", "lambda=0:4:9:2",
                                  "lambda=0:4:9999"])
def test_bad_scans_are_refused(run, mixture, tmp_path, scan):
    done = run("tune", mixture("psld"), "--solver", "conjugate", "--nfe", 20, "--scan", scan,
               "-o", "tuned.json", ok=False)
    assert done.returncode == 2 and "scan" in done.stderr
    assert not (tmp_path / "tuned.json").exists()


@pytest.mark.parametrize("options", [
    ("--solver", "conjugate"), ("--nfe", "20"),
    ("--solver", "conjugate", "--nfe", "x"), ("--solver", "conjugate", "--nfe", ","),
    ("--solver", "conjugate", "--nfe", "0"), ("--solver", "heun", "--nfe", "1"),
    ("--solver", "ode45", "--nfe", "20"), ("--solver", "conjugate:lambda=auto", "--nfe", "20"),
    ("--solver", "conjugate:lambda=1", "--nfe", "20", "--scan", "lambda=0:1:2"),
    ("--solver", "conjugate", "--nfe", "20", "--grid", "uniform", "--scan", "kappa=1:2:2"),
    ("--solver", "conjugate", "--nfe", "20", "--grid", "auto"),
])
def test_bad_wishes_are_refused(run, mixture, tmp_path, options):
    done = run("tune", mixture("psld"), *options, "-o", "tuned.json", ok=False)
    assert done.returncode == 2 and done.stderr.startswith("driftless: ")
    assert not (tmp_path / "tuned.json").exists()


def test_a_mixture_needs_a_place_for_its_values(run, mixture):
    done = run("tune", mixture("psld"), "--solver", "conjugate", "--nfe", 20, ok=False)
    assert done.returncode == 2 and "-o FILE" in done.stderr
