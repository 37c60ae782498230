#!/usr/bin/env python3
"""How far every deterministic solver is from the exact solution on a real network, per evaluation.

    build/venv/bin/python scripts/solver_table.py [--model DIR] [--samples N] [--nfe 5,6,8,...] [-o DIR]

For each solver with its usual grid and each budget: root mean square and median distance of the samples
to a converged solution from the same start states (same seed, same classes), and the time. Finished
cells stand in DIR/solvers.csv and are not measured again, so an interrupted run goes on. Prints what
it will cost first. Needs NumPy and the built program (make all).
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ("deis:order=3", "power:kappa=2")
SOLVERS = [  # solver, grid it is usually run on
    ("ddim", "power:kappa=2"),
    ("ddim", "logsnr"),
    ("ddim", "uniform"),
    ("heun", "karras"),
    ("heun", "power:kappa=2"),
    ("deis:order=1", "power:kappa=2"),
    ("deis:order=2", "power:kappa=2"),
    ("deis:order=3", "power:kappa=2"),
    ("deis:kind=rhoab,order=1", "power:kappa=2"),
    ("deis:kind=rhoab,order=2", "power:kappa=2"),
    ("deis:kind=rhoab,order=3", "power:kappa=2"),
    ("deis:kind=lograb,order=2", "logsnr"),
    ("deis:kind=ipndm", "uniform"),
    ("deis:kind=ipndm", "karras"),
    ("deis_sn:order=3", "power:kappa=2"),
    ("rhork:tableau=3kutta", "power:kappa=2"),
    ("scire:order=2", "nsr"),
    ("scire:order=3", "nsr"),
    ("scire:order=2,difference=fd", "nsr"),
    ("scire:variant=v1,order=2,method=multistep,profile=main", "nsr"),
    ("scire:variant=v2,order=2,method=multistep,profile=main", "nsr"),
    ("dpm:algorithm_type=dpmsolver,order=3,method=singlestep", "logsnr"),
    ("dpm:order=2", "logsnr"),
    ("dpm:order=3", "logsnr"),
    ("dpm:order=3,corrected=1", "logsnr"),
    ("unipc:order=2", "logsnr"),
    ("unipc:order=3", "logsnr"),
    ("unipc:order=2", "power:kappa=2"),
]


def sample(program, model, solver, grid, nfe, samples, seed):
    """States [samples][...] and seconds, or the sentence with which the program refuses."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "x.npy"
        command = [program, "sample", model, "-n", samples, "--solver", solver, "--grid", grid, "--nfe",
                   nfe, "--seed", seed, "--t-end", "1e-3", "--quiet", "-o", out]
        began = time.monotonic()
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        spent = time.monotonic() - began
        if done.returncode:
            return None, spent, done.stderr.strip()
        return np.load(out).reshape(samples, -1).astype(float), spent, ""


def read_rows(path):
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return {(r["solver"], r["grid"], int(r["nfe"])): r for r in csv.DictReader(file)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "models" / "fashion-vp"))
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--nfe", default="5,6,8,10,12,15,20,50")
    parser.add_argument("--reference-nfe", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", default=str(ROOT / "docs" / "results"))
    a = parser.parse_args()
    budgets = [int(n) for n in a.nfe.split(",")]
    folder = Path(a.output)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "solvers.csv"
    rows = read_rows(path)
    todo = [(s, g, n) for s, g in SOLVERS for n in budgets if (s, g, n) not in rows]
    cost = a.samples * (sum(n for _, _, n in todo) + a.reference_nfe)
    print(f"{len(todo)} cells, {cost} evaluations", file=sys.stderr)
    truth, _, why = sample(a.program, a.model, *REFERENCE, a.reference_nfe, a.samples, a.seed)
    if truth is None:
        sys.exit(why)
    fields = ["solver", "grid", "nfe", "samples", "rms", "median", "seconds", "note"]
    if not path.exists():
        with open(path, "w", newline="") as file:
            csv.DictWriter(file, fields).writeheader()
    for number, (solver, grid, nfe) in enumerate(todo):
        x, spent, why = sample(a.program, a.model, solver, grid, nfe, a.samples, a.seed)
        row = dict(solver=solver, grid=grid, nfe=nfe, samples=a.samples, seconds=f"{spent:.1f}", note=why)
        if x is not None:
            distance = np.sqrt(((x - truth) ** 2).mean(axis=1))
            row.update(rms=f"{np.sqrt((distance ** 2).mean()):.5f}", median=f"{np.median(distance):.5f}")
        with open(path, "a", newline="") as file:
            csv.DictWriter(file, fields).writerow(row)
        print(f"{number + 1}/{len(todo)} {solver} {grid} {nfe}: {row.get('rms', why)}", file=sys.stderr)


if __name__ == "__main__":
    main()
