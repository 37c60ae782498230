"""Folders of diffusers: per-class defaults, schedules, grids and samples against numbers computed here
from the definitions, and what is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import foreign

USAGE, MODEL = 2, 3
N = 1000
EMPTY = np.zeros(N)


def betas(schedule="linear", first=1e-4, last=0.02, n=N):
    i = np.arange(n)
    if schedule == "linear":
        return np.linspace(first, last, n)
    if schedule == "scaled_linear":
        return np.linspace(first**0.5, last**0.5, n)**2
    if schedule == "sigmoid":
        return first + (last - first) / (1 + np.exp(-np.linspace(-6, 6, n)))
    bar = [np.cos((t + 0.008) / 1.008 * np.pi / 2)**2 for t in (i / n, (i + 1) / n)]
    return np.minimum(1 - bar[1] / bar[0], 0.999)


def zero_snr(beta):
    """Lin et al., algorithm 1, with 2^-24 for the last 0, or less where the table is below that already."""
    s = np.sqrt(np.cumprod(1 - beta))
    bar = ((s - s[-1]) * s[0] / (s[0] - s[-1]))**2
    bar[-1] = min(2.0**-24, bar[-2]**2 / bar[-3])
    return bar


@pytest.fixture
def make(tmp_path):
    """make(class, keys, ...): a folder of that scheduler class."""

    def call(name, keys=None, table=EMPTY, **net):
        count = len(list(tmp_path.iterdir()))
        return foreign.folder(tmp_path / f"model{count}", {"_class_name": name, **(keys or {})}, table, **net)

    return call


@pytest.fixture
def card(run):
    return lambda folder: json.loads(run("info", folder, "--card").stdout)


@pytest.fixture
def plan(run):
    """plan(model, *options): a plan as JSON."""
    return lambda model, *options: json.loads(run("plan", model, *options, "--json", "-").stdout)


def evaluations(plan):
    return [row for row in plan["rows"] if row["op"] == "EVAL"]


def network_times(plan):
    return np.array([row["tau"] for row in evaluations(plan)])


def end_of(plan):
    return [row["t"] for row in plan["rows"] if row["op"] == "STEP"][-1]


# ---- defaults of each class ---------------------------------------------------------------------------

LINEAR = "vp_discrete:num_train_timesteps=1000,beta_schedule=linear,beta_start=0.0001,beta_end=0.02"
STABLE = "vp_discrete:num_train_timesteps=1000,beta_schedule=linear,beta_start=0.00085,beta_end=0.012"
TABLE = "num_train_timesteps=1000"
CLASSES = {
    "DDIMScheduler": (LINEAR, f"solver=ddim grid=leading:{TABLE},steps_offset=0 t_end=0"),
    "DDIMParallelScheduler": (LINEAR, f"solver=ddim grid=leading:{TABLE},steps_offset=0 t_end=0"),
    "DDPMScheduler": (LINEAR, f"solver=ddpm:variance_type=fixed_small grid=leading:{TABLE},steps_offset=0 t_end=0"),
    "DDPMParallelScheduler": (LINEAR,
                              f"solver=ddpm:variance_type=fixed_small grid=leading:{TABLE},steps_offset=0 t_end=0"),
    "PNDMScheduler": (LINEAR, f"solver=deis:kind=ipndm grid=leading:{TABLE},steps_offset=0 t_end=0"),
    "DEISMultistepScheduler": (LINEAR, f"solver=deis:kind=lograb,order=1 grid=linspace:{TABLE},endpoint=0 t_end=0.001"),
    "DPMSolverMultistepScheduler": (LINEAR, "solver=dpm:algorithm_type=dpmsolver++,method=multistep,order=2,"
                                    f"solver_type=midpoint grid=linspace:{TABLE},endpoint=0 t_end=0"),
    "DPMSolverSinglestepScheduler": (LINEAR, "solver=dpm:algorithm_type=dpmsolver++,method=singlestep,order=2,"
                                     f"solver_type=midpoint grid=linspace:{TABLE},endpoint=0 t_end=0.001"),
    "UniPCMultistepScheduler": (LINEAR, "solver=unipc:order=2,solver_type=bh2,predict_x0=1 "
                                f"grid=linspace:{TABLE},endpoint=0 t_end=0"),
    "EulerDiscreteScheduler": (LINEAR, f"solver=euler grid=linspace:{TABLE},rounded=0 t_end=0"),
    "EulerAncestralDiscreteScheduler": (LINEAR, f"solver=ddim:eta=1 grid=linspace:{TABLE},rounded=0 t_end=0"),
    "HeunDiscreteScheduler": (STABLE, f"solver=heun grid=linspace:{TABLE},rounded=0 t_end=0"),
    "LMSDiscreteScheduler": (LINEAR, f"solver=deis:kind=rhoab,order=3 grid=linspace:{TABLE},rounded=0 t_end=0"),
    "KDPM2DiscreteScheduler": (STABLE, None),
    "KDPM2AncestralDiscreteScheduler": (STABLE, None),
    "DPMSolverSDEScheduler": (STABLE, None),
    "SASolverScheduler": (LINEAR, None),
    "EDMEulerScheduler": ("edm:sigma_max=80", "solver=euler grid=karras:rho=7 t_end=0"),
    "EDMDPMSolverMultistepScheduler": ("edm:sigma_max=80", "solver=dpm:algorithm_type=dpmsolver++,method=multistep,"
                                       "order=2,solver_type=midpoint grid=karras:rho=7 t_end=0"),
    "FlowMatchEulerDiscreteScheduler": ("flow", f"solver=euler grid=flow_match:{TABLE},shift=1 t_end=0"),
    "FlowMatchHeunDiscreteScheduler": ("flow", None),
    "ScoreSdeVeScheduler": ("ve:sigma_min=0.01,sigma_max=1348", None),
}


@pytest.mark.parametrize("name", CLASSES)
def test_defaults(run, make, card, name):
    process, sampler = CLASSES[name]
    folder = make(name, dtype="float32")
    found = card(folder)
    assert found["process"] == process and found.get("sampler") == sampler
    kind = {"e": ("sample", "log_sigma"), "f": ("flow_prediction", "linear"), "ve": ("score", "sigma"),
            "vp": ("epsilon", "linear")}[process[:2] if process[0] == "v" else process[0]]
    assert (found["prediction_type"], found["time_map"]["type"]) == kind
    if kind[1] == "linear":
        assert (found["time_map"]["scale"], found["time_map"]["offset"]) == (N, 0 if process == "flow" else -1)
    assert found["sample"] == {"shape": [1, 4, 4], "range": [-1, 1]}
    assert ("clip_sample" in found.get("sampler_differs", "")) == name.startswith(("DDIM", "DDPM"))
    run("sample", folder, "-n", 2, "--steps", 7, "-o", "x.npy", "--quiet")
    if sampler:
        run("sample", folder, "-n", 2, "--steps", 7, "-o", "x.npy", "--quiet", "--published")
    else:
        refused = run("sample", folder, "-n", 2, "-o", "x.npy", "--published", ok=False)
        assert refused.returncode == USAGE and "names no sampler" in refused.stderr


OPTIONS = [
    ("DDIMScheduler", {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False},
     f"solver=ddim grid=leading:{TABLE},steps_offset=1 t_end=0.001"),
    ("DDPMScheduler", {"variance_type": "fixed_large"},
     f"solver=ddpm:variance_type=fixed_large grid=leading:{TABLE},steps_offset=0 t_end=0"),
    ("PNDMScheduler", {"steps_offset": 1},
     f"solver=deis:kind=ipndm grid=leading:{TABLE},steps_offset=1 t_end=0.001"),
    ("DEISMultistepScheduler", {"solver_order": 3, "timestep_spacing": "trailing"},
     f"solver=deis:kind=lograb,order=2 grid=trailing:{TABLE} t_end=0.001"),
    ("DPMSolverMultistepScheduler",
     {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
     "solver=sde_dpm:order=2 grid=karras:rho=7 t_end=0.001"),
    ("DPMSolverMultistepScheduler", {"solver_type": "heun", "solver_order": 3, "use_lu_lambdas": True},
     "solver=dpm:algorithm_type=dpmsolver++,method=multistep,order=3,solver_type=heun grid=exponential t_end=0"),
    ("HeunDiscreteScheduler", {"use_beta_sigmas": True}, "solver=heun grid=beta t_end=0"),
    ("UniPCMultistepScheduler", {"solver_type": "bh1", "predict_x0": False, "timestep_spacing": "leading"},
     f"solver=unipc:order=2,solver_type=bh1,predict_x0=0 grid=leading:{TABLE},endpoint=0,steps_offset=0 t_end=0"),
    ("EDMEulerScheduler", {"sigma_schedule": "exponential", "final_sigmas_type": "sigma_min", "sigma_max": 20},
     "solver=euler grid=exponential t_end=0.0001"),
    ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
     f"solver=unipc:order=2,solver_type=bh2,predict_x0=1 grid=linspace:{TABLE},endpoint=0,rounded=0 t_end=0"),
]


@pytest.mark.parametrize("name, keys, sampler", OPTIONS)
def test_keys(make, card, name, keys, sampler):
    found = card(make(name, keys, dtype="float32"))
    assert found["sampler"] == sampler


# ---- schedules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys, bar", [
    ({}, np.cumprod(1 - betas())),
    ({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
     np.cumprod(1 - betas("scaled_linear", 0.00085, 0.012))),
    ({"beta_schedule": "squaredcos_cap_v2"}, np.cumprod(1 - betas("squaredcos_cap_v2"))),
    ({"beta_schedule": "sigmoid"}, np.cumprod(1 - betas("sigmoid"))),
    ({"trained_betas": [0.01, 0.02, 0.05, 0.1] * 25, "num_train_timesteps": 100},
     np.cumprod(1 - np.array([0.01, 0.02, 0.05, 0.1] * 25))),
    ({"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, zero_snr(betas())),
    ({"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "beta_schedule": "scaled_linear"},
     zero_snr(betas("scaled_linear"))),
    ({"num_train_timesteps": 4000}, np.cumprod(1 - betas(n=4000))),
])
def test_alphas_cumprod(make, plan, keys, bar):
    """At every index of the table, from the labels of a plan that goes through all of them."""
    n = len(bar)
    folder = make("DDIMScheduler", keys, np.zeros(n))
    found = plan(folder, "--published", "--steps", n)
    index = network_times(found).astype(int)
    label = np.array([row["at"] for row in evaluations(found)])
    assert list(index) == list(range(n - 1, -1, -1))
    assert label[:, 0] == pytest.approx(np.sqrt(bar[index]), rel=1e-10)
    assert label[:, 1] == pytest.approx(np.sqrt(1 - bar[index]), rel=1e-9)
    assert end_of(found) == 0


# ---- grids --------------------------------------------------------------------------------------------


def spaced(spacing, n, offset=0, multistep=False):
    """The indices that diffusers documents for each spacing (arXiv 2305.08891, table 2)."""
    more = 1 if multistep else 0
    if spacing == "trailing":
        return np.round(np.arange(N, 0, -N / n)) - 1
    if spacing == "leading":
        grid = np.arange(n + more) * (N // (n + more)) + offset
    else:
        grid = np.linspace(0, N - 1, n + more).round()
    return grid[::-1][:n]


@pytest.mark.parametrize("steps", [2, 4, 10, 30])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
def test_timesteps(make, plan, name, spacing, steps):
    offset = 1 if spacing == "leading" else 0
    folder = make(name, {"timestep_spacing": spacing, "steps_offset": offset})
    found = network_times(plan(folder, "--published", "--steps", steps))
    expected = spaced(spacing, steps, offset, name.startswith("DPM"))
    assert list(found) == list(expected)


def test_real_timesteps(make, plan):
    """Euler's linspace is not rounded, unless the network takes integers."""
    real = np.linspace(0, N - 1, 6)[::-1]
    for dtype, expected in (("float32", real), ("int64", real.round())):
        found = network_times(plan(make("EulerDiscreteScheduler", dtype=dtype), "--published", "--steps", 6))
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shift", [1, 3])
def test_flow_match(make, plan, shift):
    def shifted(t):
        return shift * t / (1 + (shift - 1) * t)

    folder = make("FlowMatchEulerDiscreteScheduler", {"shift": shift}, np.zeros(N + 1), dtype="float32")
    found = plan(folder, "--published", "--steps", 9)
    expected = shifted(np.linspace(1, shifted(1 / N), 9))
    assert network_times(found) == pytest.approx(N * expected, rel=1e-12) and end_of(found) == 0


