"""driftless doctor: every check with a broken model that triggers it, and healthy ones that do not."""

import json
from pathlib import Path

import numpy as np
import pytest

import foreign
import phase

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
EVERY = ["model", "card", "plan", "times", "steps", "start", "end", "output", "time", "batch", "classes", "prediction",
         "range"]
ERRORS, USAGE, MODEL = 1, 2, 3
N = 1000


def alphas():
    return np.cumprod(1 - np.linspace(1e-4, 0.02, N))


def times():
    return np.arange(1, N + 1) / N


def flow(std=0.5):
    """E[n - x_0 | x_t] = gain x_t of rectified flow, data N(0, std^2), at the times k/N, k = 0 .. N."""
    t = np.arange(N + 1) / N
    return (t - (1 - t) * std**2) / ((1 - t)**2 * std**2 + t**2)


@pytest.fixture
def report(run):
    """report(model, *options): the findings by check, after a look at form and exit status."""

    def call(model, *options):
        done = run("doctor", model, *options, "--json", ok=None)
        found = json.loads(done.stdout)
        assert found["format"] == "driftless-doctor/1"
        assert found["errors"] == sum(f["severity"] == "error" for f in found["findings"])
        assert done.returncode == (ERRORS if found["errors"] else 0)
        assert all(f["what"] and f["fix"] for f in found["findings"])
        assert {f["check"] for f in found["findings"]} <= set(found["ran"])
        call.whole = found
        return {f["check"]: f for f in reversed(found["findings"])}

    return call


@pytest.fixture
def epsilon(tmp_path):
    """epsilon(scheduler keys, ...): a folder whose network predicts the noise of N(0, 0.5^2)."""

    def call(keys=None, kind="epsilon", **net):
        count = len(list(tmp_path.iterdir()))
        scheduler = {"_class_name": "DDIMScheduler", **(keys or {})}
        table = net.pop("table", None)
        table = foreign.gaussian(alphas(), kind=kind) if table is None else table
        return foreign.folder(tmp_path / f"model{count}", scheduler, table, **net)

    return call


# ---- healthy models -----------------------------------------------------------------------------------


def test_shipped_model_is_clean(report, model):
    assert report(model) == {}
    assert report.whole["ran"] == EVERY
    assert report.whole["start_signal"] == pytest.approx(np.exp(-lam_of_linear()), rel=1e-6)


def lam_of_linear():
    """log(b/a) at t = 1 of the linear schedule with beta 0.1 to 20."""
    total = 0.1 + 19.9 / 2
    return 0.5 * np.log(np.expm1(total))


@pytest.mark.parametrize("process", ["vp_linear", "vp_cosine", "vp_discrete", "sub_vp", "flow"])
@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction", "score", "flow_prediction"])
def test_mixtures_are_clean(report, tmp_path, process, kind):
    mixture = json.loads((DATA / "mixture2d.json").read_text())
    mixture["card"] = {**mixture.get("card", {}), "process": process, "prediction_type": kind, "t_max": 0.99}
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps(mixture))
    assert {f["severity"] for f in report(f"mixture:{path}").values()} <= {"note", "warning"}
    assert set(report(f"mixture:{path}")) <= {"start"}


@pytest.mark.parametrize("process", ["ve", "edm"])
@pytest.mark.parametrize("precondition", ["none", {"type": "edm", "sigma_data": 0.5}])
def test_exploding_mixtures_are_clean(report, tmp_path, process, precondition):
    mixture = json.loads((DATA / "mixture2d.json").read_text())
    mixture["card"] = {"process": process, "preconditioning": precondition, "time_map": {"type": "log_sigma"},
                       "prediction_type": "sample" if precondition != "none" else "epsilon"}
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps(mixture))
    found = report(f"mixture:{path}", "--grid", "karras", "--t-end", "0.0001")
    assert set(found) <= {"start"} and all(f["severity"] != "error" for f in found.values())


CLD = {"Gamma": 0, "nu": 4}
HALF_X = {"type": "psld", "Gamma": 4, "nu": 0, "factor": "upper"}
DSM, UPPER, SCORE = {"score_matching": "dsm"}, {"process": "psld:factor=upper"}, {"prediction_type": "score"}


@pytest.mark.parametrize("card", [
    {}, DSM, SCORE, {**UPPER, **DSM}, {"process": "psld:Gamma=0.25,nu=4.25,beta_0=4,beta_1=12"},
    {"process": "psld:kappa=0"}, {"process": "cld"}, {"process": "cld", **DSM},
    {"process": "cld", "output_half": "m"}, {"process": "cld", "output_half": "m", **SCORE},
    {"process": HALF_X, "output_half": "x", **DSM}])
