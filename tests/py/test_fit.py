"""Fitted plans from the command line: on a mixture, and the plans that are shipped."""

import csv
import json
import re
import shlex
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from mixtures import THREE

MIXTURE = THREE | {"card": {"t_min": 0.001}}


@pytest.fixture
def mixture(tmp_path):
    """The name of a mixture with these members changed."""

    def write(**changes):
        path = tmp_path / f"mixture{len(changes)}.json"
        path.write_text(json.dumps(MIXTURE | changes))
        return f"mixture:{path}"

    return write


@pytest.fixture
def sample(run, tmp_path):
    def call(model, *options):
        run("sample", model, "--dtype", "float64", "-q", "-o", "samples.npy", *options)
        return np.load(tmp_path / "samples.npy")

    return call


# ---- fitting ------------------------------------------------------------------------------------


def test_fitted_plan_beats_ddim_on_other_starts(mixture, fit, sample):
    """Another seed than the fit's, and an integration of its own as the truth. The fit's seed
    stands in its record, so that nobody measures on it by mistake."""
    model = mixture()
    _, plan = fit(model, "--steps", 5)
    starts = "-n", 300, "--seed", 7
    truth = sample(model, *starts, "--solver", "ode45:rtol=1e-9,atol=1e-9")
    error = {name: np.sqrt(((sample(model, *starts, *options) - truth) ** 2).mean())
             for name, options in (("fitted", ("--plan", "plan.json")),
                                   ("ddim", ("--solver", "ddim", "--nfe", 5)),
                                   ("deis", ("--solver", "deis:order=2", "--nfe", 5)))}
    assert error["fitted"] < error["ddim"] / 3
    assert error["fitted"] < error["deis"] * 0.6
    assert plan["counts"]["nfe"] == 5
    assert "seed 1000" in plan["meta"]["fit"]


def test_table_names_what_was_measured(mixture, fit):
    done, plan = fit(mixture(), "--steps", 4, "-n", 100, "--held-out", 50, "--teacher-nfe", 20)
    lines = done.stdout.splitlines()
    assert "teacher  deis:kind=tab,order=3" in done.stdout
    assert re.search(r"^ +4 +0\.001000 +5 of 5 +0\.\d+$", done.stdout, re.M)
    table = [line for line in lines if re.search(r"\d\.\d{4} +\d\.\d{4}$", line)]
    assert table[0].startswith("fitted")
    errors = [float(line.split()[-2]) for line in table[1:]]
    assert len(errors) > 6 and errors == sorted(errors)
    assert f"{float(plan['meta']['held_out_rms']):.4f}" == table[0].split()[-2]
    assert "driftless: 4000 evaluations: 3000 of the teacher, 600 of the student" in \
        done.stderr.replace(f"{3600 + 50 * 4 * (len(errors))} ev", "4000 ev")


def test_quiet_says_nothing(mixture, fit):
    done, _ = fit(mixture(), "--steps", 2, "-n", 20, "-q", "--compare", "none")
    assert done.stdout == done.stderr == ""


def test_refit_is_the_same_file(mixture, fit, run, tmp_path):
    model, options = mixture(), ("--steps", 3, "-n", 50, "--compare", "few")
    table = fit(model, *options)[0].stdout.split("held out: ")[1].splitlines()
    assert len(table) > 10 and max(map(len, table)) <= 80
    first = (tmp_path / "plan.json").read_bytes()
    fit(model, *options)
    assert (tmp_path / "plan.json").read_bytes() == first
    assert not (tmp_path / "plan.json.teacher").exists()


def test_command_in_the_record_can_be_typed_again(mixture, run, tmp_path):
    """Blanks and quotes in names included."""
    words = ["fit", mixture(), "--steps", "2", "-n", "8", "--held-out", "4", "--compare", "none", "-o", "it's a 'plan'.json"]
    run(*words)
    assert shlex.split(json.loads((tmp_path / words[-1]).read_text())["meta"]["command"]) == ["driftless", *words]