def test_edm_sigmas(make, plan):
    found = plan(make("EDMEulerScheduler", dtype="float32"), "--published", "--steps", 12)
    w = np.linspace(0, 1, 12)
    sigma = (80**(1 / 7) + w * (0.002**(1 / 7) - 80**(1 / 7)))**7
    assert network_times(found) == pytest.approx(np.log(sigma) / 4, rel=1e-9, abs=1e-9)
    assert end_of(found) == 0


# ---- samples ------------------------------------------------------------------------------------------

COUNT = 6


def start(noise_file):
    return np.load(noise_file)["start"].reshape(COUNT, -1)


@pytest.fixture
def drawn(run, tmp_path):
    """drawn(folder, *options): samples and the standard normals they began with."""

    def call(folder, *options):
        run("sample", folder, "-n", COUNT, "-o", "out.npy", "--save-noise", "noise.npz", "--dtype", "float64",
            "--quiet", *options)
        return np.load(tmp_path / "out.npy").reshape(COUNT, -1), start(tmp_path / "noise.npz")

    return call


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("steps, offset, one", [(10, 1, True), (10, 1, False), (7, 0, True)])
def test_ddim(make, drawn, kind, steps, offset, one):
    """diffusers' DDIM step, written out: x_0 and noise from the output, then the previous index."""
    bar = np.cumprod(1 - betas())
    gain = foreign.gaussian(bar, kind=kind).astype(np.float32)
    folder = make("DDIMScheduler", {"prediction_type": kind, "steps_offset": offset, "set_alpha_to_one": one}, gain)
    found, x = drawn(folder, "--published", "--steps", steps)
    for t in spaced("leading", steps, offset).astype(int):
        a, b = np.sqrt(bar[t]), np.sqrt(1 - bar[t])
        y = gain[t] * x
        x0 = {"epsilon": (x - b * y) / a, "sample": y, "v_prediction": a * x - b * y}[kind]
        noise = {"epsilon": y, "sample": (x - a * y) / b, "v_prediction": a * y + b * x}[kind]
        before = t - N // steps
        to = bar[before] if before >= 0 else 1 if one else bar[0]
        x = np.sqrt(to) * x0 + np.sqrt(1 - to) * noise
    assert found == pytest.approx(x, rel=2e-4, abs=2e-5)


