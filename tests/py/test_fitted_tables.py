"""The tables of fitted plans, scripts/fitted_*.py: with few samples on mixtures, whose networks are exact."""

import csv
import json
import sys
from unittest import mock

import numpy as np
import pytest

MIXTURE = {
    "format": "driftless-mixture/1",
    "weights": [0.5, 0.3, 0.2],
    "means": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]],
    "stds": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]],
    "labels": [0, 1, 0],
    "card": {"t_min": 0.001},
}


@pytest.fixture(scope="module")
def scripts(root):
    """scripts(name): one of the scripts as a module."""
    sys.path.insert(0, str(root / "scripts"))
    yield __import__
    sys.path.remove(str(root / "scripts"))


@pytest.fixture
def mixture(tmp_path):
    def write(name, **card):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(MIXTURE | {"card": MIXTURE["card"] | card}))
        return f"mixture:{path}"

    return write


@pytest.fixture
def measure(scripts, program, tmp_path, capfd):
    """measure(script, model, ...): runs a script into the folder out; what it said."""

    def call(name, model, *words):
        scripts(name).main(["--model", model, "--program", program, "--threads", "1", "--work", str(tmp_path / "work"),
                            "-o", str(tmp_path / "out"), "--converged", "deis:kind=lograb,order=3@logsnr@60",
                            *map(str, words)])
        return capfd.readouterr().err

    return call


@pytest.fixture
def rows(scripts, tmp_path):
    return lambda name: scripts("solver_table").rows_of(tmp_path / "out" / f"fitted-{name}.csv")


@pytest.fixture
def plan(run):
    """plan(*options): a plan as JSON."""
    return lambda *options: json.loads(run("plan", *options, "--json", "-").stdout)


# ---- plans as linear forms ----------------------------------------------------------------------------


@pytest.mark.parametrize("one, other, same", [
    (("ddim", "logsnr", 4), ("dpm:order=1", "logsnr", 4), True),
    (("deis:order=3", "uniform", 1), ("dpm:order=1", "power:kappa=2", 1), True),  # a single step
    (("ddim", "power:kappa=1", 4), ("ddim", "uniform", 4), True),
    (("dpm:order=2,method=singlestep", "logsnr", 5), ("dpm:order=2,method=singlestep", "logsnr", 4), False),
    (("deis:order=1", "uniform", 4), ("deis:order=2", "uniform", 4), False),
    (("ddim", "uniform", 4), ("ddim", "power:kappa=1.5", 4), False),
])
def test_same_form_is_the_same_sampler(scripts, run, plan, mixture, tmp_path, one, other, same):
    """By their samples, too, whatever rows the plans have."""
    forms, samples, model = [], [], mixture("m")
    for solver, grid, nfe in (one, other):
        words = ("--solver", solver, "--grid", grid, "--nfe", nfe)
        forms.append(scripts("plan_forms").form(plan(model, *words)))
        run("sample", model, *words, "-n", 20, "--dtype", "float64", "-q", "-o", "x.npy")
        samples.append(np.load(tmp_path / "x.npy"))
    assert (forms[0] == forms[1]) == same
    assert np.allclose(samples[0], samples[1], atol=1e-9) == same


def test_plans_that_draw_have_no_form(scripts, plan):
    assert scripts("plan_forms").form(plan("--process", "vp_linear", "--solver", "ddpm")) is None


@pytest.mark.parametrize("card", [{"prediction_type": "v_prediction"}, {"prediction_type": "sample"},
                                  {"process": {"type": "flow"}, "prediction_type": "flow_prediction"}])
def test_translated_plan_draws_the_same(scripts, run, mixture, program, tmp_path, card):
    """The score of the mixture is exact whatever is predicted, so a plan fitted to the one network gives the same
    samples with the other."""
    bench, forms = scripts("fitted_bench"), scripts("plan_forms")
    model, other = mixture("m"), mixture("other", **card)
    run("fit", model, "--steps", 3, "-n", 60, "--held-out", 10, "--compare", "none", "-q", "-o", "plan.json")
    there = bench.Bench(bench.parser_of("x").parse_args(["--program", program, "--work", str(tmp_path)]), bench.Case(), other)
    fitted = json.loads((tmp_path / "plan.json").read_text())
    asked, why = forms.template(there, fitted, tmp_path, "1e-3")
    assert why is None
    (tmp_path / "moved.json").write_text(json.dumps(forms.translated(fitted, *asked)))
    drawn = []
    for name, path in ((model, "plan.json"), (other, "moved.json")):
        run("sample", name, "--plan", path, "-n", 30, "--dtype", "float64", "-q", "-o", "x.npy")
        drawn.append(np.load(tmp_path / "x.npy"))
    assert np.allclose(*drawn, atol=1e-9)


