#!/usr/bin/env python3
"""Samplers of other programs on a model of ours: what `driftless sweep --peer` calls.

    build/venv-peers/bin/python scripts/sweep_peer.py NAME --model FOLDER --start x.npy --labels y.npy \\
        --nfe N --t-end T -o out.npy [--seed S] [--threads N]
    build/venv-peers/bin/python scripts/sweep_peer.py --list

NAME is one of diffusers' schedulers, or of the samplers of k-diffusion or azula. The network is the folder's
own ONNX file, evaluated by OpenVINO as driftless does (float32, micro-batches of 32); start is x at t_max, the
same for every program; the result is x at t_end. Exactly N evaluations are spent, or none of it counts: calls
are counted, and a sampler that cannot spend them exits with a sentence. Each program keeps its own habits
(rounded times, single precision, lower orders at the end): its rows show what its users get.

The environment is made by `scripts/setup peers`. Models: process vp_linear, noise prediction.
"""

import argparse
import importlib
import importlib.util
import inspect
import json
import math
import sys
import types
import warnings
from pathlib import Path

import numpy as np

MICROBATCH = 32
TABLE = 1000  # entries of a schedule in diffusers


class Unable(Exception):
    """A sentence for whoever called."""


def need(module):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unable(f"{module.split('.')[0]} cannot be imported ({error}); scripts/setup peers installs it") from None


class Model:
    """The network of a folder, and its forward process; counts evaluations of the whole batch."""

    def __init__(self, folder, labels, threads):
        card = json.loads((Path(folder) / "model.json").read_text())
        process = card.get("process", {})
        form = card.get("prediction_type"), card.get("preconditioning", "none"), process.get("type")
        if form != ("epsilon", "none", "vp_linear") or card.get("time_map", {}).get("type", "linear") != "linear":
            raise Unable(f"{folder}: other samplers are run on vp_linear networks that predict noise only")
        self.low, self.high = process.get("beta_min", 0.1), process.get("beta_max", 20.0)
        self.t_max = card.get("t_max", 1.0)
        time = card.get("time_map", {})
        self.scale, self.offset = time.get("scale", 1.0), time.get("offset", 0.0)
        self.inputs, self.output = card["network"]["inputs"], card["network"]["output"]
        self.labels, self.calls = labels, 0
        openvino = need("openvino")
        core = openvino.Core()
        graph = core.read_model(Path(folder) / card["network"]["file"])
        graph.reshape({p: [MICROBATCH, *[int(d.get_length()) for d in list(p.partial_shape)[1:]]]
                       for p in graph.inputs})
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self.network = core.compile_model(graph, "CPU", settings)

    def log_a(self, t):
        return -0.5 * (self.low * t + 0.5 * (self.high - self.low) * t * t)

    def a(self, t):
        return math.exp(self.log_a(t))

    def rho(self, t):
        return math.sqrt(math.expm1(-2 * self.log_a(t)))

    def time_of(self, rho):
        """t with b/a = rho."""
        depth, slope = math.log1p(rho * rho), self.high - self.low
        return 2 * depth / (self.low + math.sqrt(self.low**2 + 2 * slope * depth))

    def eps(self, x, t):
        """Predicted noise of states x [n][...], float32, at time t."""
        self.calls += 1
        out = np.empty_like(x)
        for i in range(0, len(x), MICROBATCH):
            rows = np.arange(i, i + MICROBATCH) % len(x)  # the last part is filled up
            feed = {self.inputs["sample"]: x[rows],
                    self.inputs["time"]: np.full(MICROBATCH, self.scale * t + self.offset, np.float32)}
            if "class" in self.inputs:
                feed[self.inputs["class"]] = self.labels[rows]
            found = self.network(feed)[self.output]
            out[i:i + MICROBATCH] = found[:len(x) - i]
        return out


# ---- diffusers -----------------------------------------------------------------------------------

# Names of classes, and what they are made with.
DIFFUSERS = {
    "ddim": ("DDIMScheduler", dict(set_alpha_to_one=False, clip_sample=False)),
    "dpm-2m": ("DPMSolverMultistepScheduler", dict(solver_order=2, algorithm_type="dpmsolver")),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", dict(solver_order=2)),
    "dpmpp-2m-karras": ("DPMSolverMultistepScheduler", dict(solver_order=2, use_karras_sigmas=True)),
    "dpmpp-3m": ("DPMSolverMultistepScheduler", dict(solver_order=3)),
    "dpmpp-2m-sde": ("DPMSolverMultistepScheduler", dict(solver_order=2, algorithm_type="sde-dpmsolver++")),
    "dpmpp-2s": ("DPMSolverSinglestepScheduler", dict(solver_order=2)),
    "unipc-2": ("UniPCMultistepScheduler", dict(solver_order=2)),
    "unipc-3": ("UniPCMultistepScheduler", dict(solver_order=3)),
    "deis-2": ("DEISMultistepScheduler", dict(solver_order=2)),
    "deis-3": ("DEISMultistepScheduler", dict(solver_order=3)),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
}


