"""Published times and tables of coefficients: what grids and plans they become."""

import json

import numpy as np
import pytest


@pytest.fixture
def plan(run, tmp_path):
    """plan(*options): the plan as JSON, and what was said on standard error."""

    def call(*options):
        done = run("plan", *options, "--json", "-")
        return json.loads(done.stdout), done.stderr

    return call


def times_of(plan):
    return [plan["inputs"][0]["t"], *(row["t"] for row in plan["rows"] if row["op"] == "STEP")]


def vp(t):
    big_b = 0.1 * t + 9.95 * t**2
    return np.exp(-big_b / 2), np.sqrt(-np.expm1(-big_b))


# ---- times ----------------------------------------------------------------------------------------

TIMES = np.array([0.9, 0.5, 0.2, 0.01])
A, B = vp(TIMES)


@pytest.mark.parametrize("names, numbers", [
    (("t", "times"), TIMES), (("sigma", "sigmas"), B / A), (("log_snr", "log_snrs"), np.log(A**2 / B**2)),
    (("half_log_snr", "half_log_snrs"), np.log(A / B)),
])
@pytest.mark.parametrize("solver", ["ddim", "deis:order=3", "dpm:order=2"])
def test_lists_of_any_quantity_are_grids(plan, tmp_path, names, numbers, solver):
    """Every form says the same times, for solvers of one step and of several."""
    digits = [repr(float(x)) for x in numbers]
    forms = [f"{names[0]}\n" + "\n".join(digits), f"# from a paper\n{names[1]}, " + ", ".join(digits),
             f"{names[1]} [{', '.join(digits)}]", json.dumps({names[1]: numbers.tolist(), "source": "a paper"})]
    for form in forms:
        (tmp_path / "times").write_text(form)
        made, _ = plan("--process", "vp_linear", "--solver", solver, "--grid", "file:path=times")
        assert np.allclose(times_of(made), TIMES, rtol=1e-12, atol=0)


def test_timesteps(plan, tmp_path):
    """Indices of a table, and behind them the end: 0, or what is asked for."""
    (tmp_path / "steps.txt").write_text("timesteps\n[999, 850, 343, 24]\n")
    made, _ = plan("--process", "vp_discrete", "--solver", "ddim", "--grid", "file:path=steps.txt")
    assert np.allclose(times_of(made), [1, 0.851, 0.344, 0.025, 0])
    made, _ = plan("--process", "vp_discrete", "--solver", "ddim", "--grid", "file:path=steps.txt", "--t-end", 0.001)
    assert times_of(made)[-1] == 0.001
    made, _ = plan("--process", "vp_discrete:num_train_timesteps=2000", "--solver", "ddim", "--grid",
                   "file:path=steps.txt,num_train_timesteps=2000")
    assert np.allclose(times_of(made), [0.5, 0.4255, 0.172, 0.0125, 0])


@pytest.mark.parametrize("text, said", [
    ("hours\n1 0.5", "'hours' is not a number"), ("sigmas\n", "at least two times"),
    ("sigmas\n500 1", "vp_linear is nowhere at sigma = 500"), ("sigma\n1 -1", "nowhere at sigma = -1"),
    ("1 sigma 0.5", "'sigma' is not a number"), ('{"sigmas": [1, 0.5], "times": [1, 0.5]}', "are both given"),
    ('{"x": [1]}', "one of the keys times, sigmas"), ('{"sigmas": []}', "sigmas"), ('{"sigmas": 1}', "sigmas"),
    ('{"sigmas": [1,', "not valid JSON"), ("sigmas\n0.5 1", "must be above t_end"), ("sigmas\n5 1 2 0.1", "times must fall"),
])
def test_times_that_are_refused(run, tmp_path, text, said):
    (tmp_path / "t").write_text(text)
    done = run("plan", "--process", "vp_linear", "--grid", "file:path=t", ok=False)
    assert done.returncode in (1, 2) and said in done.stderr and done.stderr.count("\n") == 1


# ---- coefficients ---------------------------------------------------------------------------------