def test_guidance_is_part_of_the_fit(mixture, fit, run):
    labelled = mixture(labels=[0, 1, 1], card=MIXTURE["card"] | {"classes": {"count": 2, "null": 2}})
    _, plan = fit(labelled, "--steps", 3, "-n", 50, "--guidance", 2, "--compare", "none")
    assert "guidance 2" in plan["meta"]["fit"]
    assert plan["meta"]["identity"] != plan["meta"]["model"]
    warned = run("sample", labelled, "--plan", "plan.json", "-n", 2, "-o", "x.npy").stderr
    assert "under another guidance" in warned
    same = run("sample", labelled, "--plan", "plan.json", "-n", 2, "-g", 2, "-o", "x.npy").stderr
    assert "guidance" not in same


@pytest.mark.parametrize("options, said", [
    ((), "usage: driftless fit MODEL --steps N -o FILE"),
    (("--steps", 3), "usage: driftless fit"),
    (("-o", "x.json"), "usage: driftless fit"),
    (("--steps", 3, "-n", 1, "-o", "x.json"), "is not a whole number from 2"),
    (("--steps", 9, "--teacher-nfe", 8, "-o", "x.json"), "steps=9 is more than the 8 steps"),
    (("--steps", 3, "--grid", "list:times=[1,0.5,0.5,0.1]", "-o", "x.json"), "0.5"),
    (("--steps", 3, "--teacher", "ddpm", "-o", "x.json"), "draws noise"),
    (("--steps", 3, "-o", "missing/x.json"), "missing"),
    (("--steps", 3, "-o", "x.json", "--work", "mixture0.json"), "no folder"),
    (("--steps", 3, "-o", "x.json", "--ridge", "-1"), "--ridge"),
    (("--steps", 3, "-o", "x.json", "--teacher", "deis order=3"), "blank"),
    (("--steps", 3, "-o", "x.json", "--refine", "-1"), "--refine"),
    (("--steps", 3, "-o", "x.json", "--objective", "blur"), "--objective"),
    (("--steps", 3, "-o", "x.json", "--objective", "moments"), "give refine=N"),
    (("--steps", 3, "-o", "x.json", "--refine-times"), "give refine=N"),
    (("--steps", 3, "-o", "x.json", "--refine", 2, "--weight", 2), "weight goes with"),
    (("--steps", 1, "-o", "x.json", "--refine", 2, "--refine-times"), "no time between its ends"),
    (("--steps", 3, "-o", "x.json", "--share"), "share needs constraint=consistency"),
    (("--steps", 3, "-o", "x.json", "--constraint", "order2", "--history", 0), "needs history=1 or more"),
    (("--steps", 3, "-o", "x.json", "--refine", 2, "--features", "pixels"), "features or feature_distance only"),
    (("--steps", 3, "-o", "x.json", "--refine", 2, "--objective", "features"), "not pictures"),
])
def test_refused_before_anything_runs(mixture, run, tmp_path, options, said):
    done = run("fit", mixture(), *options, ok=False)
    assert done.returncode in (1, 2) and said in done.stderr
    assert done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mixture0.json"]


def test_interrupted_fit_goes_on(program, run, tmp_path):
    """Ctrl-C between blocks of the teacher: no plan, but what was drawn is kept and used."""
    rng = np.random.default_rng(0)
    wide = MIXTURE | {"weights": [1 / 40] * 40, "means": rng.normal(size=(40, 256)).tolist(),
                      "stds": [0.3] * 40}
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    command = [program, "fit", "mixture:wide.json", "--steps", "3", "-n", "500", "--held-out", "12",
               "--compare", "none", "-q", "-o", "wide-plan.json"]
    started = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    work = tmp_path / "wide-plan.json.teacher"
    while not (work.exists() and list(work.glob("*.npy"))):
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.002)
    started.send_signal(signal.SIGINT)
    said = started.communicate()[1]
    assert started.returncode == 130 and "goes on with the teacher's states" in said
    assert not (tmp_path / "wide-plan.json").exists()
    kept = {p: p.stat().st_mtime_ns for p in work.glob("teacher-*.npy")}
    assert 0 < len(kept) < 8
    again = subprocess.run(command[:-3] + ["-o", "wide-plan.json"], cwd=tmp_path, text=True,
                           capture_output=True)
    assert again.returncode == 0
    missing = 512 - 64 * len(kept)
    assert f"{missing * 60} of the teacher" in again.stderr
    assert not work.exists()
    resumed = json.loads((tmp_path / "wide-plan.json").read_text())
    run("fit", "mixture:wide.json", "--steps", 3, "-n", 500, "--held-out", 12, "--compare", "none",
        "-o", "whole.json")
    assert json.loads((tmp_path / "whole.json").read_text())["rows"] == resumed["rows"]