# ---- cases --------------------------------------------------------------------------------------------


def test_cases(scripts):
    bench = scripts("fitted_bench")
    assert str(bench.case_of("plain")) == "plain" and bench.case_of("plain") == bench.Case()
    assert str(bench.case_of("classes=0-4,guidance=2")) == "guidance=2,classes=0-4"
    assert [bench.case_of(text).networks for text in ("plain", "guidance=2")] == [1, 2]
    for text in ("guidance", "colour=2", "classes=3", "plain=1"):
        with pytest.raises(bench.argparse.ArgumentTypeError):
            bench.case_of(text)


@pytest.mark.parametrize("name, words, said", [
    ("fitted_distance", ["nothing"], "one of screen, distance"), ("fitted_distance", ["--solvers", "x"], "some of ddim"),
    ("fitted_transfer", ["--case", "x=1"], "some of guidance="), ("fitted_quality", ["--converged", "ddim"], "SOLVER@GRID"),
    ("fitted_distance", ["--case", "classes=0-1", "--nfe", "2"], "is for folders"), ("fitted_sensitivity", ["--model", "no"], "no: a folder"),
])
def test_refusals(scripts, mixture, tmp_path, capsys, name, words, said):
    with pytest.raises(SystemExit) as stopped:
        scripts(name).main(["--model", mixture("m"), "-o", str(tmp_path), "--work", str(tmp_path / "work"), *words])
    assert said in capsys.readouterr().err + str(stopped.value)


def test_shortlist_is_of_solvers_that_are_screened(scripts):
    assert set(scripts("fitted_transfer").SHORTLIST) <= set(scripts("fitted_distance").SOLVERS)


def test_half_of_the_classes(scripts, run, root, tmp_path):
    """Its label i is label 2 + i of the whole, and its null label the null label."""
    card = {"format": "driftless-model/1", "name": "four", "network": {
        "file": "linear.onnx", "inputs": {"sample": "x", "time": "timestep", "class": "label"}, "output": "y"},
        "process": {"type": "vp_linear", "beta_min": 0.1, "beta_max": 20}, "prediction_type": "epsilon",
        "time_map": {"type": "linear", "scale": 1000}, "sample": {"shape": [1, 2, 2]}, "t_min": 0.001,
        "t_max": 1, "classes": {"count": 4, "null": 4}}
    (tmp_path / "four").mkdir()
    (tmp_path / "four" / "model.json").write_text(json.dumps(card))
    (tmp_path / "four" / "linear.onnx").write_bytes((root / "tests/data/networks/linear.onnx").read_bytes())
    half = scripts("fitted_bench").restrict(tmp_path / "four", "2-3", tmp_path / "half")

    def drawn(model, *words):
        run("sample", model, *words, "--steps", 2, "-n", 2, "-q", "-o", "x.npy")
        return np.load(tmp_path / "x.npy")

    mine = drawn(half)
    for i in range(2):
        assert np.array_equal(mine[i], drawn("four", "--class", 2 + i)[i])
        assert not np.allclose(mine[i], drawn("four", "--class", i)[i])
    assert np.array_equal(drawn(half, "--class", "null"), drawn("four", "--class", "null"))
    with pytest.raises(SystemExit):
        scripts("fitted_bench").restrict(tmp_path / "four", "2-4", tmp_path / "half")


# ---- tables -------------------------------------------------------------------------------------------