def test_euler(make, drawn):
    """Euler in sigma = b/a on x/a, with four steps, whose times are whole: 999, 666, 333, 0."""
    bar = np.cumprod(1 - betas())
    gain = foreign.gaussian(bar).astype(np.float32)
    found, n = drawn(make("EulerDiscreteScheduler", table=gain, dtype="float32"), "--published", "--steps", 4)
    index = [999, 666, 333, 0]
    sigma = np.append(np.sqrt((1 - bar[index]) / bar[index]), 0)
    x = n * np.sqrt(1 + sigma[0]**2)
    for i, t in enumerate(index):
        x = x + (sigma[i + 1] - sigma[i]) * gain[t] * x / np.sqrt(1 + sigma[i]**2)
    assert found == pytest.approx(x, rel=2e-4, abs=2e-5)


def test_dpm_solver(make, drawn):
    """DPM-Solver++(2M) with midpoint, first and last step of order 1, on the multistep linspace."""
    bar = np.cumprod(1 - betas())
    gain = foreign.gaussian(bar).astype(np.float32)
    steps = 8
    found, x = drawn(make("DPMSolverMultistepScheduler", table=gain), "--published", "--steps", steps)
    index = spaced("linspace", steps, multistep=True).astype(int)
    a, b = np.append(np.sqrt(bar[index]), 1), np.append(np.sqrt(1 - bar[index]), 0)
    with np.errstate(divide="ignore"):
        lam = np.log(a / b)
    last = None
    for i, t in enumerate(index):
        data = (x - b[i] * gain[t] * x) / a[i]
        h = lam[i + 1] - lam[i]
        slope = data if last is None or i == steps - 1 else data + (data - last) * h / (lam[i] - lam[i - 1]) / 2
        x = b[i + 1] / b[i] * x - a[i + 1] * np.expm1(-h) * slope
        last = data
    assert found == pytest.approx(x, rel=2e-4, abs=2e-5)