# ---- refinement ----------------------------------------------------------------------------------


def iterates(done):
    """The table of iterates: rows of numbers, and the row that was taken."""
    rows = re.findall(r"^ +(\d+) +(\S+) +(\S+) +(\S+) +(\S+)(  taken)?$", done.stdout, re.M)
    taken = [int(row[0]) for row in rows if row[5]]
    assert len(taken) == 1
    return [[float(x) for x in row[1:5]] for row in rows], taken[0]


def test_refined_plan_ends_nearer(mixture, fit, sample):
    """On starts of another seed, against an integration of its own; the plan tells what was done."""
    model = mixture()
    starts = "-n", 500, "--seed", 7
    truth = sample(model, *starts, "--solver", "ode45:rtol=1e-9,atol=1e-9")
    common = "--steps", 5, "-n", 2000, "--compare", "none", "--work", "states"
    error = {}
    for name, options in (("fitted", ()), ("refined", ("--refine", 8)),
                          ("times", ("--refine", 8, "--refine-times"))):
        done, plan = fit(model, *common, *options)
        error[name] = np.sqrt(((sample(model, *starts, "--plan", "plan.json") - truth) ** 2).mean())
        assert plan["counts"]["nfe"] == 5
        assert ("refined: objective rms" in plan["meta"]["fit"]) == (name != "fitted")
        if name != "fitted":
            rows, taken = iterates(done)
            assert taken > 0 and rows[taken][1] == min(row[1] for row in rows)
            assert f"iterate {taken} of {len(rows) - 1}" in plan["meta"]["fit"]
            assert f"{rows[taken][2]:.3g}" == f"{float(plan['meta']['held_out_rms']):.3g}"
    assert error["times"] < error["refined"] < 0.75 * error["fitted"]
    assert "times moved" in plan["meta"]["fit"]


def test_refinement_is_announced_and_the_same_again(mixture, fit, run, tmp_path):
    model = mixture()
    options = ("--steps", 3, "-n", 200, "--compare", "none", "--refine", 3, "--objective", "moments")
    done, _ = fit(model, *options)
    # per iteration 200 (2 * 2 + 3) evaluations for derivatives, 456 * 2 for one attempt
    assert f"about {456 * 3 + 3 * (200 * 7 + 456 * 2)} to refine" in done.stderr
    first = (tmp_path / "plan.json").read_bytes()
    fit(model, *options)
    assert (tmp_path / "plan.json").read_bytes() == first
    assert not (tmp_path / "plan.json.teacher").exists()
    solver = json.loads(first)["meta"]["solver"]
    assert solver == "fitted:history=3,constraint=none,objective=moments"


def test_no_gain_is_said(mixture, fit):
    """Six numbers cannot fix twenty coefficients: what is learnt by heart does not help elsewhere."""
    options = ("--steps", 5, "-n", 3, "--held-out", 300, "--compare", "none")
    _, plain = fit(mixture(), *options)
    done, plan = fit(mixture(), *options, "--refine", 4)
    assert "refinement gains nothing on the held-out starts: the plan is as fitted" in done.stdout
    assert "no gain on the held-out starts in" in plan["meta"]["fit"]
    assert plan["rows"] == plain["rows"] and plan["meta"]["solver"] == plain["meta"]["solver"]


def test_interrupted_refinement_goes_on(program, run, mixture, tmp_path):
    """Ctrl-C between iterates: no plan, but the iterates are kept and used."""
    command = [program, "fit", mixture(), "--steps", "5", "-n", "8000", "--compare", "none", "--refine", "6",
               "--refine-times", "--work", "states", "-o", "plan.json"]
    started = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not list((tmp_path / "states").glob("refined-*.npy")):
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.002)
    started.send_signal(signal.SIGINT)
    said = started.communicate()[1]
    assert started.returncode == 130 and "the refinement's iterates in states" in said
    assert not (tmp_path / "plan.json").exists()
    kept = np.load(next((tmp_path / "states").glob("refined-*.npy")))
    assert 1 <= len(kept) < 7
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    resumed = json.loads((tmp_path / "plan.json").read_text())
    assert np.array_equal(np.load(next((tmp_path / "states").glob("refined-*.npy")))[:len(kept)], kept)
    for path in (tmp_path / "states").glob("refined-*.npy"):
        path.unlink()
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert json.loads((tmp_path / "plan.json").read_text()) == resumed