def test_phase_mixtures_are_clean(report, tmp_path, card):
    mixture = json.loads((DATA / "mixture2d.json").read_text())
    mixture["card"] = {"process": "psld", "prediction_type": "epsilon", "state_components": 2, "t_min": 1e-5, **card}
    (tmp_path / "mixture.json").write_text(json.dumps(mixture))
    assert report(f"mixture:{tmp_path / 'mixture.json'}", "--t-end", "1e-5") == {}
    assert set(EVERY) - set(report.whole["ran"]) == {"classes"}
    assert report.whole["clean_slope"] == pytest.approx(1, abs=0.12)
    assert report.whole["noise_slope"] == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("net, card", [
    ({}, {}), ({"matching": "dsm", "factor": "upper"}, {**UPPER, **DSM}), ({"kind": "score"}, SCORE),
    ({"half": "m", **CLD}, {"process": "cld", "output_half": "m"})])
def test_phase_networks_are_clean(report, tmp_path, net, card):
    assert report(phase.folder(tmp_path / "net", phase.gain(**net), card)) == {}
    assert set(EVERY) - set(report.whole["ran"]) == {"classes"}
    assert (report.whole["sample_min"], report.whole["sample_max"]) == pytest.approx((-1.16, 1.16), abs=0.1)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_diffusers_folder_is_clean(report, epsilon, kind):
    assert report(epsilon({"prediction_type": kind}, kind=kind)) == {}


def test_text(run, model):
    lines = run("doctor", model).stdout.splitlines()
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)
    assert lines[0] == f"model    {model}" and any(line.startswith("fine     model, card") for line in lines)
    broken = run("doctor", model, "--t-end", "0.05", "--t-start", "0.3", ok=False)
    assert broken.returncode == ERRORS
    assert all(len(line) <= 80 for line in broken.stdout.splitlines())
    assert "error    end: " in broken.stdout and "fix: end lower" in broken.stdout


def test_what_cannot_be_examined(run, model):
    assert run("doctor", "nowhere", ok=False).returncode == MODEL
    assert run("doctor", model, "--grid", "power:kapa=2", ok=False).returncode == USAGE
    assert run("doctor", ok=False).returncode == USAGE


def test_what_has_no_plan_is_no_finding(report, epsilon, tmp_path):
    """A table too short for the test run; a network that says nothing of the data at t = 1."""
    assert set(report(epsilon({"num_train_timesteps": 8}, table=np.full(8, 0.5)), "--steps", "4")) <= {"start", "time"}
    mixture = json.loads((DATA / "mixture2d.json").read_text())
    mixture["card"] = {"process": "flow", "prediction_type": "epsilon"}
    (tmp_path / "mixture.json").write_text(json.dumps(mixture))
    report(f"mixture:{tmp_path / 'mixture.json'}", "--t-start", "0.98")
    assert "output" in report.whole["ran"] and "output" not in {f["check"] for f in report.whole["findings"]}


# ---- the same from plan -------------------------------------------------------------------------------


@pytest.fixture
def plan(run):
    """plan(*arguments): lines on standard error, and that --quiet takes them away and nothing else."""

    def call(*arguments):
        said, quiet = run("plan", *arguments), run("plan", *arguments, "--quiet")
        assert quiet.stderr == "" and quiet.stdout == said.stdout
        return said.stderr.splitlines()

    return call


def lines_of(findings):
    kind = {"error": "warning", "warning": "warning", "note": "note"}
    return [f"driftless: {kind[f['severity']]}: {check}: {f['what']}; {f['fix']}" for check, f in findings.items()
            if check in ("times", "steps", "start", "end")]


WASTED = ["--grid", "list:times=[1,0.6,0.5999,0.2,0.01]", "--solver", "ddim"]


@pytest.mark.parametrize("options, checks", [
    ([], set()), (WASTED, {"steps", "end"}), (["--solver", "heun", "--nfe", "11"], {"steps"}),
    (["--t-start", "0.4"], {"start"}), (["--t-end", "0.05"], {"end"}), (["--t-end", "0.05", "--denoise"], set())])
@pytest.mark.parametrize("output", [[], ["--json", "-"]])
def test_plan_tells_what_the_doctor_finds(report, plan, options, checks, output):
    found = report(FLAT, *options)
    assert set(found) == checks
    assert sorted(plan(FLAT, *options, *output)) == sorted(lines_of(found))


