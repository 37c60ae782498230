"""Our plans against the schedulers of diffusers: equal to rounding where they mean the same, and apart where
docs/peers.md says why. Same states, same noise, same denoiser."""

import diffusers
import numpy as np
import pytest
import torch

from driver import drive, edm, flow, make, unit, vp
from library import Refused

BOUND = 1e-9
SEEN = 1e-4  # the least that counts as a difference
X = np.random.default_rng(1).normal(size=(8, 2))
NOISE = np.random.default_rng(2).normal(size=(64, 8, 2))
TABLES = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012), "squaredcos_cap_v2": (1e-4, 0.02)}


def betas(schedule):
    lo, hi = TABLES[schedule]
    return {"beta_schedule": schedule, "beta_start": lo, "beta_end": hi}


def times_of(scheduler, sigmas):
    """Library times of these noise levels: index i of the table is (i + 1)/1000, log a linear in between."""
    depth = -0.5 * np.log(scheduler.alphas_cumprod.numpy())
    t = np.interp(0.5 * np.log1p(sigmas**2), np.concatenate([[0], depth]), np.arange(1001) / 1000)
    node = np.round(t * 1000) / 1000
    return np.where(np.abs(t - node) < 1e-9, node, t)


def listed(times):
    return "grid='list:times=[{}]'".format(",".join(f"{t:.17g}" for t in times))


class Case:
    """A scheduler and our plan. grid: ours by name, with steps; None: the times the scheduler computes with."""

    def __init__(self, kind, solver, steps, grid=None, net=vp, schedule="linear", step=None, **config):
        self.kind, self.solver, self.steps, self.grid = kind, solver, steps, grid
        self.net, self.schedule, self.step, self.config = net, schedule, step or {}, config

    def __str__(self):
        short = self.kind.replace("Scheduler", "").replace("Discrete", "")
        said = [f"{k}={v}" for k, v in {**self.config, **self.step}.items()]
        return "-".join([short, self.solver, str(self.steps), self.grid or "its", self.schedule, *said])

    def compare(self, ours):
        """Largest distance of the results; the network must be asked equally often."""
        scheduler = make(getattr(diffusers, self.kind), **betas(self.schedule), **self.config)
        peer, handed, sigmas = drive(scheduler, self.net, X, self.steps, NOISE, **self.step)
        card = {"process": {"type": "vp_discrete", **betas(self.schedule)},
                "prediction_type": self.config.get("prediction_type", "epsilon"), "t_min": 0.001, "t_max": 1}
        if self.grid:
            grid = self.grid if "=" in self.grid.split(":")[0] else f"grid={self.grid} steps={self.steps}"
        else:
            if self.kind.startswith("Heun"):  # every inner level stands there twice
                sigmas = np.concatenate([sigmas[:1], sigmas[1:-1:2], sigmas[-1:]])
            grid = listed(times_of(scheduler, sigmas))
        found, asked = ours.run(card, f"solver={self.solver} {grid}", X, NOISE)
        assert len(asked) == len(handed)
        if self.grid in ("leading", "trailing"):
            assert np.abs(asked * 1000 - 1 - handed).max() < 1e-9  # the index the network would be given
        return np.abs(found - peer).max()


def flag(on):
    return int(bool(on))