@pytest.mark.parametrize("objective", ["features", "feature_distance"])
def test_features_of_the_shipped_network(model, fit, objective):
    """The feature network is found by its name; the objective falls on the fitting starts."""
    done, plan = fit(model, "--steps", 2, "-n", 6, "--held-out", 4, "--teacher-nfe", 4, "--teacher", "ddim",
                     "--t-end", "1e-3", "--compare", "none", "--refine", 1, "--objective", objective,
                     "--features", "fashion-classifier", "--weight", 2, "-t", 1)
    rows, _ = iterates(done)
    assert rows[1][0] < rows[0][0]
    assert f"objective {objective}, weight 2, features of fashion-classifier" in plan["meta"]["fit"]


def test_features_that_would_be_resized_are_refused_first(mixture, run, root, tmp_path):
    """Before the teacher runs: resizing is for finished pictures."""
    shutil.copytree(root / "models/mnist-lenet5", tmp_path / "eye")
    card = json.loads((tmp_path / "eye/features.json").read_text())
    (tmp_path / "eye/features.json").write_text(json.dumps(card | {"resize": {"type": "bilinear"}}))
    model = mixture(weights=[1], means=[[0.1] * 16], stds=[0.3], card={"sample": {"shape": [1, 4, 4]}})
    done = run("fit", model, "--steps", 3, "-n", 20, "--held-out", 20, "--teacher-nfe", 10, "--compare", "none",
               "--refine", 1, "--objective", "features", "--features", "eye", "--work", "states", "-o", "x.json", ok=False)
    assert done.returncode == 2 and "samples of 4 x 4 would have to be resized for extractor mnist-lenet5" in done.stderr
    assert not (tmp_path / "states").exists()


# ---- whose plan it is, and which one ------------------------------------------------------------


def test_plan_of_another_model_is_refused_unless_forced(mixture, fit, run, tmp_path):
    fit(mixture(), "--steps", 3, "-n", 50, "--compare", "none")
    other = mixture(weights=[0.4, 0.4, 0.2])
    done = run("sample", other, "--plan", "plan.json", "-n", 2, "-o", "x.npy", ok=False)
    assert done.returncode == 2 and "fitted to another network" in done.stderr
    assert not (tmp_path / "x.npy").exists()
    run("sample", other, "--plan", "plan.json", "--force", "-n", 2, "-o", "x.npy")
    alone = run("sample", other, "--force", "-n", 2, "-o", "y.npy", ok=False)
    assert "--force is for a plan" in alone.stderr


@pytest.fixture
def folder(tmp_path, mixture, fit):
    """A model's folder with a card, and put(name, nfe, rms, **meta): a plan into its plans/."""
    card = {"format": "driftless-model/1", "name": "m", "process": "vp_linear",
            "prediction_type": "epsilon", "t_min": 0.001, "sample": {"shape": [2]},
            "time_map": {"type": "linear"}, "t_max": 1.0,
            "network": {"file": "network.onnx", "sha256": "ab" * 32}}
    (tmp_path / "m" / "plans").mkdir(parents=True)
    (tmp_path / "m" / "model.json").write_text(json.dumps(card))
    (tmp_path / "m" / "network.onnx").write_bytes(b"")
    made = {n: fit(mixture(), "--steps", n, "-n", 50, "-q", "--compare", "none")[1] for n in (3, 4)}

    def put(name, nfe, rms, **meta):
        plan = json.loads(json.dumps(made[nfe]))
        plan["meta"] |= {"model": "ab" * 32, "identity": "ab" * 32, "held_out_rms": str(rms),
                         "solver": f"fitted:{name}"} | meta
        (tmp_path / "m" / "plans" / f"{name}.json").write_text(json.dumps(plan))

    return put


def chosen(run, nfe, *options):
    done = run("plan", "m", "--solver", "auto", "--nfe", nfe, *options)
    return done.stdout.splitlines()[0].split()[1], done.stderr