def test_plan_knows_the_time_type_from_the_card(report, plan, tmp_path):
    """Times that float16 cannot tell apart."""
    table = foreign.gaussian(alphas())
    folder = foreign.folder(tmp_path / "half", {"_class_name": "DDIMScheduler"}, table, dtype="float16", rank=1)
    near = ["--grid", "list:times=[1,0.9991,0.9990,0.5,0.001]", "--solver", "ddim"]
    expected = lines_of(report(folder, *near))
    assert any("same time" in line for line in expected) and sorted(plan(folder, *near)) == sorted(expected)


def test_plan_without_a_model_is_examined_alone(run, plan):
    """Range, moments and time type are the model's: a process and a plan from a file have steps."""
    assert plan("--process", "vp_linear", "--t-start", "0.4", "--t-end", "0.05") == []
    alone = plan("--process", "vp_linear", *WASTED)
    assert len(alone) == 1 and "steps: step 2 of 4" in alone[0]
    run("plan", FLAT, *WASTED, "--json", "p.json")
    assert plan("--plan", "p.json") == alone


def test_plan_tells_its_own_warnings_beside_json(run, plan, tmp_path):
    """In the table they stand anyway."""
    text = json.loads(run("plan", FLAT, "--json", "-").stdout)
    (tmp_path / "p.json").write_text(json.dumps({**text, "novel": 1}))
    assert "novel" in run("plan", "--plan", "p.json").stdout and plan("--plan", "p.json") == []
    told = plan("--plan", "p.json", "--json", "-")
    assert len(told) == 1 and told[0].startswith("driftless: warning: ") and "novel" in told[0]


def test_plan_is_quiet_about_the_card_too(plan, epsilon):
    folder = epsilon({"beta_shcedule": "linear"})
    assert any("beta_shcedule" in line for line in plan(folder))


# ---- each check on something broken -------------------------------------------------------------------


def test_model(report, epsilon):
    folder = epsilon()
    (Path(folder) / "unet/model.onnx").write_bytes(b"no network")
    found = report(folder)
    assert list(found) == ["model"] and "no ONNX network" in found["model"]["what"]


def test_time_type_against_the_card(report, run, epsilon):
    """A kept card that says float32 beside a network that takes integers."""
    folder = epsilon()
    kept = json.loads(run("info", folder, "--card").stdout)
    kept["time_map"]["dtype"] = "float32"
    (Path(folder) / "model.json").write_text(json.dumps(kept))
    assert "int64" in report(folder)["model"]["what"]
    kept["time_map"].update(dtype="int64", rank=1)
    (Path(folder) / "model.json").write_text(json.dumps(kept))
    assert "rank 0" in report(folder)["model"]["what"]


def test_card(report, epsilon):
    assert report(epsilon({"beta_shcedule": "linear"}))["card"]["severity"] == "warning"


def test_plan_of_too_many_steps(report, epsilon):
    """Zero-length steps: the sentence names the largest number."""
    found = report(epsilon(), "--grid", "linspace", "--steps", "1500")["plan"]
    assert "largest usable number of steps is 1000" in found["what"]


def test_duplicate_times(report, tmp_path):
    """Times that differ, but not in float16, which has steps of 0.5 near 1000."""
    table = foreign.gaussian(alphas())
    folder = foreign.folder(tmp_path / "half", {"_class_name": "DDIMScheduler"}, table, dtype="float16", rank=1)
    near = "list:times=[1,0.9991,0.9990,0.5,0.001]"
    assert "same time" in report(folder, "--grid", near, "--solver", "ddim")["times"]["what"]
    far = "list:times=[1,0.99,0.98,0.5,0.001]"
    assert "times" not in report(folder, "--grid", far, "--solver", "ddim")


def test_wasted_step(report):
    found = report(FLAT, "--grid", "list:times=[1,0.6,0.5999,0.2,0.01]", "--solver", "ddim")
    assert "step 2 of 4" in found["steps"]["what"] and found["steps"]["severity"] == "warning"
    assert "steps" not in report(FLAT, "--grid", "list:times=[1,0.6,0.4,0.2,0.01]", "--solver", "ddim")


def test_unspent_budget(report):
    assert "1 are not spent" in report(FLAT, "--solver", "heun", "--nfe", "11")["steps"]["what"]
    assert "steps" not in report(FLAT, "--solver", "heun", "--nfe", "10")