def dpm_cases():
    for order in (1, 2, 3):
        for form in ("midpoint", "heun"):
            for kind, final in (("dpmsolver++", "zero"), ("dpmsolver++", "sigma_min"), ("dpmsolver", "sigma_min")):
                for lower in (True, False):
                    for steps in (3, 8, 20):
                        yield Case("DPMSolverMultistepScheduler",
                                   f"dpm:order={order},solver_type={form},algorithm_type={kind},"
                                   f"lower_order_final={flag(lower)}", steps, solver_order=order, solver_type=form,
                                   algorithm_type=kind, final_sigmas_type=final, lower_order_final=lower)
    multistep = "DPMSolverMultistepScheduler"
    for order in (2, 3):
        ours = f"dpm:order={order}"
        for steps in (5, 20):
            yield Case(multistep, ours, steps, "grid=karras t_end=0 steps=%d" % steps, solver_order=order,
                       use_karras_sigmas=True)
            yield Case(multistep, ours, steps, "grid=beta t_end=0 steps=%d" % steps, solver_order=order,
                       use_beta_sigmas=True)
            yield Case(multistep, ours, steps, "trailing", solver_order=order, timestep_spacing="trailing")
            yield Case(multistep, ours, steps, solver_order=order, use_lu_lambdas=True)
            yield Case(multistep, ours, steps, solver_order=order, timestep_spacing="leading", steps_offset=1)
            yield Case(multistep, ours, steps, solver_order=order, use_exponential_sigmas=True)
        for prediction in ("sample", "v_prediction"):
            yield Case(multistep, ours, 10, solver_order=order, prediction_type=prediction,
                       final_sigmas_type="sigma_min", lower_order_final=False)
        for schedule in ("scaled_linear", "squaredcos_cap_v2"):
            yield Case(multistep, ours, 8, schedule=schedule, solver_order=order)
            yield Case(multistep, ours, 20, schedule=schedule, solver_order=order)
    for order in (1, 2):
        for final, steps in (("zero", 8), ("zero", 20), ("sigma_min", 20)):
            yield Case(multistep, f"sde_dpm:order={order}", steps, solver_order=order,
                       algorithm_type="sde-dpmsolver++", final_sigmas_type=final)


def singlestep_cases():
    """The grid is uniform in t where 999 is a multiple of the steps, and stages are then its points."""
    for form in ("midpoint", "heun"):
        for kind in ("dpmsolver++", "dpmsolver"):
            config = {"solver_type": form, "algorithm_type": kind, "final_sigmas_type": "sigma_min"}
            ours = f"solver_type={form},algorithm_type={kind}"
            for steps in (9, 27):
                grid = f"grid=uniform t_end=0.001 nfe={steps}"
                for order, lower in ((1, False), (2, True), (3, True)):
                    if order == 3 and form == "midpoint":
                        continue
                    yield Case("DPMSolverSinglestepScheduler", f"dpm:method=singlestep,order={order},{ours}", steps,
                               grid, solver_order=order, lower_order_final=lower, **config)
        yield Case("DPMSolverSinglestepScheduler", "dpm:method=singlestep_fixed,order=3,solver_type=heun", 27,
                   "grid=uniform t_end=0.001 nfe=27", solver_order=3, solver_type="heun",
                   final_sigmas_type="sigma_min")


def unipc_cases():
    for order in (1, 2, 3):
        for form in ("bh1", "bh2"):
            for data in (True, False):
                for lower in (True, False):
                    for steps in (3, 8, 20):
                        yield Case("UniPCMultistepScheduler",
                                   f"unipc:order={order},solver_type={form},predict_x0={flag(data)},"
                                   f"lower_order_final={flag(lower)}", steps, solver_order=order, solver_type=form,
                                   predict_x0=data, lower_order_final=lower, final_sigmas_type="sigma_min")
        for steps in (5, 20):
            yield Case("UniPCMultistepScheduler", f"unipc:order={order}", steps, solver_order=order)
            yield Case("UniPCMultistepScheduler", f"unipc:order={order}", steps, "trailing", solver_order=order,
                       timestep_spacing="trailing")
            yield Case("UniPCMultistepScheduler", f"unipc:order={order}", steps,
                       "grid=karras t_end=0 steps=%d" % steps, solver_order=order, use_karras_sigmas=True)
    for prediction in ("sample", "v_prediction"):
        yield Case("UniPCMultistepScheduler", "unipc", 10, prediction_type=prediction)
    yield Case("UniPCMultistepScheduler", "unipc:order=3", 10, schedule="scaled_linear", solver_order=3)