def test_auto_takes_the_best_plan_of_the_budget(run, folder, tmp_path):
    folder("worse", 3, 0.3)
    folder("best", 3, 0.2)
    folder("other-budget", 4, 0.1)
    folder("other-model", 3, 0.01, model="cd" * 32, identity="cd" * 32)
    folder("other-guidance", 3, 0.01, identity="ef" * 32)
    folder("not-measured", 3, "nan")
    (tmp_path / "m" / "plans" / "junk.json").write_text("[")
    solver, said = chosen(run, 3)
    assert solver == "fitted:best"
    assert "m/plans/best.json, fitted to this model; held out: 256 starts" in said
    assert "m/plans/junk.json is passed over" in said
    assert chosen(run, 4)[0] == "fitted:other-budget"
    assert "refined by features" not in said


def test_auto_begins_with_the_models_noise(run, folder, mixture, fit, tmp_path):
    """A shorter way has the lesser error, but does not begin where the model does, nor does another process."""
    folder("whole", 3, 0.3)
    folder("other-process", 3, 0.01, process="vp_cosine:s=0.008")
    _, short = fit(mixture(), "--steps", 3, "--t-start", 0.2, "-n", 50, "-q", "--compare", "none")
    short["meta"] |= {"model": "ab" * 32, "identity": "ab" * 32, "held_out_rms": "0.01", "solver": "fitted:short"}
    (tmp_path / "m" / "plans" / "short.json").write_text(json.dumps(short))
    assert chosen(run, 3)[0] == "fitted:whole"


@pytest.mark.parametrize("name", ["a", "z"])  # whichever comes first
def test_auto_tells_of_a_plan_that_may_look_better(run, folder, name):
    folder(f"{name},objective=features", 3, 0.3)
    folder("nearer", 3, 0.2)
    folder("m,objective=features", 4, 0.3)
    solver, said = chosen(run, 3)
    assert solver == "fitted:nearer"
    assert f"m/plans/{name},objective=features.json errs more and is refined by features: --plan takes it" in said
    assert chosen(run, 4)[0] == "fitted:m,objective=features" and "--plan takes" not in chosen(run, 4)[1]


def test_auto_without_plan_takes_what_was_tuned_else_the_usual(run, folder, tmp_path):
    folder("three", 3, 0.2)
    solver, said = chosen(run, 6)
    assert solver.startswith("scire:variant=v1,method=multistep") and "no plan fitted" in said
    assert "on nsr, the usual choice" in said
    assert chosen(run, 15)[0].startswith("unipc:order=3") and chosen(run, 14)[0].startswith("scire")
    solver, said = chosen(run, 1)  # SciRE's has at least two
    assert solver.startswith("deis:kind=tab,order=2") and "on uniform" in said and "spends 1 evaluation," in said
    entry = {"process": "vp_linear:beta_min=0.1,beta_max=20", "t_start": 1.0, "t_end": 0.001,
             "denoise": False, "measure": "median distance", "values": {}}
    entries = [entry | {"solver": "conjugate:type=2", "grid": "power:kappa=2", "nfe": 6,
                        "error": 0.2, "values": {"lambda": 0.25, "kappa": 2}},
               entry | {"solver": "ddim", "grid": "power:kappa=2", "nfe": 6, "error": 0.3},
               entry | {"solver": "heun", "grid": "power:kappa=2", "nfe": 60, "error": 0.01},
               entry | {"solver": "ddpm", "grid": "power:kappa=2", "nfe": 6, "error": 0.01,
                        "measure": "sliced Wasserstein distance"},
               entry | {"solver": "euler", "grid": "power:kappa=2", "nfe": 6, "error": 0.01,
                        "t_end": 0.5}]
    store = {"format": "driftless-tuned/1", "model": {"name": "m", "digest": "ab" * 32},
             "entries": entries}
    (tmp_path / "m" / "tuned.json").write_text(json.dumps(store))
    solver, said = chosen(run, 6)
    assert solver.startswith("conjugate:type=2") and "lambda=0.25" in solver
    assert "is the best in m/tuned.json, tuned for nfe 6" in said
    assert chosen(run, 3)[0] == "fitted:three"  # fitted plans come first