def test_distance(scripts, run, measure, rows, mixture, program, tmp_path):
    """Grids are chosen by other starts; fitted plans stand beside; nothing is measured twice."""
    model = mixture("m")
    (tmp_path / "plans").mkdir()
    run("fit", model, "--steps", 3, "-n", 60, "--held-out", 10, "--compare", "none", "-q", "-o", "plans/fitted-3.json")
    words = ("fitted_distance", model, "--nfe", "3,2", "--samples", 40, "--check", "unipc:order=2@logsnr@60", "--solvers",
             "ddim deis:order=1 unipc:order=2", "--plans", tmp_path / "plans")
    assert "distance:" in measure(*words, "--cost") and rows("screening") == rows("distance") == []
    measure(*words)
    screened = rows("screening")
    assert {r["model"] for r in screened} == {"m"} and {r["case"] for r in screened} == {"plain"}
    first = [r for r in screened if r["starts"] == "16"]
    assert [r["nfe"] for r in first] == 18 * ["2"] + 18 * ["3"]  # cheap ones first
    for nfe in "23":
        for solver in ("ddim", "deis:order=1", "unipc:order=2"):
            heats = {n: {r["grid"]: float(r["rms"]) for r in screened
                         if (r["solver"], r["starts"], r["nfe"]) == (solver, n, nfe) and r["rms"]} for n in ("16", "64")}
            best = min(heats["16"].values())
            assert set(heats["64"]) == {g for g, e in heats["16"].items() if e <= 1.5 * best}
            won = min(heats["64"], key=heats["64"].get)
            assert [r["grid"] for r in rows("distance") if (r["solver"], r["nfe"]) == (solver, nfe)] == [won]
    measured = {(r["solver"], r["nfe"]): r for r in rows("distance")}
    assert float(measured["fitted", "3"]["rms"]) < min(float(r["rms"]) for (s, n), r in measured.items()
                                                       if n == "3" and s != "fitted")
    assert float(measured["(a second converged solver: unipc:order=2)", "60"]["rms"]) < 0.01
    # the number itself, and the errors of both heats together
    run("sample", model, "--solver", "ddim", "--grid", measured["ddim", "2"]["grid"], "--nfe", 2, "--t-end", "1e-3", "--seed",
        1, "-n", 40, "-q", "-o", "x.npy")
    run("sample", model, "--solver", "deis:kind=lograb,order=3", "--grid", "logsnr", "--nfe", 60, "--t-end", "1e-3",
        "--seed", 1, "-n", 40, "-q", "-o", "y.npy")
    rms = np.sqrt(((np.load(tmp_path / "x.npy") - np.load(tmp_path / "y.npy")) ** 2).mean())
    assert float(measured["ddim", "2"]["rms"]) == pytest.approx(rms, abs=1e-5)
    before = [(tmp_path / "out" / f"fitted-{n}.csv").read_text() for n in ("screening", "distance")]
    assert "distance: 0 cells, at most 0 evaluations" in measure(*words)
    assert before == [(tmp_path / "out" / f"fitted-{n}.csv").read_text() for n in ("screening", "distance")]


def test_screening_of_all_starts_at_once(scripts, run, measure, rows, mixture, tmp_path):
    """The error of 64 starts, run as 16 and 48; what is the same plan has the same error and says of which."""
    model = mixture("m")
    measure("fitted_distance", model, "screen", "--nfe", 2, "--solvers", "deis:order=1 deis:order=2")
    table = {(r["solver"], r["grid"]): r for r in rows("screening") if r["starts"] == "64"}
    grid = next(iter(table))[1]
    drawn = []
    for words in (("--solver", "deis:order=1", "--grid", grid, "--nfe", 2),
                  ("--solver", "deis:kind=lograb,order=3", "--grid", "logsnr", "--nfe", 60)):
        run("sample", model, *words, "--t-end", "1e-3", "--seed", 2, "-n", 64, "-q", "-o", "x.npy")
        drawn.append(np.load(tmp_path / "x.npy"))
    one, two = table["deis:order=1", grid], table["deis:order=2", grid]  # a second step has order 1 at most
    assert float(one["rms"]) == pytest.approx(np.sqrt(((drawn[0] - drawn[1]) ** 2).mean()), abs=2e-5)
    assert (two["rms"], two["note"]) == (one["rms"], f"as deis:order=1 on {grid}")