def deis_cases():
    for order in (1, 2, 3):
        for steps in (3, 8, 20):
            for schedule in TABLES:
                yield Case("DEISMultistepScheduler", f"deis:kind=lograb,order={order - 1}", steps, schedule=schedule,
                           solver_order=order, lower_order_final=False)
        yield Case("DEISMultistepScheduler", f"deis:kind=lograb,order={order - 1}", 20, solver_order=order)
        yield Case("DEISMultistepScheduler", f"deis:kind=lograb,order={order - 1}", 10, solver_order=order,
                   lower_order_final=False, timestep_spacing="leading", prediction_type="v_prediction")


def sigma_cases():
    solvers = (("EulerDiscreteScheduler", "euler"), ("HeunDiscreteScheduler", "heun"), ("LMSDiscreteScheduler", "lms"))
    for kind, solver in solvers:
        for steps in (2, 8, 20):
            for spacing in ("linspace", "leading", "trailing"):
                yield Case(kind, solver, steps, net=unit, timestep_spacing=spacing)
            yield Case(kind, solver, steps, net=unit, use_karras_sigmas=True)
        for prediction in ("epsilon", "v_prediction"):
            yield Case(kind, solver, 10, net=unit, schedule="scaled_linear", prediction_type=prediction)
    for spacing in ("leading", "trailing"):
        yield Case("EulerDiscreteScheduler", "euler", 10, spacing, net=unit, timestep_spacing=spacing)
        yield Case("LMSDiscreteScheduler", "lms", 10, spacing, net=unit, timestep_spacing=spacing)
        for steps in (1, 8, 20):
            yield Case("EulerAncestralDiscreteScheduler", "euler_a", steps, spacing, net=unit,
                       timestep_spacing=spacing)


def ancestral_cases():
    for steps in (1, 7, 20):
        for prediction in ("epsilon", "sample", "v_prediction"):
            plain = {"prediction_type": prediction, "clip_sample": False}
            for eta in (0, 0.5, 1):
                yield Case("DDIMScheduler", f"ddim:eta={eta}", steps, "leading", step={"eta": eta}, **plain)
            for variance in ("fixed_small", "fixed_large"):
                yield Case("DDPMScheduler", f"ddpm:variance_type={variance}", steps, "leading",
                           variance_type=variance, **plain)
    for schedule in TABLES:
        yield Case("DDIMScheduler", "ddim:eta=1", 20, "trailing", schedule=schedule, step={"eta": 1},
                   clip_sample=False, timestep_spacing="trailing")
        yield Case("DDPMScheduler", "ddpm", 20, "linspace", schedule=schedule, clip_sample=False,
                   timestep_spacing="linspace")
        yield Case("DDPMScheduler", "ddpm", 20, "trailing", schedule=schedule, clip_sample=False,
                   timestep_spacing="trailing")


EQUAL = [*dpm_cases(), *singlestep_cases(), *unipc_cases(), *deis_cases(), *sigma_cases(), *ancestral_cases()]


@pytest.mark.parametrize("case", EQUAL, ids=str)
def test_equal(ours, case):
    assert case.compare(ours) < BOUND


# ---- differences: each stands in docs/peers.md -----------------------------------------------------------