@pytest.mark.parametrize("option", [("--grid", "logsnr"), ("--t-end", "0.1"), ("--denoise",),
                                    ("--thresholding",), ("--process", "vp_cosine")])
def test_auto_settles_the_rest(run, folder, option):
    done = run("plan", "m", "--solver", "auto", *option, ok=False)
    assert done.returncode == 2 and "which settles it" in done.stderr


def test_auto_outside_a_folder(run, mixture, tmp_path):
    done = run("sample", mixture(), "--solver", "auto", "--nfe", 4, "-n", 3, "-o", "x.npy", "--json",
               "run.json")
    assert "driftless: auto: no plan fitted to this model spends 4 evaluations" in done.stderr
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["plan"]["nfe"] == 4 and "solver=scire:variant=v1" in record["plan"]["spec"]


# ---- the plans that are shipped -----------------------------------------------------------------


@pytest.mark.parametrize("nfe", [2, 3, 4, 5, 6, 8, 10])
def test_shipped_plan(root, nfe):
    """Each is for the shipped network, spends what its name says, tells where it comes from, and is
    in a table, where it is better than every classical solver of its budget."""
    model = root / "models/fashion-vp"
    plan = json.loads((model / "plans" / f"fitted-{nfe}.json").read_text())
    card = json.loads((model / "model.json").read_text())
    meta = plan["meta"]
    assert meta["model"] == meta["identity"] == card["network"]["sha256"]
    assert plan["counts"]["nfe"] == sum(r["op"] == "EVAL" for r in plan["rows"]) == nfe
    assert meta["command"].startswith(f"driftless fit models/fashion-vp --steps {nfe} ")
    with open(root / "docs/results/fitted-distance.csv", newline="") as file:
        table = {r["solver"]: r for r in csv.DictReader(file)
                 if r["network"] == meta["model"][:8] and r["case"] == "plain" and int(r["nfe"]) == nfe and r["rms"]}
    row = table.pop("fitted")
    table.pop("features", None)  # the plan refined by features, where there is one
    assert row["grid"] == meta["grid"]
    # One is to the converged solution, the other to a teacher.
    assert float(row["rms"]) == pytest.approx(float(meta["held_out_rms"]), rel=0.5, abs=0.02)
    assert len(table) > 30
    assert all(float(row["rms"]) < float(r["rms"]) for r in table.values())


@pytest.mark.parametrize("table, who", [("distance", "solver"), ("quality", "sampler")])
def test_no_row_is_of_a_plan_that_was_replaced(root, table, who):
    with open(root / f"docs/results/fitted-{table}.csv", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r[who] in ("fitted", "features")]
    assert rows
    for r in rows:
        folder = root / "models" / r["model"]
        plan = json.loads((folder / "plans" / f"{r[who]}-{r['nfe']}.json").read_text())
        assert r["grid"] == plan["meta"]["grid"] and plan["meta"]["model"].startswith(r["network"]), r


def test_shipped_plan_is_nearer_than_the_best_classical_solvers(model, sample):
    """Of docs/results/fitted-distance.csv at 5 evaluations, against 30, on starts of a seed of this test."""
    draw = ("-n", 8, "--seed", 99, "--t-end", "1e-3", "--microbatch", 8)
    truth = sample(model, *draw, "--solver", "deis:order=3", "--nfe", 30)
    plan = f"{model}/plans/fitted-5.json"
    fitted = sample(model, "-n", 8, "--seed", 99, "--microbatch", 8, "--plan", plan)
    error = np.sqrt(((fitted - truth) ** 2).mean())
    for solver in ("dpm:order=2,method=singlestep", "deis:kind=lograb,order=2"):
        classical = sample(model, *draw, "--solver", solver, "--grid", "logsnr", "--nfe", 5)
        assert error < 0.8 * np.sqrt(((classical - truth) ** 2).mean())


def test_auto_on_the_shipped_model(run, model, tmp_path):
    done = run("sample", model, "--solver", "auto", "--nfe", 3, "-n", 2, "-o", "x.npy", "--json",
               "run.json")
    assert "plans/fitted-3.json, fitted to this model" in done.stderr
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["plan"]["file"].endswith("plans/fitted-3.json") and record["plan"]["nfe"] == 3
    assert [i["role"] for i in record["inputs"]] == ["plan"]