def test_sensitivity(measure, rows, mixture):
    """More starts and more history are better; a ridge too large is not."""
    model = mixture("m")
    measure("fitted_sensitivity", model, "--nfe", 4, "--most", 32, "--samples", 60)
    found = {(r["starts"], r["history"], r["ridge"]): float(r["rms"]) for r in rows("sensitivity")}
    assert len(found) == 2 + 4 + 7
    assert found["32", "0", "1e-6"] > found["32", "3", "1e-6"]
    assert found["32", "3", "1e-2"] > found["32", "3", "1e-6"]
    assert "sensitivity: 0 cells" in measure("fitted_sensitivity", model, "--nfe", 4, "--most", 32, "--samples", 60)


def test_transfer(scripts, measure, rows, mixture, monkeypatch):
    """A plan is best where it was fitted; siblings with an exact network are no strangers."""
    monkeypatch.setattr(scripts("fitted_transfer"), "SHORTLIST", ("ddim", "dpm:order=2"))
    model, sibling = mixture("m"), mixture("v", prediction_type="v_prediction")
    words = ("fitted_transfer", model, "--nfe", 3, "--samples", 60, "--groups", "guidance,siblings", "--siblings", sibling,
             "--scales", "1,4", "--check", "unipc:order=2@logsnr@60")
    measure(*words)
    found = {(r["model"], r["case"], r["of_model"], r["of_case"]): float(r["rms"]) for r in rows("transfer")}
    assert len(found) == 7
    for case, other in (("plain", "guidance=4"), ("guidance=4", "plain")):
        assert found["m", case, "m", case] < found["m", case, "m", other]
    assert found["m", "plain", "v", "plain"] == pytest.approx(found["m", "plain", "m", "plain"], rel=0.05)
    classical = {(r["model"], r["case"]): float(r["rms"]) for r in rows("distance") if r["solver"][0] != "("}
    assert set(classical) == {("m", "plain"), ("m", "guidance=4"), ("v", "plain")}
    assert found["m", "plain", "m", "plain"] < classical["m", "plain"]
    assert "transfer: 0 cells" in measure(*words)


def test_quality(run, measure, rows, tmp_path):
    """On pictures of four by four, with their pixels as features."""
    draws = np.random.default_rng(3)
    means = draws.uniform(-0.6, 0.6, size=(3, 16))
    (tmp_path / "p.json").write_text(json.dumps(MIXTURE | {
        "means": means.tolist(), "stds": [0.1, 0.15, 0.2], "labels": [0, 1, 2],
        "card": {"t_min": 0.001, "sample": {"shape": [1, 4, 4], "range": [-1, 1]}}}))
    model = f"mixture:{tmp_path / 'p.json'}"
    which = np.arange(600) % 3
    pictures = means[which] + np.array([0.1, 0.15, 0.2])[which, None] * draws.normal(size=(600, 16))
    np.save(tmp_path / "real.npy", pictures.reshape(-1, 1, 4, 4).astype(np.float32))
    (tmp_path / "plans").mkdir()
    run("fit", model, "--steps", 2, "-n", 60, "--held-out", 10, "--compare", "none", "-q", "-o", "plans/fitted-2.json")
    measure("fitted_distance", model, "screen", "--nfe", 2, "--solvers", "ddim deis:order=1")
    words = ("fitted_quality", model, "--nfe", 2, "--samples", 100, "--seeds", "11,12", "--best", 1, "--plans",
             tmp_path / "plans", "--features", "pixels", "--reference", tmp_path / "real.npy", "--nfe-converged", 40)
    measure(*words)
    table = rows("quality")
    assert [(r["sampler"], r["seed"], r["nfe"]) for r in table] == [
        (s, seed, n) for seed in ("11", "12") for s, n in (("fitted", "2"), (table[1]["sampler"], "2"), ("converged", "40"))]
    for row in table:
        assert 0 < float(row["fid"]) and all(0 <= float(row[c]) <= 1 for c in ("precision", "recall", "coverage"))
    of = {(r["sampler"], r["seed"]): float(r["fid"]) for r in table}
    assert of["converged", "11"] < of[table[1]["sampler"], "11"]
    assert "quality: 0 cells" in measure(*words)


# ---- the page -----------------------------------------------------------------------------------------


@pytest.fixture
def page(scripts, tmp_path, monkeypatch):
    """page(*options): the text of the page; the plot is left out, as matplotlib may not be there."""
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, mock.MagicMock())
    module = scripts("fitted_page")
    monkeypatch.setattr(module, "plot", lambda *arguments: None)

    def make(*options):
        monkeypatch.setattr(sys, "argv", ["fitted_page.py", str(tmp_path), *options])
        module.main()
        return (tmp_path / "fitted-m.md").read_text()

    yield make
    for name in ("fitted_page", "solver_page", "times_page"):
        sys.modules.pop(name, None)


