"""What one step of diffusers' schedulers costs: peer_steps.py PASSES, one JSON object per line, as
bench_steps does it. The least time of PASSES over the steps of a 50-step sampler; no network, no set-up."""

import json
import sys
import time

import torch
from diffusers import (DDIMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler,
                       UniPCMultistepScheduler)

SHAPES = {"1x2": (1, 2), "1x3x32x32": (1, 3, 32, 32), "64x3x32x32": (64, 3, 32, 32)}
BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
STEPS, FIRST = 50, 5  # the first steps have less history and so less work


def schedulers():
    """Our solver's name and the scheduler that does the same."""
    yield "ddim", DDIMScheduler(**BETAS, clip_sample=False)
    yield "deis:kind=lograb,order=2", DEISMultistepScheduler(**BETAS, solver_order=3)
    yield "dpm:order=3", DPMSolverMultistepScheduler(**BETAS, solver_order=3)
    yield "unipc:order=3", UniPCMultistepScheduler(**BETAS, solver_order=3)


def one_pass(scheduler, shape):
    scheduler.set_timesteps(STEPS)
    sample = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    answer = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for i, t in enumerate(scheduler.timesteps):
        if i == FIRST:
            began = time.perf_counter()
        sample = scheduler.step(answer, t, sample).prev_sample
    return (time.perf_counter() - began) / (STEPS - FIRST)


def main():
    torch.set_grad_enabled(False)
    for shape in SHAPES:
        for solver, scheduler in schedulers():
            one_pass(scheduler, SHAPES[shape])
            best = min(one_pass(scheduler, SHAPES[shape]) for _ in range(int(sys.argv[1])))
            print(json.dumps({"shape": shape, "solver": solver, "microseconds": best * 1e6}))


if __name__ == "__main__":
    main()
