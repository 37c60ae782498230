"""Searched times of fitted plans, and fits that start below t = 1, from the command line."""

import json
import re
import signal
import subprocess
import time

import numpy as np
import pytest

from mixtures import THREE

MIXTURE = THREE | {"card": {"t_min": 0.001}}


@pytest.fixture
def model(tmp_path):
    (tmp_path / "mixture.json").write_text(json.dumps(MIXTURE))
    return f"mixture:{tmp_path / 'mixture.json'}"


@pytest.fixture
def fit(run, tmp_path, model):
    """fit(*options): fits, gives the finished process and the plan."""

    def call(*options, name="plan.json"):
        done = run("fit", model, "-o", name, *options)
        return done, json.loads((tmp_path / name).read_text())

    return call


@pytest.fixture
def error(run, tmp_path, model):
    """error(*options): RMS of samples to converged ones of the same starts, whose seed no fit used."""

    def sample(*options):
        run("sample", model, "-n", 300, "--seed", 7, "--dtype", "float64", "-q", "-o", "x.npy", *options)
        return np.load(tmp_path / "x.npy")

    def call(*options, starts=()):
        truth = sample("--solver", "ode45:rtol=1e-9,atol=1e-9", *starts)
        prior = [word for word in starts if "t-start" not in str(word) and not isinstance(word, float)]
        return np.sqrt(((sample(*options, *prior) - truth) ** 2).mean())

    return call


# ---- times ----------------------------------------------------------------------------------------


def test_searched_times_are_refined(fit, error):
    """Both together: the refinement begins at the searched plan, and unseen starts gain from it."""
    searched = ["--steps", 4, "-n", 2048, "--compare", "none", "--grid", "search:rounds=2"]
    fit(*searched, name="found.json")
    done, plan = fit(*searched, "--refine", 4, "--refine-times", name="refined.json")
    assert "to search times" in done.stderr and "to refine" in done.stderr
    assert plan["meta"]["solver"].endswith("objective=rms")
    times = [row["t"] for row in plan["rows"] if row["op"] == "STEP"]
    assert json.loads(plan["meta"]["grid"].removeprefix("list:times=")) == [1, *times]
    assert error("--plan", "refined.json") < 0.95 * error("--plan", "found.json")


@pytest.mark.parametrize("more", [(), ("--constraint", "order3", "--history", 2, "--share")])
def test_rivals_of_two_evaluations_a_step(fit, more):
    """Refined times are a grid of four steps, on which such rivals have no place; the others are measured there."""
    done, plan = fit("--steps", 4, "-n", 400, "--held-out", 200, "--teacher-nfe", 20, "--refine", 6, "--refine-times",
                     "--compare", "all", *more)
    assert plan["meta"]["grid"].startswith("list:times=[1,") and plan["meta"]["solver"].endswith("objective=rms")
    assert re.search(r"\nheun +refined +not at this budget\n", done.stdout)
    assert re.search(r"\nddim +refined +\d", done.stdout) and re.search(r"\nheun +karras +\d", done.stdout)


def test_searched_times_beat_given_ones(fit, error):
    _, given = fit("--steps", 5, "--compare", "none", name="given.json")
    done, plan = fit("--steps", 5, "--compare", "none", "--grid", "search", name="found.json")
    assert error("--plan", "found.json") < 0.85 * error("--plan", "given.json")
    assert float(plan["meta"]["held_out_rms"]) < 0.7 * float(given["meta"]["held_out_rms"])
    assert "times searched among 60 of the teacher's by 128 starts from 512" in plan["meta"]["fit"]
    assert re.search(r"^fitted +searched +0\.\d+ +0\.\d+$", done.stdout, re.M)
    times = [row["t"] for row in plan["rows"] if row["op"] == "STEP"]
    listed = json.loads(plan["meta"]["grid"].removeprefix("list:times="))
    assert listed == [1, *times] and listed[-1] == 0.001


def test_found_times_are_a_grid(fit, run):
    """The times in the plan's record can be given again, to a fit and to any solver."""
    _, plan = fit("--steps", 3, "-n", 60, "--compare", "none", "--grid", "search")
    grid = plan["meta"]["grid"]
    _, again = fit("--steps", 3, "-n", 60, "--compare", "none", "--grid", grid, name="again.json")
    assert again["rows"] == plan["rows"]
    shown = run("plan", "--process", "vp_linear", "--solver", "deis:order=2", "--grid", grid).stdout
    assert "3 steps, 3 network evaluations" in shown


def test_cost_is_told_first(fit):
    done, _ = fit("--steps", 3, "-n", 50, "--held-out", 20, "--teacher-nfe", 10, "--compare", "none",
                  "--grid", "search:starts=40,validation=30,rounds=2")
    search = 40 * 10 + (40 + 30) * (12 * 3 + 2 * 3 * 2)
    assert (f"at most {100 * 10 + search + 70 * 3} evaluations: 1000 of the teacher, at most {search} to "
            "search times, 210 of the student, 0 to compare") in done.stderr


