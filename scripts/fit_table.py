#!/usr/bin/env python3
"""The fitted plans of a model beside the classical solvers of docs/results/solvers.csv.

    build/venv/bin/python scripts/fit_table.py TABLE... [--nfe 2,3,...] [-o FOLDER] [--program P]

Tables, each a CSV in FOLDER (docs/results):

distance    fitted.csv: the plans MODEL/plans/fitted-N.json; distance of 256 samples to the converged solution
            from the same starts that solvers.csv has (seed 1; plans are fitted on seed 1000), and beside it
            the best classical solver of the same budget there
features    fitted-features.csv: Frechet distance of classifier features to the test images, --samples of
            seed 1: the fitted plan and the classical solvers named below; and of as many of the teacher's
            own samples in the folder --states (driftless fit --work), which are of the fit's seed
refined     fitted-refined.csv: the same feature distance of the plans in the folder --plans, by the names of
            their files, with their error on held-out starts

Finished cells are in the CSV and are not measured again. Needs what scripts/solver_table.py needs.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from solver_table import CONVERGED, POWER, ROOT, SEED, Features, Program, Table, flat

BESIDE = [("dpm:order=2,method=singlestep", "logsnr"), ("ddim", POWER)]
TEACHER = ("deis:order=3", POWER, 60)


def draw(program, cell, samples):
    """As Program.run, where a solver "fitted" is the plan that is kept for the budget."""
    solver, _, nfe = cell
    if solver != "fitted":
        return program.run(cell, samples, SEED)
    return draw_plan(program, Path(program.model) / "plans" / f"fitted-{nfe}.json", samples)


def draw_plan(program, plan, samples):
    return program.draw(samples, SEED, "--plan", plan)


def best_classical(folder, nfe):
    """The row of solvers.csv with the least distance at a budget, or None where it has none."""
    with open(Path(folder) / "solvers.csv", newline="") as file:
        rows = [r for r in csv.DictReader(file) if int(r["nfe"]) == nfe and r["rms"]]
    return min(rows, key=lambda r: float(r["rms"]), default=None)


def grid_of(program, nfe):
    plan = Path(program.model) / "plans" / f"fitted-{nfe}.json"
    return json.loads(plan.read_text())["meta"]["grid"]


def measure_distance(program, arguments):
    cells = [("fitted", grid_of(program, n), n) for n in arguments.nfe]
    table = Table(arguments.output, "fitted.csv", ["spent", "samples", "rms", "median", "p90", "classical",
                                                   "classical_grid", "classical_rms"], cells)
    truth = flat(program.kept(CONVERGED, 256, SEED))
    for cell in table.cells:
        x, record = draw(program, cell, 256)
        if x is None:
            sys.exit(record)
        each = np.sqrt(((flat(x) - truth) ** 2).mean(axis=1))
        best = best_classical(arguments.output, cell[2])
        table.add(cell, spent=record["run"]["nfe"], samples=256, rms=f"{np.sqrt((each ** 2).mean()):.5f}",
                  median=f"{np.median(each):.5f}", p90=f"{np.quantile(each, 0.9):.5f}",
                  **({"classical": best["solver"], "classical_grid": best["grid"],
                      "classical_rms": best["rms"]} if best else {}))


def states_of_teacher(arguments):
    """The last states in the blocks [samples][steps + 1][numbers] of one teacher, in their order."""
    blocks = {int(p.stem.split("-")[2]): p for p in Path(arguments.states).glob("teacher-*.npy")}
    x = np.concatenate([np.load(blocks[first], mmap_mode="r")[:, -1] for first in sorted(blocks)])
    return x[:arguments.samples].reshape(-1, 1, 28, 28).astype(np.float32)


def measure_features(program, arguments):
    cells = [(s, g or grid_of(program, n), n) for n in arguments.nfe for s, g in [("fitted", None)] + BESIDE]
    table = Table(arguments.output, "fitted-features.csv", ["spent", "samples", "feature_distance"],
                  [TEACHER] * bool(arguments.states) + cells)
    features = Features(arguments.features)
    for cell in table.cells:
        if cell is TEACHER:
            x, record = states_of_teacher(arguments), {"run": {"nfe": cell[2]}}
        else:
            x, record = draw(program, cell, arguments.samples)
        if x is None:
            table.add(cell, note=record)
            continue
        table.add(cell, spent=record["run"]["nfe"], samples=len(x),
                  feature_distance=f"{features.distance(x):.2f}")


def measure_refined(program, arguments):
    plans = {p.stem: (p, json.loads(p.read_text())) for p in sorted(Path(arguments.plans).glob("*.json"))}
    cells = [(name, plan["meta"]["grid"], plan["counts"]["nfe"]) for name, (_, plan) in plans.items()]
    table = Table(arguments.output, "fitted-refined.csv", ["samples", "held_out_rms", "feature_distance"], cells)
    features = Features(arguments.features)
    for cell in table.cells:
        path, plan = plans[cell[0]]
        x, record = draw_plan(program, path, arguments.samples)
        if x is None:
            sys.exit(record)
        table.add(cell, samples=len(x), held_out_rms=f"{float(plan['meta']['held_out_rms']):.4f}",
                  feature_distance=f"{features.distance(x):.2f}")


TABLES = {"distance": measure_distance, "features": measure_features, "refined": measure_refined}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", choices=TABLES)
    parser.add_argument("--model", default=str(ROOT / "models" / "fashion-vp"))
    parser.add_argument("--features", default=str(ROOT / "models" / "fashion-classifier"))
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    parser.add_argument("--samples", type=int, default=1000, help="for features")
    parser.add_argument("--states", help="for features: a folder of driftless fit --work")
    parser.add_argument("--plans", help="for refined: a folder of plans")
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: all")
    parser.add_argument("--nfe", default="2,3,4,5,6,8,10",
                        type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("-o", "--output", default=str(ROOT / "docs" / "results"))
    arguments = parser.parse_args()
    for name in arguments.tables:
        TABLES[name](Program(arguments), arguments)


if __name__ == "__main__":
    main()