APART = {
    "the order falls below 15 steps, ours below 10":
        Case("DPMSolverMultistepScheduler", "dpm:order=2", 12, final_sigmas_type="sigma_min"),
    "log-rho DEIS falls to order 1 at the end below 15 steps":
        Case("DEISMultistepScheduler", "deis:kind=lograb,order=2", 12, solver_order=3),
    "SDE 2M falls to order 1 at the end below 15 steps":
        Case("DPMSolverMultistepScheduler", "sde_dpm:order=2", 12, algorithm_type="sde-dpmsolver++",
             final_sigmas_type="sigma_min"),
    "the heun form of SDE 2M is another":
        Case("DPMSolverMultistepScheduler", "sde_dpm:order=2", 20, algorithm_type="sde-dpmsolver++",
             solver_type="heun"),
    "the inner stage of singlestep 3 midpoint is a midpoint step":
        Case("DPMSolverSinglestepScheduler", "dpm:method=singlestep,order=3", 27, "grid=uniform t_end=0.001 nfe=27",
             solver_order=3, lower_order_final=True, final_sigmas_type="sigma_min"),
    "DDIM steps by 1000 // N whatever the grid":
        Case("DDIMScheduler", "ddim", 7, "trailing", clip_sample=False, timestep_spacing="trailing"),
    "DDIM on linspace does not end at the grid's points":
        Case("DDIMScheduler", "ddim", 20, "linspace", clip_sample=False, timestep_spacing="linspace"),
    "DDPM fixed_large draws noise in the last step unless its index is 0":
        Case("DDPMScheduler", "ddpm:variance_type=fixed_large", 10, "trailing", clip_sample=False,
             variance_type="fixed_large", timestep_spacing="trailing"),
    "linspace of Euler, Heun and LMS has fractions":
        Case("EulerDiscreteScheduler", "euler", 20, "linspace", net=unit),
    "karras of Euler, Heun and LMS goes over the sigmas of the spaced times":
        Case("EulerDiscreteScheduler", "euler", 10, "grid=karras t_end=0 steps=10", net=unit, use_karras_sigmas=True,
             timestep_spacing="leading"),
}


@pytest.mark.parametrize("why", APART)
def test_apart(ours, why):
    assert APART[why].compare(ours) > SEEN


def test_plms_starts_otherwise(ours):
    """PNDM without Runge-Kutta steps is iPNDM but for its start: the first time twice, 1 evaluation more."""
    scheduler = make(diffusers.PNDMScheduler, skip_prk_steps=True)
    peer, handed, _ = drive(scheduler, vp, X, 20)
    found, asked = ours.run({"process": "vp_discrete", "prediction_type": "epsilon"},
                            "solver=ipndm grid=leading steps=20", X)
    assert len(handed) == len(asked) + 1
    assert SEEN < np.abs(found - peer).max() < 0.1


def test_unipc_at_zero_is_not_finite():
    """With lower_order_final off and a last sigma of 0 their last step is of infinite length."""
    scheduler = make(diffusers.UniPCMultistepScheduler, solver_order=2, lower_order_final=False)
    assert not np.isfinite(drive(scheduler, vp, X, 8)[0]).all()


