#!/usr/bin/env python3
"""How good samples of fitted plans are, beside the best classical solvers and the converged sampler.

    build/venv/bin/python scripts/fitted_quality.py [--nfe 2,3,...] [--samples 2000] [--seeds 11,12,13] [--best 3] [--cost]

fitted-quality.csv: Frechet distance of features to the reference, precision, recall, density and coverage, as
"driftless eval" defines them (docs/evaluation-metrics.md), a row for each sampler and seed:

- the plans in --plans (MODEL/plans);
- at each budget the --best classical solvers, on the grids that won, by the errors in fitted-distance.csv, else by
  those of screening (scripts/fitted_distance.py comes first); --best 41 takes all;
- what --also names;
- the converged sampler, with --nfe-converged evaluations.

First all budgets with the first seed, small ones first; the converged sampler after them, as it costs more than
all of them. Numbers compare for the same number of samples only. Finished cells are not measured again. Needs
what scripts/solver_table.py needs.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from fitted_bench import Bench, Case, announce, case_of, cell_of, kept_plans, numbers, parsed, parser_of
from fitted_distance import DISTANCE, SOLVERS, Screening
from solver_table import ROOT, TEST_IMAGES

QUALITY = "fitted-quality.csv"
METRICS = ("fid", "precision", "recall", "density", "coverage")
CONVERGED = "converged"


def best_classical(bench, nfe, count):
    """(solver, grid) of the best at a budget: as measured where enough were, else as screened."""
    measured = sorted((float(r["rms"]), r["solver"], r["grid"]) for r in bench.rows(DISTANCE, nfe=str(nfe))
                      if r["rms"] and r["solver"] in SOLVERS)
    screening = Screening(bench, [nfe])
    screened = sorted((won[1], s, won[0]) for s in SOLVERS if (won := screening.best_grid(s, nfe)))
    return [(s, g) for _, s, g in (measured if len(measured) >= min(count, len(screened)) else screened)[:count]]


def samplers(bench, budgets, plans, count):
    """(sampler, grid, nfe) with what is to be said to draw by it."""
    found = {}
    for nfe in sorted(budgets):
        found |= {(name, grid, nfe): path for name, grid, n, path in plans if n == nfe}
        found |= {(s, g, nfe): None for s, g in best_classical(bench, nfe, count)}
    found |= {cell: None for cell in bench.arguments.also}
    solver, grid, nfe = bench.arguments.converged
    found[CONVERGED, f"{solver} on {grid}", nfe] = None
    return found


def draw(bench, sampler, plan, samples, seed):
    solver, grid, nfe = sampler
    if plan:
        return bench.planned(plan, samples, seed)
    if solver == CONVERGED:
        return bench.converged(samples, seed), {"run": {"nfe": nfe}}
    return bench.classical(solver, grid, nfe, samples, seed)


def judged(bench, x):
    """Columns of the metrics."""
    arguments = bench.arguments
    with tempfile.TemporaryDirectory() as folder:
        path, record = Path(folder) / "x.npy", Path(folder) / "record.json"
        np.save(path, x)
        _, why = bench.program.call("eval", path, "--ref", arguments.reference, "--features", arguments.features,
                                    "--metrics", "fid,pr,dc", "--threads", bench.program.threads, "--quiet", "--json",
                                    record)
        if why:
            return {"note": why}
        values = json.loads(record.read_text())["metrics"]
    return {name: f"{values[name]['value']:.4f}" for name in METRICS}


def main(words=None):
    parser = parser_of(__doc__)
    parser.add_argument("--case", type=case_of, default=Case())
    parser.add_argument("--plans", help="folder of plans, in place of MODEL/plans")
    parser.add_argument("--features", default=str(ROOT / "models" / "fashion-classifier"))
    parser.add_argument("--reference", default=str(TEST_IMAGES), help="pictures or statistics")
    parser.add_argument("--seeds", type=numbers, default=[11, 12, 13])
    parser.add_argument("--best", type=int, default=3, help="classical solvers at a budget")
    parser.add_argument("--also", type=cell_of, nargs="*", default=[], help="SOLVER@GRID@EVALUATIONS, whatever its errors")
    parser.add_argument("--nfe-converged", type=int, default=100)
    parser.set_defaults(samples=2000)
    arguments = parsed(parser, words)
    arguments.converged = (*arguments.converged[:2], arguments.nfe_converged)
    bench = Bench(arguments, arguments.case)
    found = samplers(bench, arguments.nfe, kept_plans(arguments.plans or Path(bench.model) / "plans"), arguments.best)
    table = bench.table(QUALITY, ("sampler", "grid", "samples", "seed"), ["spent", *METRICS],
                        [(s, g, arguments.samples, seed, n) for seed in arguments.seeds for s, g, n in found])
    evaluations = sum(bench.missing(samples, seed) if s == CONVERGED else n * samples * bench.case.networks
                      for s, _, samples, seed, n in table.cells)
    if announce("quality", len(table.cells), evaluations, arguments):
        for cell in table.cells:
            sampler, grid, samples, seed, nfe = cell
            x, record = draw(bench, (sampler, grid, nfe), found[sampler, grid, nfe], samples, seed)
            table.add(cell, **({"note": record} if x is None else {"spent": record["run"]["nfe"], **judged(bench, x)}))


if __name__ == "__main__":
    main()