def schedule(model, t_end):
    """Betas of a table whose entry i is the model's noise level at t_end + (t_max - t_end) i/999."""
    times = t_end + (model.t_max - t_end) * np.arange(TABLE) / (TABLE - 1)
    bars = np.exp([2 * model.log_a(t) for t in times])
    return times, 1 - bars / np.concatenate([[1.0], bars[:-1]])


def run_diffusers(name, model, x, nfe, t_end, seed):
    diffusers, torch = need("diffusers"), need("torch")
    kind, options = DIFFUSERS[name]
    times, betas = schedule(model, t_end)
    known = inspect.signature(getattr(diffusers, kind).__init__).parameters
    wished = dict(timestep_spacing="trailing", final_sigmas_type="sigma_min")  # not all have these
    options = dict({key: wished[key] for key in wished if key in known}, **options,
                   trained_betas=betas.tolist(), num_train_timesteps=TABLE)
    scheduler = getattr(diffusers, kind)(**options)
    steps = nfe
    if kind == "HeunDiscreteScheduler":
        if nfe % 2 == 0:
            raise Unable(f"{name} spends an odd number of evaluations, {nfe - 1} or {nfe + 1}, not {nfe}")
        steps = (nfe + 1) // 2
    scheduler.set_timesteps(steps)
    unit = float(scheduler.init_noise_sigma) > 1.5  # its states are x/a, at the end x_0
    state = torch.from_numpy(x) * (scheduler.init_noise_sigma if unit else 1)
    generator = torch.Generator().manual_seed(seed)
    more = {"generator": generator} if kind == "EulerAncestralDiscreteScheduler" or "sde" in name else {}
    for t in scheduler.timesteps:
        at = float(np.interp(float(t), np.arange(TABLE), times))
        eps = model.eps(np.ascontiguousarray(scheduler.scale_model_input(state, t).float().numpy()), at)
        state = scheduler.step(torch.from_numpy(eps), t, state, **more).prev_sample
    least = kind == "EulerDiscreteScheduler"  # ends at t_end, in units of x/a
    return state.numpy() * (model.a(t_end) if least else 1)


# ---- k-diffusion ---------------------------------------------------------------------------------

# Functions, and evaluations per step; all on Karras' sigmas.
K_DIFFUSION = {
    "euler": ("sample_euler", 1, {}),
    "heun": ("sample_heun", 2, {}),
    "dpm2": ("sample_dpm_2", 2, {}),
    "lms": ("sample_lms", 1, {}),
    "dpmpp-2s": ("sample_dpmpp_2s_ancestral", 2, {"eta": 0.0}),
    "dpmpp-2m": ("sample_dpmpp_2m", 1, {}),
}


def k_sampling():
    """k_diffusion.sampling, without the package's other parts, which bring trainers and metrics along."""
    need("torchsde")
    need("torchdiffeq")
    if "k_diffusion.sampling" in sys.modules:
        return sys.modules["k_diffusion.sampling"]
    found = importlib.util.find_spec("k_diffusion")
    if not found:
        raise Unable("k-diffusion is not installed; scripts/setup peers installs it")
    package, utils = types.ModuleType("k_diffusion"), types.ModuleType("k_diffusion.utils")
    package.__path__ = list(found.submodule_search_locations)
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]  # all that sampling.py uses
    package.utils = utils
    sys.modules.update({"k_diffusion": package, "k_diffusion.utils": utils})
    return importlib.import_module("k_diffusion.sampling")