def test_flow_match_euler(make, drawn):
    t = np.arange(N + 1) / N
    gain = ((t - (1 - t) * 0.25) / ((1 - t)**2 * 0.25 + t**2)).astype(np.float32)
    folder = make("FlowMatchEulerDiscreteScheduler", table=gain, dtype="float32")
    found, x = drawn(folder, "--published", "--steps", 4)
    sigma = np.append(np.linspace(1, 1 / N, 4), 0)
    for i in range(4):
        x = x + (sigma[i + 1] - sigma[i]) * gain[int(sigma[i] * N + 1e-6)] * x
    assert found == pytest.approx(x, rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_edm(make, drawn, sigma_data):
    """Preconditioning and log-sigma time on an analytic network, data N(0, 0.3^2): Euler in sigma written
    out, and the exact flow, which scales x/a by sqrt(std^2 + sigma^2)."""
    std = 0.3
    folder = make("EDMEulerScheduler", {"sigma_data": sigma_data}, dtype="float32")
    foreign.edm_network(Path(folder) / "unet/model.onnx", std, sigma_data)
    found, n = drawn(folder, "--published", "--steps", 18)
    sigma = np.append((80**(1 / 7) + np.linspace(0, 1, 18) * (0.002**(1 / 7) - 80**(1 / 7)))**7, 0)
    x = n * sigma[0]
    for i in range(18):
        data = std**2 / (std**2 + sigma[i]**2) * x
        x = x + (sigma[i + 1] - sigma[i]) * (x - data) / sigma[i]
    assert found == pytest.approx(x, rel=2e-3, abs=1e-4)
    found, n = drawn(folder, "--solver", "deis:kind=rhoab,order=3", "--grid", "logsnr", "--steps", "400")
    exact = 80 * n * np.sqrt((std**2 + 0.002**2) / (std**2 + 80**2))
    assert found == pytest.approx(exact, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("options", [("--published", ), (), ("--solver", "dpm:order=3", "--grid", "trailing")])
def test_same_as_written_by_hand(run, make, tmp_path, options):
    """The same bits as from a card that a person wrote, in a folder of its own."""
    gain = foreign.gaussian(np.cumprod(1 - betas()))
    folder = Path(make("DDIMScheduler", {"steps_offset": 1}, gain, classes=3))
    hand = tmp_path / "hand"
    hand.mkdir()
    (hand / "net.onnx").write_bytes((folder / "unet/model.onnx").read_bytes())
    (hand / "model.json").write_text(json.dumps({
        "format": "driftless-model/1", "network": {"file": "net.onnx"}, "prediction_type": "epsilon",
        "process": {"type": "vp_discrete", "beta_start": 0.0001, "beta_end": 0.02}, "t_min": 0.001, "t_max": 1,
        "time_map": {"type": "linear", "scale": 1000, "offset": -1, "dtype": "int64", "rank": 0},
        "sample": {"shape": [1, 4, 4]}, "classes": {"count": 3},
        "sampler": "solver=ddim grid=leading:steps_offset=1 t_end=0"}))
    for model, name in ((folder, "a.npy"), (hand, "b.npy")):
        run("sample", model, "-n", 5, "--seed", 3, "-o", name, "--quiet", *options)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_kept_card(run, make, tmp_path):
    """A card printed once and kept beside the network draws the same samples."""
    folder = Path(make("DEISMultistepScheduler", table=foreign.gaussian(np.cumprod(1 - betas()))))
    run("sample", folder, "-n", 3, "--published", "-o", "a.npy", "--quiet")
    (folder / "model.json").write_text(run("info", folder, "--card").stdout)
    (folder / "scheduler/scheduler_config.json").unlink()
    run("sample", folder, "-n", 3, "--published", "-o", "b.npy", "--quiet")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_record_and_other_commands(run, make, tmp_path):
    """The record tells what the card was made of; statistics and tuning take the folder, too."""
    folder = make("DDIMScheduler", table=foreign.gaussian(np.cumprod(1 - betas())), dtype="float32")
    record = json.loads(run("sample", folder, "-n", 2, "--published", "--steps", 5, "-o", "x.npy", "--json", "-").stdout)
    assert len(record["model"]["scheduler_sha256"]) == len(record["model"]["network_sha256"]) == 64
    assert "card_sha256" not in record["model"] and "published=1" in record["plan"]["spec"]
    assert record["run"]["options"]["published"] is True
    run("stats", folder, "-n", 2, "--nfe", 10, "-o", "stats.json")
    run("tune", folder, "--solver", "deis", "--nfe", 5, "--samples", 8)
    refused = run("sample", folder, "-n", 1, "--solver", "ode45", "--published", "-o", "x.npy", ok=False)
    assert refused.returncode == USAGE and "--published cannot stand beside" in refused.stderr


# ---- networks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "float16"])
@pytest.mark.parametrize("rank", [0, 1])
def test_time_input(run, make, card, tmp_path, dtype, rank):
    """Its type and rank are the network's; the samples are the same."""
    gain = foreign.gaussian(np.cumprod(1 - betas()))
    folder = make("DDIMScheduler", table=gain, dtype=dtype, rank=rank)
    assert card(folder)["time_map"]["dtype"] == dtype and card(folder)["time_map"]["rank"] == rank
    run("sample", folder, "-n", 3, "--published", "--steps", 5, "-o", "a.npy", "--quiet")
    run("sample", make("DDIMScheduler", table=gain), "-n", 3, "--published", "--steps", 5, "-o", "b.npy", "--quiet")
    assert np.load(tmp_path / "a.npy") == pytest.approx(np.load(tmp_path / "b.npy"), rel=1e-6)


def test_external_data(run, make, tmp_path):
    gain = foreign.gaussian(np.cumprod(1 - betas()))
    apart, inside = make("DDIMScheduler", table=gain, external=True), make("DDIMScheduler", table=gain)
    assert (Path(apart) / "unet/model.onnx_data").stat().st_size >= 4 * N
    for folder, name in ((apart, "a.npy"), (inside, "b.npy")):
        run("sample", folder, "-n", 3, "-o", name, "--quiet")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_needs_no_runtime_for_card_and_plan(run, make):
    """The graph's inputs are read without OpenVINO."""
    folder = make("DDIMScheduler")
    blind = {**os.environ, "DRIFTLESS_OPENVINO": "/nonexistent"}
    assert run("plan", folder, "--published", env=blind).stdout == run("plan", folder, "--published").stdout
    assert run("info", folder, "--card", env=blind).stdout == run("info", folder, "--card").stdout
    assert run("info", folder, env=blind, ok=False).returncode == MODEL


def test_shape(make, card):
    assert card(make("DDIMScheduler", sample=(3, 8, 8)))["sample"]["shape"] == [3, 8, 8]
    assert card(make("DDIMScheduler", sample=(2, 16)))["sample"]["shape"] == [2, 16]
    wide = make("DDIMScheduler", sample=(3, 4, 8), unet={"sample_size": [4, 8]})
    assert card(wide)["sample"]["shape"] == [3, 4, 8]
    for shape in [3, 4, 8], [1, 2] * 4:
        silent = make("DDIMScheduler", sample=tuple(shape), unet={"sample_size": None})
        assert card(silent)["sample"]["shape"] == shape


def test_classes(make, card):
    assert card(make("DDIMScheduler", classes=10))["classes"] == {"count": 10}
    assert "classes" not in card(make("DDIMScheduler"))


# ---- refused and warned --------------------------------------------------------------------------------

REFUSED = [
    ("LCMScheduler", {}, {}, "distilled"),
    ("EulerDiscretScheduler", {}, {}, "the closest is EulerDiscreteScheduler"),
    ("DDPMScheduler", {"variance_type": "learned_range"}, {}, "variance"),
    ("DDPMScheduler", {"beta_schedule": "laplace"}, {}, "laplace"),
    ("EulerDiscreteScheduler", {"timestep_type": "continuous"}, {}, "timestep_type"),
    ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, {}, "invert_sigmas"),
    ("DDIMScheduler", {"prediction_type": "flow_prediction"}, {}, "flow"),
    ("DDIMScheduler", {"prediction_type": "noise"}, {}, 'scheduler_config.json: "prediction_type": "noise" is not'),
    ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "epsilon"}, {}, "flow"),
    ("EDMEulerScheduler", {"prediction_type": "v_prediction"}, {}, "v_prediction"),
    ("DDIMScheduler", {"num_train_timesteps": 1}, {}, "num_train_timesteps"),
    ("DDIMScheduler", {"trained_betas": [0.3]}, {}, '"trained_betas" has length 1; 2 to'),
    ("DDIMScheduler", {"beta_start": "small"}, {}, "beta_start"),
    ("DDIMScheduler", {"timestep_spacing": "middle"}, {}, "middle"),
    ("DDIMScheduler", {}, {"extra": "encoder_hidden_states"}, "encoder_hidden_states"),
    ("DDIMScheduler", {}, {"classes": 4, "unet": {"num_class_embeds": None}}, "num_class_embeds"),
]