def write_table(path, plan, kind="epsilon"):
    """The steps of a plan of one LIN per step, as CSV."""
    rows, t = [f"t_from,t_to,x,{kind},{kind}_1,{kind}_2"], plan["inputs"][0]["t"]
    for row in plan["rows"]:
        if row["op"] == "LIN":
            c = row["c"]
        if row["op"] == "STEP":
            rows.append(",".join(repr(float(x)) for x in (t, row["t"], *c)))
            t = row["t"]
    path.write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("solver", ["ddim", "deis:order=2"])
def test_exported_table_comes_back(plan, tmp_path, solver):
    first, _ = plan("--process", "vp_linear", "--solver", solver, "--steps", 6)
    write_table(tmp_path / "table.csv", first)
    made, said = plan("--process", "vp_linear", "--import", "table.csv")
    assert "6 steps; a constant output is taken off its label by at most" in said
    assert float(said.split("at most ")[1].split()[0]) < 1e-12
    assert len(made["rows"]) == len(first["rows"])
    for mine, its in zip(made["rows"], first["rows"]):
        its.pop("order", None)
        assert np.allclose(mine.pop("c", 0), its.pop("c", 0), rtol=1e-12, atol=0)
        assert mine == its


def test_imported_plan_runs(run, plan, tmp_path):
    """From a file to samples: those of the solver that the table was written from."""
    mixture = {"format": "driftless-mixture/1", "weights": [0.5, 0.5], "means": [[1, 0], [-1, 0.5]],
               "stds": [[0.2, 0.3], [0.3, 0.2]], "card": {"t_min": 0.001}}
    (tmp_path / "m.json").write_text(json.dumps(mixture))
    first, _ = plan("mixture:m.json", "--solver", "deis:order=2", "--steps", 6)
    write_table(tmp_path / "table.csv", first)
    run("plan", "mixture:m.json", "--import", "table.csv", "--source", "a table, by hand", "--json", "plan.json")
    common = ("mixture:m.json", "-n", 50, "--dtype", "float64", "-q")
    run("sample", *common, "--plan", "plan.json", "-o", "a.npy")
    run("sample", *common, "--solver", "deis:order=2", "--steps", 6, "-o", "b.npy")
    assert np.abs(np.load(tmp_path / "a.npy") - np.load(tmp_path / "b.npy")).max() < 1e-11
    meta = json.loads((tmp_path / "plan.json").read_text())["meta"]
    assert meta["fit"].startswith("a table, by hand: 6 steps of epsilon") and meta["solver"] == "imported"


def test_violation_is_told(run, plan, tmp_path):
    (tmp_path / "t.csv").write_text("t_from,t_to,x,flow_prediction\n0.8,0.4,1,-0.4\n0.4,0.1,1,-0.25\n")
    _, said = plan("--process", "flow", "--import", "t.csv")
    assert "off its label by at most 0.05 (step 2)" in said and "warning: step 2" in said
    assert "step 2 takes a constant output" in run("plan", "--process", "flow", "--import", "t.csv").stdout
    assert run("plan", "--process", "flow", "--import", "t.csv", "--json", "-", "--quiet").stderr == ""


@pytest.mark.parametrize("options, said", [
    (("--import", "none.csv"), "none.csv"), (("--import", "t.csv", "--steps", 3), "--steps cannot stand beside --import"),
    (("--import", "t.csv", "--plan", "p.json"), "choose one of them"), (("--source", "x"), "--source is for --import"),
    (("--import", "t.csv", "--predict", "m.npz"), "save the imported one first"),
    (("--import", "bad.csv"), "bad.csv: line 2: 'a' is not a number"),
    (("--import", "t.csv", "--thresholding"), "cannot stand beside --import"),
])
def test_refusals(run, tmp_path, options, said):
    (tmp_path / "t.csv").write_text("t_from,t_to,x,epsilon\n0.8,0.4,1,-0.4\n")
    (tmp_path / "bad.csv").write_text("t_from,t_to,x,epsilon\n0.8,0.4,a,-0.4\n")
    done = run("plan", "--process", "flow", *options, ok=False)
    assert done.returncode in (1, 2) and said in done.stderr and done.stderr.count("\n") == 1