def write(folder, name, key, fields, table):
    columns = ["model", "network", "case", *key, "nfe", *fields, "note"]
    with open(folder / f"fitted-{name}.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *table])


@pytest.mark.parametrize("fids, verdicts", [
    ((20.0, 11.4, 21.0), ["met", "met", "met"]), ((22.0, 11.6, 21.0), ["missed", "missed", "met"]),
])
def test_targets(page, tmp_path, fids, verdicts):
    """Each is met or missed by the means over seeds; networks that were replaced are not mixed in."""
    at3, at5, classical = fids
    quality = [["m", "new", "plain", s, "g", 100, seed, n, n, value + (seed - 11.5), 0.8, 0.7, 0.9, 0.6, ""]
               for seed in (11, 12) for s, n, value in (("fitted", 3, at3), ("fitted", 5, at5), ("ddim", 5, classical),
                                                        ("converged", 100, 10.0))]
    old = ["m", "old", "plain", "fitted", "g", 100, 11, 5, 5, 1.0, 1, 1, 1, 1, ""]
    write(tmp_path, "quality", ("sampler", "grid", "samples", "seed"), ("spent", "fid", "precision", "recall", "density",
                                                                       "coverage"), [old, *quality])
    write(tmp_path, "distance", ("solver", "grid"), ("spent", "samples", "rms", "median", "p90"), [
        ["m", "new", "plain", s, "logsnr", n, n, 256, rms, rms, rms, ""]
        for s, n, rms in (("fitted", 3, 0.18), ("fitted", 5, 0.09), ("ddim", 5, 0.26), ("deis:order=1", 5, 0.2))])
    text = page()
    assert [line.split("**")[1] for line in text.splitlines() if line.startswith("- **")] == verdicts
    assert f"{at5:.2f}, converged 10.00, so {10 * at5 - 100:+.0f} %" in text and "100 samples" in text
    assert "Measured on `m`, the network whose sha256 begins with new," in text
    assert "1 rows of other networks of this name are not shown" in text
    assert "| 5 | fitted | 0.090 | 0.090 | 0.090 | 0.200 `deis:order=1` on `logsnr` | 0.260 `ddim` on `logsnr` |  |" in text
    assert f"| **fitted** | its own | 5 | {at5:.2f} ± 0.71 |" in text
    before = page("--network", "old")
    assert "begins with old," in before and "| **fitted** | its own | 5 | 1.00 |" in before and "± 0.71" not in before
    with pytest.raises(SystemExit, match="network none"):
        page("--network", "none")


def test_page_of_little(page, tmp_path):
    """What is not measured is said to be so, and what was refused is told."""
    write(tmp_path, "sensitivity", ("grid", "starts", "history", "ridge"), ("spent", "samples", "rms", "median", "p90"), [
        ["m", "new", "plain", "g", s, k, r, 5, 5, 60, rms, rms, rms, ""]
        for s, k, r, rms in ((32, 3, "1e-6", 0.2), (256, 3, "1e-6", 0.1), (256, 0, "1e-6", 0.3), (32, 3, "1e-2", 0.25))])
    write(tmp_path, "transfer", ("of_model", "of_network", "of_case", "grid"), ("spent", "samples", "rms", "median", "p90"), [
        ["m", "new", "plain", "m", "new", "plain", "g", 5, 5, 60, 0.1, 0.1, 0.1, ""],
        ["m", "new", "plain", "n", "x", "plain", "g", 5, 5, 60, 0.5, 0.1, 0.1, ""],
        ["m", "new", "guidance=2", "m", "new", "plain", "g", 5, "", "", "", "", "", "no, never"]])
    text = page()
    assert text.count("- not measured:") == 3
    assert "| 5 evaluations | 0.2000 | 0.1000 |" in text and "| 5 evaluations, 256 starts | 0.3000 | 0.1000 |" in text
    assert "| 5 evaluations, 32 starts | 0.2000 | 0.2500 |" in text
    assert "| plain | **0.100** | 0.500 |  |" in text and "- no, never" in text