@pytest.mark.parametrize("kind", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler"])
def test_karras_to_the_least_sigma_stands_still(ours, kind):
    """The last sigma twice: a step of length 0, which a grid of ours may not have."""
    config = {} if "DEIS" in kind else {"final_sigmas_type": "sigma_min"}
    scheduler = make(getattr(diffusers, kind), use_karras_sigmas=True, **config)
    _, _, sigmas = drive(scheduler, vp, X, 8)
    assert abs(sigmas[-1] - sigmas[-2]) < 1e-12
    with pytest.raises(Refused, match="times must fall"):
        ours.run({"process": "vp_discrete", "prediction_type": "epsilon"},
                 f"solver=dpm {listed(times_of(scheduler, sigmas))}", X)


def test_singlestep_to_zero(ours):
    """A last step of order 1 onto the predicted x_0, in both; their times are whole thousandths, ours ninths."""
    scheduler = make(diffusers.DPMSolverSinglestepScheduler, lower_order_final=True)
    peer, handed, sigmas = drive(scheduler, vp, X, 9)
    found, asked = ours.run({"process": "vp_discrete", "prediction_type": "epsilon"},
                            "solver=dpm:method=singlestep grid=uniform t_end=0 nfe=9", X)
    assert len(asked) == len(handed)
    assert np.abs(asked - times_of(scheduler, sigmas)[:-1]).max() < 0.0015
    assert np.abs(found - peer).max() < 0.005


# ---- other processes --------------------------------------------------------------------------------------

@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("kind, solver", [("FlowMatchEulerDiscreteScheduler", "euler:variable=t"),
                                          ("FlowMatchHeunDiscreteScheduler", "heun:variable=t")])
def test_flow(ours, kind, solver, shift, steps):
    scheduler = make(getattr(diffusers, kind), shift=shift)
    peer, handed, sigmas = drive(scheduler, flow, X, steps)
    if "Heun" in kind:
        sigmas = np.concatenate([sigmas[:1], sigmas[1:-1:2], sigmas[-1:]])
    card = {"process": "flow", "prediction_type": "flow_prediction", "t_min": 0.001, "t_max": 1}
    found, asked = ours.run(card, f"solver={solver} {listed(sigmas)}", X)
    assert len(handed) == len(asked)
    assert np.abs(found - peer).max() < BOUND


EDM = {"process": {"type": "edm", "sigma_max": 80}, "prediction_type": "sample", "t_min": 0.002 / 80, "t_max": 1,
       "preconditioning": {"type": "edm", "sigma_data": 0.5}}


@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("kind, solver, config", [
    ("EDMEulerScheduler", "euler", {}),
    ("EDMDPMSolverMultistepScheduler", "dpm:order=2", {"solver_order": 2}),
    ("EDMDPMSolverMultistepScheduler", "dpm:order=3,solver_type=heun", {"solver_order": 3, "solver_type": "heun"}),
])
def test_edm(ours, kind, solver, config, steps):
    """From sigma 80 on their own Karras grid, which is ours by name."""
    peer, handed, _ = drive(make(getattr(diffusers, kind), **config), edm, 80 * X, steps)
    found, asked = ours.run(EDM, f"solver={solver} grid=karras t_end=0 steps={steps}", 80 * X / np.sqrt(1 + 80**2))
    assert len(handed) == len(asked)
    assert np.abs(found - peer).max() < BOUND


@pytest.mark.parametrize("steps", [3, 8, 20])
def test_ipndm(ours, steps):
    """Its own schedule starts at a = 0 and divides by it there; with levels of the table it runs."""
    ab = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    index = np.round(np.linspace(999, 0, steps + 1)).astype(int)
    scheduler = make(diffusers.IPNDMScheduler, trained_betas=np.sqrt(1 - ab[index]).tolist())
    peer, _, _ = drive(scheduler, lambda x, sigma, _: vp(x, sigma, "v_prediction"), X, steps)
    card = {"process": "vp_discrete", "prediction_type": "v_prediction"}
    found, asked = ours.run(card, f"solver=ipndm {listed((index + 1) / 1000)}", X)
    assert len(asked) == steps
    assert np.abs(found - peer).max() < BOUND


# ---- as they are used: single precision -------------------------------------------------------------------

@pytest.mark.parametrize("kind, solver", [("DDIMScheduler", "ddim"), ("DPMSolverMultistepScheduler", "dpm:order=2"),
                                          ("UniPCMultistepScheduler", "unipc")])
def test_single_precision_is_what_is_left(ours, kind, solver):
    """Untouched, with the denoiser at the table's level: apart by what float32 tables and sigmas cost."""
    scheduler = getattr(diffusers, kind)(num_train_timesteps=1000, timestep_spacing="trailing",
                                         **({"clip_sample": False} if "DDIM" in kind else {}))
    ab = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    scheduler.set_timesteps(20)
    state = torch.from_numpy(X.copy())
    for t in scheduler.timesteps:
        y = vp(state.numpy().astype(np.float64), np.sqrt(1 / ab[int(t)] - 1), "epsilon")
        state = scheduler.step(torch.from_numpy(y), t, state).prev_sample
    found, _ = ours.run({"process": "vp_discrete", "prediction_type": "epsilon"},
                        f"solver={solver} grid=trailing steps=20", X)
    apart = np.abs(found - state.numpy()).max()
    assert 1e-9 < apart < 1e-5, apart