@pytest.mark.parametrize("name, keys, net, word", REFUSED)
def test_refused(run, make, name, keys, net, word):
    refused = run("info", make(name, keys, **net), ok=False)
    assert refused.returncode == MODEL and word in refused.stderr
    assert refused.stderr.count("\n") == 1 and refused.stdout == ""


def test_warnings(run, make):
    done = run("info", make("DDIMScheduler", {"beta_strat": 1, "_diffusers_version": "0.42.1"},
                            index={"_class_name": "LDMPipeline", "vqvae": ["diffusers", "VQModel"]}))
    assert '"beta_strat" is ignored (did you mean "beta_start"?)' in done.stderr
    assert "vqvae" in done.stderr and "_diffusers_version" not in done.stderr


def test_what_the_sampler_leaves_out(run, make, card):
    keys = {"thresholding": True, "use_beta_sigmas": True, "lambda_min_clipped": -5.1, "disable_corrector": [0],
            "sigma_max": 14.6}
    folder = make("DPMSolverMultistepScheduler", keys)
    for word in ("thresholding", "lambda_min_clipped", "disable_corrector", "sigma_max"):
        assert word in card(folder)["sampler_differs"]
    assert "use_beta_sigmas" not in card(folder)["sampler_differs"]
    assert "thresholding" in run("sample", folder, "-n", 1, "-o", "x.npy", "--published").stderr
    assert "thresholding" not in run("sample", folder, "-n", 1, "-o", "x.npy").stderr


def test_beta_sigmas_of_flows_are_left_out(make, card):
    flow = card(make("FlowMatchEulerDiscreteScheduler", {"use_beta_sigmas": True}))
    assert "use_beta_sigmas" in flow["sampler_differs"] and "grid=flow_match" in flow["sampler"]


def test_minus_infinity(make, card):
    """Python's way to write the default of lambda_min_clipped, which is no JSON."""
    found = card(make("DPMSolverMultistepScheduler", {"lambda_min_clipped": float("-inf"), "x": "-Infinity"}))
    assert "sampler_differs" not in found


def test_missing_files(run, make, tmp_path):
    folder = Path(make("DDIMScheduler"))
    (folder / "unet/config.json").unlink()
    run("info", folder)  # the graph knows its sizes
    (folder / "unet/model.onnx").unlink()
    assert "unet/model.onnx" in run("info", folder, ok=False).stderr
    (folder / "scheduler/scheduler_config.json").write_text("{")
    refused = run("info", tmp_path / "nothing", ok=False)
    assert refused.returncode == MODEL and "model.json" in refused.stderr