def test_start(report, epsilon):
    assert "start" not in report(epsilon())
    assert report(FLAT, "--t-start", "0.4")["start"]["severity"] == "error"
    beta = np.linspace(0.00085**0.5, 0.012**0.5, N)**2
    abar = np.cumprod(1 - beta)
    folder = epsilon({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
                     table=foreign.gaussian(abar))
    found = report(folder)["start"]
    assert found["severity"] == "warning" and "rescale_betas_zero_snr" in found["fix"]
    assert report.whole["start_signal"] == pytest.approx(np.sqrt(abar[-1] / (1 - abar[-1])), rel=1e-9)


def test_end(report):
    found = report(FLAT, "--t-end", "0.05")["end"]
    assert "denoise" in found["fix"]
    assert "end" not in report(FLAT, "--t-end", "0.05", "--denoise")
    assert report.whole["end_noise"] == 0


def test_output_that_is_not_finite(report, epsilon):
    table = foreign.gaussian(alphas())
    table[600:] = np.nan
    assert "not finite" in report(epsilon(table=table))["output"]["what"]


def test_time_that_the_network_does_not_see(report, epsilon):
    assert "does not see" in report(epsilon(table=np.full(N, 1.0)))["time"]["what"]


@pytest.mark.parametrize("net, claim", [(net, claim) for net in ("epsilon", "sample", "v_prediction")
                                        for claim in ("epsilon", "sample", "v_prediction") if net != claim])
def test_wrong_prediction_type(report, epsilon, net, claim):
    found = report(epsilon({"prediction_type": claim}, kind=net))
    assert found["prediction"]["severity"] == "error"
    if net == "epsilon":
        assert "looks like epsilon" in found["prediction"]["fix"]


def test_wrong_process(report, epsilon):
    """A network of another schedule answers pure noise as it should, but not the levels between."""
    for last in (0.08, 0.005):
        other = np.cumprod(1 - np.linspace(1e-4, last, N))
        assert "slope" in report(epsilon(table=foreign.gaussian(other)))["prediction"]["what"]


def test_wrong_time_map(report, epsilon, run):
    """Fed times counted from the noise."""
    assert "prediction" in report(epsilon(table=foreign.gaussian(alphas())[::-1].copy()))


def test_flow(report, tmp_path):
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    good = foreign.folder(tmp_path / "good", scheduler, flow(), dtype="float32")
    assert report(good) == {}
    assert report.whole["clean_slope"] == pytest.approx(1, abs=0.05)
    assert report.whole["noise_slope"] == pytest.approx(1, abs=0.05)
    t = np.arange(N + 1) / N
    noise = foreign.folder(tmp_path / "noise", scheduler, t / ((1 - t)**2 + t**2), dtype="float32")
    assert "prediction" in report(noise)


def test_batch(report, tmp_path):
    folder = foreign.folder(tmp_path / "batch", {"_class_name": "DDIMScheduler"}, foreign.gaussian(alphas()),
                            centred=True)
    assert "depends on the others" in report(folder)["batch"]["what"]


def test_classes(report, epsilon, run):
    plain = report(epsilon(classes=10, table=foreign.gaussian(alphas())))
    assert plain["classes"]["severity"] == "note" and "null" in plain["classes"]["fix"]
    deaf = epsilon(classes=10, deaf=True)
    assert "same for the first and the last class" in report(deaf)["classes"]["what"]
    kept = json.loads(run("info", deaf, "--card").stdout)
    kept["classes"]["null"] = 10
    (Path(deaf) / "model.json").write_text(json.dumps(kept))
    found = [f["what"] for f in (report(deaf), report.whole)[1]["findings"]]
    assert any("null class answers like class 0" in what for what in found)


def test_range(report, epsilon, run):
    folder = epsilon()
    kept = json.loads(run("info", folder, "--card").stdout)
    for span, word in (([-0.3, 0.3], "far beyond"), ([0, 5], "a part of")):
        kept["sample"]["range"] = span
        (Path(folder) / "model.json").write_text(json.dumps(kept))
        assert word in report(folder)["range"]["what"]


# ---- the same in phase space --------------------------------------------------------------------------


def test_phase_output_that_is_not_finite(report, tmp_path):
    table = phase.gain()
    table[-50:] = np.nan
    assert "not finite" in report(phase.folder(tmp_path / "net", table))["output"]["what"]


def test_phase_time_that_the_network_does_not_see(report, tmp_path):
    table = np.broadcast_to(phase.gain()[-300], (phase.N + 1, 2, 2))
    assert "does not see" in report(phase.folder(tmp_path / "net", table))["time"]["what"]


M_FIRST = slice(None, None, -1)


@pytest.mark.parametrize("table, card, what, fix", [
    (phase.gain(), SCORE, "[1 0; 0 1]", "looks like epsilon;"),
    (phase.gain(kind="score"), {}, "[-1 0; 0 -2]", "looks like score;"),
    (phase.gain()[:, M_FIRST, M_FIRST], {}, "pure noise", "looks like epsilon of a state with m first, answered with"),
    (phase.gain()[:, :, M_FIRST], {}, "pure noise", "looks like epsilon of a state with m first;"),
    (phase.gain()[:, M_FIRST], {}, "pure noise", "looks like epsilon, answered with m's half first;"),
    (2.5 * phase.gain(), {}, "[2.5 0; 0 2.5]", "neither epsilon nor score"),
    (phase.gain(half="x", **CLD), {"process": "cld", "output_half": "m"}, "be [0 1]", "epsilon, of the other half"),
    (phase.gain(matching="dsm"), {}, "from the state", '"dsm" with factor "lower"'),
    (phase.gain(), DSM, "from the state", '"hsm" with factor "lower"'),
    (phase.gain(), UPPER, "from the state", '"hsm" with factor "lower"'),
    (phase.gain(factor="upper"), {}, "from the state", '"hsm" with factor "upper"'),
    (phase.gain(factor="upper", **CLD), {"process": "cld", **DSM}, "from the state", 'with factor "upper"'),
    (phase.gain(half="x", factor="upper", Gamma=4, nu=0), {"process": HALF_X, "output_half": "x", **DSM},
     "from the state", '"hsm" with factor "upper"'),
    (phase.gain(Gamma=1, nu=3)[:, M_FIRST, M_FIRST], {"process": "psld:Gamma=1,nu=3"}, "from the state", "compare"),
    (phase.gain(Gamma=0.25, nu=4.25), {}, "from the state", "compare"),
    (np.concatenate([phase.gain(std=0.1)[:-200], phase.gain(std=2)[-200:]]), {}, "do not fit", "compare"),
])
def test_wrong_phase_prediction(report, tmp_path, table, card, what, fix):
    """One statement of the card that the network does not keep; M = 1 hides exchanged halves from pure noise."""
    found = report(phase.folder(tmp_path / "net", table, card))["prediction"]
    assert found["severity"] == "error"
    assert what in found["what"] and fix in found["fix"]
    assert {f["check"] for f in report.whole["findings"]} <= {"end", "prediction", "range"}


def test_two_ways_of_training_that_are_nearly_one(report, tmp_path):
    """The momentum half of CLD: not told apart, and no harm done."""
    hybrid, denoising = (phase.gain(half="m", matching=matching, **CLD) for matching in ("hsm", "dsm"))
    later = slice(int(phase.N * (1 + np.log(1e-4) / phase.SPAN)), None)
    assert 0.1 < np.max(np.abs(denoising / hybrid - 1)[later]) < 0.115
    assert report(phase.folder(tmp_path / "net", denoising, {"process": "cld", "output_half": "m"})) == {}


def test_phase_batch(report, tmp_path):
    folder = phase.folder(tmp_path / "net", phase.gain(), centred=True)
    assert "depends on the others" in report(folder)["batch"]["what"]


@pytest.mark.parametrize("classes, deaf, severity, what", [
    ({"count": 10, "null": 10}, False, None, ""),
    ({"count": 10}, False, "note", "no null class"),
    ({"count": 10}, True, "warning", "same for the first and the last class"),
    ({"count": 1, "null": 0}, False, "warning", "null class answers like class 0")])
def test_phase_classes(report, tmp_path, classes, deaf, severity, what):
    found = report(phase.folder(tmp_path / "net", phase.gain(), classes=classes, deaf=deaf))
    assert set(found) == ({"classes"} if severity else set()) and "classes" in report.whole["ran"]
    if severity:
        assert found["classes"]["severity"] == severity and what in found["classes"]["what"]


@pytest.mark.parametrize("span, word", [([-0.3, 0.3], "far beyond"), ([0, 5], "a part of")])
def test_phase_range(report, tmp_path, span, word):
    card = {"sample": {"shape": [1, 4, 4], "range": span}}
    found = report(phase.folder(tmp_path / "net", phase.gain(), card))
    assert "prediction" not in found and word in found["range"]["what"]