def test_one_step(fit):
    _, found = fit("--steps", 1, "-n", 50, "--compare", "none", "--grid", "search")
    _, given = fit("--steps", 1, "-n", 50, "--compare", "none", name="given.json")
    assert found["rows"] == given["rows"]


@pytest.mark.parametrize("options, said", [
    (("--steps", 5, "--grid", "search:candidates=4"), "4 candidate times are too few for 5 steps"),
    (("--steps", 5, "--grid", "search:candidate=9"), "did you mean 'candidates'"),
    (("--steps", 5, "--grid", "search:rounds=-1"), "rounds=-1"),
    (("--steps", 5, "--grid", "serach"), "serach"),
    (("--steps", 5, "--t-start", 0.5, "--prior", "none.npz"), "none.npz"),
    (("--steps", 5, "--prior-map", "flow"), "prior_map needs prior"),
])
def test_refused_before_anything_runs(model, run, tmp_path, options, said):
    done = run("fit", model, "-o", "x.json", *options, ok=False)
    assert done.returncode in (1, 2) and said in done.stderr
    assert done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mixture.json"]


def test_interrupted_search_goes_on(program, tmp_path):
    """Ctrl-C in the middle of the trials: no plan, what was measured is kept, and the end is the same."""
    rng = np.random.default_rng(0)
    wide = MIXTURE | {"weights": [1 / 40] * 40, "means": rng.normal(size=(40, 64)).tolist(),
                      "stds": [0.3] * 40}
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    command = [program, "fit", "mixture:wide.json", "--steps", "5", "-n", "128", "--held-out", "12",
               "--teacher-nfe", "30", "--compare", "none", "-q", "--grid", "search:starts=64,validation=64"]
    subprocess.run([*command, "-o", "whole.json"], cwd=tmp_path, check=True)
    started = subprocess.Popen([*command, "-o", "plan.json"], cwd=tmp_path, stderr=subprocess.PIPE,
                               text=True)
    work = tmp_path / "plan.json.teacher"
    while not list(work.glob("search-*.txt")):
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.002)
    started.send_signal(signal.SIGINT)
    said = started.communicate()[1]
    assert started.returncode == 130 and "goes on with the teacher's states" in said
    assert not (tmp_path / "plan.json").exists()
    kept = next(work.glob("search-*.txt")).read_text()
    assert kept and all(line.startswith("0 ") for line in kept.splitlines())
    subprocess.run([*command, "-o", "plan.json"], cwd=tmp_path, check=True)
    assert not work.exists()
    resumed, whole = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("plan", "whole"))
    assert resumed["rows"] == whole["rows"] and resumed["meta"]["held_out"] == whole["meta"]["held_out"]


# ---- starts ---------------------------------------------------------------------------------------


@pytest.fixture
def prior(tmp_path):
    """The mixture itself, as docs/prior-format.md has it."""

    def word(text):
        return np.frombuffer(text.encode(), np.uint8)

    np.savez(tmp_path / "it's a, prior.npz", format=word("driftless-prior/1"), kind=word("full"),
             state=np.array([1.0, 0.0]), weights=np.array(MIXTURE["weights"]),
             means=np.array(MIXTURE["means"]),
             covariances=np.array([np.diag(np.square(s)) for s in MIXTURE["stds"]]))
    return tmp_path / "it's a, prior.npz"


def test_fit_below_one_starts_from_the_prior(fit, error, prior):
    """On the starts that sample draws, three evaluations from t = 0.4 beat deis with as many."""
    starts = ("--t-start", 0.4, "--prior", prior)
    done, plan = fit("--steps", 3, "--compare", "few", *starts)
    assert plan["inputs"][0]["t"] == 0.4
    assert "starts at t = 0.4: prior=" in plan["meta"]["fit"]
    assert "start at t = 0.4" in done.stderr
    fitted = error("--plan", "plan.json", starts=starts)
    deis = error("--solver", "deis:order=2", "--nfe", 3, "--t-start", 0.4, starts=starts)
    assert fitted < 0.75 * deis
    assert 0.6 < fitted / float(plan["meta"]["held_out_rms"]) < 1.6  # other starts of the same law


def test_states_are_of_their_prior(fit, prior, tmp_path):
    """Another prior under the same name is another teacher; the same one is taken again."""
    options = ("--steps", 2, "-n", 40, "--held-out", 8, "--compare", "none", "--t-start", 0.4, "--prior",
               prior, "--work", "states")
    fit(*options)
    again, _ = fit(*options)
    assert " 0 of the teacher" in again.stderr
    wider = dict(np.load(prior))
    np.savez(prior, **wider | {"covariances": 2 * wider["covariances"]})
    other, _ = fit(*options)
    assert f" {48 * 60} of the teacher" in other.stderr


def test_plain_noise_below_one_is_warned_of(fit):
    done, _ = fit("--steps", 2, "-n", 20, "--compare", "none", "--t-start", 0.3)
    assert "warning" in done.stderr