def run_k(name, model, x, nfe, t_end, seed):
    torch = need("torch")
    sampling = k_sampling()
    function, each, options = K_DIFFUSION[name]
    if nfe % each:
        raise Unable(f"{name} spends {each} evaluations per step, which {nfe} is no multiple of")
    torch.manual_seed(seed)
    sigmas = sampling.get_sigmas_karras(nfe // each + 1, model.rho(t_end), model.rho(model.t_max))[:-1]
    sigmas[-1], sigmas[0] = model.rho(t_end), model.rho(model.t_max)

    def denoised(state, sigma):
        t = model.time_of(float(sigma[0]))
        unit = model.a(t)
        eps = model.eps((state.numpy() * np.float32(unit)).astype(np.float32), t)
        return state - sigma[0] * torch.from_numpy(eps)

    state = torch.from_numpy(x / np.float32(model.a(model.t_max)))
    found = getattr(sampling, function)(denoised, state, sigmas, disable=True, **options)
    return found.numpy() * model.a(t_end)


# ---- azula ---------------------------------------------------------------------------------------

AZULA = {
    "ddim": ("DDIMSampler", 1, {}),
    "heun": ("HeunSampler", 2, {}),
    "zab-2": ("zABSampler", 1, {"order": 2}),
    "zab-3": ("zABSampler", 1, {"order": 3}),
    "zeab-2": ("zEABSampler", 1, {"order": 2}),
    "xeab-2": ("xEABSampler", 1, {"order": 2}),
    "xeab-3": ("xEABSampler", 1, {"order": 3}),
}


def run_azula(name, model, x, nfe, t_end, seed):
    torch, sample = need("torch"), need("azula.sample")
    denoise, noise = need("azula.denoise"), need("azula.noise")
    kind, each, options = AZULA[name]
    if nfe % each:
        raise Unable(f"{name} spends {each} evaluations per step, which {nfe} is no multiple of")
    torch.manual_seed(seed)

    class Schedule(noise.Schedule):
        def __call__(self, t):
            a = torch.exp(-0.5 * (model.low * t + 0.5 * (model.high - model.low) * t * t))
            return a, torch.sqrt(-torch.expm1(2 * torch.log(a)))

    class Denoiser(denoise.Denoiser):
        schedule = Schedule()

        def forward(self, state, t, **_):
            a, b = self.schedule(t.double())
            eps = torch.from_numpy(model.eps(state.float().numpy(), float(t)))
            return denoise.DiracPosterior(mean=(state - b.to(state) * eps) / a.to(state))

    sampler = getattr(sample, kind)(Denoiser(), start=model.t_max, stop=t_end, steps=nfe // each, silent=True,
                                    dtype=torch.float64, **options)
    return sampler(torch.from_numpy(x)).numpy()


PROGRAMS = {"diffusers": (DIFFUSERS, run_diffusers), "k": (K_DIFFUSION, run_k), "azula": (AZULA, run_azula)}
NAMES = [f"{program}-{name}" for program, (table, _) in PROGRAMS.items() for name in table]


def load(path, what):
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Unable(f"{what} {path} cannot be read: {error}") from None


def sample(arguments):
    program, _, name = arguments.name.partition("-")
    if arguments.name not in NAMES:
        raise Unable(f"there is no sampler {arguments.name}; --list names them")
    x = np.ascontiguousarray(load(arguments.start, "start"), np.float32)
    labels = np.ascontiguousarray(load(arguments.labels, "labels"), np.int64)
    if x.ndim != 4 or labels.shape != x.shape[:1] or not len(x):
        raise Unable("start must be [n][C][H][W] and labels [n], n above 0")
    model = Model(arguments.model, labels, arguments.threads)
    _, run = PROGRAMS[program]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.asarray(run(name, model, x, arguments.nfe, arguments.t_end, arguments.seed), np.float32)
    if model.calls != arguments.nfe:
        raise Unable(f"{arguments.name} spent {model.calls} evaluations, not {arguments.nfe}")
    if found.shape != x.shape or not np.isfinite(found).all():
        raise Unable(f"{arguments.name} gave samples that are not finite")
    part = Path(f"{arguments.output}.part")
    with open(part, "wb") as file:
        np.save(file, found)
    part.rename(arguments.output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", metavar="NAME", help="--list names them")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--model", help="folder of the model")
    parser.add_argument("--start", help="states at the first time, .npy, float32 [n][C][H][W]")
    parser.add_argument("--labels", help="classes, .npy, int64 [n]")
    parser.add_argument("--nfe", type=int, help="network evaluations per sample")
    parser.add_argument("--t-end", type=float, default=1e-3, help="time to end at (default 1e-3)")
    parser.add_argument("--seed", type=int, default=0, help="of samplers that draw noise (default 0)")
    parser.add_argument("--threads", type=int, default=0, help="of the network (default 0: all)")
    parser.add_argument("-o", "--output", help="samples, .npy, float32 [n][C][H][W]")
    arguments = parser.parse_args()
    if arguments.list:
        print(*NAMES, sep="\n")
        return
    wanted = ("name", "model", "start", "labels", "nfe", "output")
    if missing := [word for word in wanted if not getattr(arguments, word)]:
        parser.error(f"missing: {', '.join(missing)}")
    if not 0 < arguments.t_end < 1 or arguments.nfe < 1:
        parser.error("--t-end is between 0 and 1, --nfe at least 1")
    try:
        sample(arguments)
    except Unable as error:
        sys.exit(f"sweep_peer: {error}")
    except Exception as error:  # what the other program says, as one line
        sys.exit(f"sweep_peer: {arguments.name}: {type(error).__name__}: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
