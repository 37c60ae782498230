#!/usr/bin/env python3
"""How far from the converged solution: fitted plans, and every classical solver with its own best grid.

    build/venv/bin/python scripts/fitted_distance.py [screen] [distance] [--model M] [--case guidance=2] [--cost]

screen      fitted-screening.csv: every deterministic solver of scripts/solver_table.py, in phase space those below, on
            every grid, from other starts (seed 2) than those that measure
distance    fitted-distance.csv: each solver on the grid that screening found best for it at the budget, and the plans
            in --plans (MODEL/plans; with another case than plain, only if named), 256 starts of seed 1; and how far a
            second converged solver is from the one that counts as exact, on the starts of screening

Screening is a race. All run from 16 starts; a grid that is there 1.5 times as far as the solver's best one is
out, the others run from 48 more, and the least of 64 wins. Plans that are the same linear combinations
(plan_forms.form: at few evaluations many solvers are) run once. Finished cells are not measured again. Needs what
scripts/solver_table.py needs.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import plan_forms
from fitted_bench import (ERRORS, SCREEN_SEED, SCREENED, SEED, Bench, Case, announce, case_of, cell_of, kept_plans,
                          parsed, parser_of)
from phase_mixtures import FIXED
from solver_table import DETERMINISTIC, T_END, distances, flat

ONE = list(dict.fromkeys(solver for solver, _ in DETERMINISTIC))  # of one component
PHASE = [*FIXED, *(f"conjugate:type=1,lambda={x},factor=flow" for x in (-0.5, 0, 0.5)), "conjugate:type=2,lambda=0.5,factor=flow",
         "conjugate:type=2,lambda=2", "conjugate_splitting:scheme=cvv", "conjugate_splitting:scheme=cse"]
SOLVERS = list(dict.fromkeys([*ONE, *PHASE]))
GRIDS = ("power:kappa=2", "power:kappa=1.5", "uniform", "logsnr", "karras", "nsr")
FIRST, MARGIN = 16, 1.5
TABLES = ("screen", "distance")
SCREENING, DISTANCE = "fitted-screening.csv", "fitted-distance.csv"


def solvers_of(model):
    card = Path(model) / "model.json"
    return PHASE if card.exists() and json.loads(card.read_text()).get("state_components") == 2 else ONE


class Screening:
    """The race of grids, for some solvers at some budgets."""

    def __init__(self, bench, budgets, solvers=None):
        self.bench, solvers = bench, solvers or solvers_of(bench.model)
        self.cells = [(s, g, n) for n in sorted(budgets) for s in solvers for g in GRIDS]
        self.rows = {(r["solver"], r["grid"], int(r["starts"]), int(r["nfe"])): r for r in bench.rows(SCREENING)}

    def error(self, solver, grid, starts, nfe):
        row = self.rows.get((solver, grid, starts, nfe))
        return float(row["rms"]) if row and row["rms"] else None

    def known(self, *cell):
        return cell in self.rows

    def runs_on(self, solver, grid, nfe):
        """True for grids that are in the second heat, as far as is known."""
        if not all(self.known(solver, g, FIRST, nfe) for g in GRIDS):
            return True
        best = min((e for g in GRIDS if (e := self.error(solver, g, FIRST, nfe)) is not None), default=0)
        mine = self.error(solver, grid, FIRST, nfe)
        return mine is not None and mine <= MARGIN * best

    def best_grid(self, solver, nfe):
        """The grid that won and its error, or None where none did."""
        ran = [(e, g) for g in GRIDS if (e := self.error(solver, g, SCREENED, nfe)) is not None]
        return min(ran)[::-1] if ran else None

    def left(self, starts):
        """Cells of a heat that are not run, as (solver, grid, nfe)."""
        return [(s, g, n) for s, g, n in self.cells
                if not self.known(s, g, starts, n) and (starts == FIRST or self.runs_on(s, g, n))]

    def cost(self):
        first, second = self.left(FIRST), self.left(SCREENED)
        return len(first) + len(second), self.bench.case.networks * (
            FIRST * sum(n for *_, n in first) + (SCREENED - FIRST) * sum(n for *_, n in second))

    def run(self):
        for starts in (FIRST, SCREENED):
            table = self.bench.table(SCREENING, ("solver", "grid", "starts"), ["spent", "rms"], [])
            same = {}
            for solver, grid, nfe in self.left(starts):
                row = self.run_one(solver, grid, nfe, starts, same)
                table.add((solver, grid, starts, nfe), **row)
                self.rows[solver, grid, starts, nfe] = {"rms": "", **row}

    def run_one(self, solver, grid, nfe, starts, same):
        text, why = self.bench.program.call("plan", self.bench.program.model, "--solver", solver, "--grid", grid, "--nfe",
                                            nfe, "--t-end", T_END, *self.bench.start, "--json", "-")
        if why:
            return {"note": why}
        form = plan_forms.form(json.loads(text))
        if form in same:
            other, row = same[form]
            return {**row, "note": f"as {other}"}
        before = 0 if starts == FIRST else FIRST
        x, record = self.bench.classical(solver, grid, nfe, starts - before, SCREEN_SEED, before)
        if x is None:
            return {"note": record}
        square = ((flat(x) - flat(self.bench.converged(starts, SCREEN_SEED))[before:]) ** 2).mean()
        if before:
            square = (square * (starts - before) + self.error(solver, grid, FIRST, nfe) ** 2 * before) / starts
        row = {"spent": record["run"]["nfe"], "rms": f"{np.sqrt(square):.5f}"}
        if form:
            same[form] = f"{solver} on {grid}", row
        return row


class Distance:
    """Errors of solvers on the grids that won, of kept plans, and of the converged solution itself."""

    def __init__(self, bench, budgets, solvers=None):
        self.bench, self.budgets, self.solvers = bench, sorted(budgets), solvers or solvers_of(bench.model)
        self.screening = Screening(bench, budgets, solvers)
        plans = bench.arguments.plans
        if plans is None and not bench.case.classes and bench.case.guidance == "1":
            plans = Path(bench.model) / "plans"
        self.plans = [p for p in (kept_plans(plans) if plans else []) if p[2] in budgets]

    def best(self, nfe, count):
        """The solvers that screening found best at a budget, (solver, grid)."""
        found = sorted((won[1], s, won[0]) for s in self.solvers if (won := self.screening.best_grid(s, nfe)))
        return [(s, g) for _, s, g in found[:count]]

    def table(self, count=len(SOLVERS)):
        """Cells that are left: of classical solvers the first ones of screening."""
        solver, grid, nfe = self.bench.arguments.check
        cells = [(f"(a second converged solver: {solver})", grid, nfe)]
        for n in self.budgets:
            cells += [(name, g, n) for name, g, nfe, _ in self.plans if nfe == n]
            cells += [(s, g, n) for s, g in self.best(n, count)]
        return self.bench.table(DISTANCE, ("solver", "grid"), ERRORS, cells)

    def cost(self, samples, count=len(SOLVERS)):
        """Of what is known; before screening all solvers count."""
        unscreened = [n for n in self.budgets if not self.best(n, count)]
        table = self.table(count)
        return len(table.cells) + len(unscreened) * min(count, len(self.solvers)), self.bench.case.networks * samples * (
            sum(n for solver, _, n in table.cells if not solver.startswith("("))
            + min(count, len(self.solvers)) * sum(unscreened))

    def run(self, samples, count=len(SOLVERS)):
        table = self.table(count)
        files = {(name, nfe): path for name, _, nfe, path in self.plans}
        for cell in table.cells:
            solver, grid, nfe = cell
            if solver.startswith("("):
                x = self.bench.converged(SCREENED, SCREEN_SEED, self.bench.arguments.check)
                row = {"spent": nfe, "samples": len(x),
                       **distances(x, flat(self.bench.converged(SCREENED, SCREEN_SEED)))}
                if float(row["rms"]) > 1e-3:
                    print(f"{' '.join(self.bench.key)}: two converged solvers differ by {row['rms']}; name a better one "
                          "by --converged", file=sys.stderr)
                table.add(cell, **row, note="{} on {}, {} evaluations".format(*self.bench.arguments.converged))
            elif (solver, nfe) in files:
                table.add(cell, **self.bench.errors(self.bench.planned(files[solver, nfe], samples, SEED)))
            else:
                table.add(cell, **self.bench.errors(self.bench.classical(solver, grid, nfe, samples, SEED)))


def converged_cost(bench, samples):
    """Of all converged samples that screening and measuring need."""
    check = bench.arguments.check
    return (bench.missing(samples, SEED) + bench.missing(SCREENED, SCREEN_SEED)
            + bench.missing(SCREENED, SCREEN_SEED, check))


def known_solvers(text):
    unknown = [s for s in text.split() if s not in SOLVERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: some of {' '.join(SOLVERS)}")
    return text.split()


def add_options(parser):
    parser.add_argument("--check", type=cell_of, default=cell_of("unipc:order=2@logsnr@200"),
                        help="SOLVER@GRID@EVALUATIONS that should agree with --converged")
    parser.add_argument("--plans", help="folder of plans, in place of MODEL/plans")


def main(words=None):
    parser = parser_of(__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", default=list(TABLES), help="screen, distance; default both")
    parser.add_argument("--case", type=case_of, default=Case())
    parser.add_argument("--solvers", type=known_solvers, help="apart by blanks")
    add_options(parser)
    arguments = parsed(parser, words)
    if unknown := [t for t in arguments.tables if t not in TABLES]:
        parser.error(f"{unknown[0]}: one of {', '.join(TABLES)}")
    bench = Bench(arguments, arguments.case)
    distance = Distance(bench, arguments.nfe, arguments.solvers)
    cells, evaluations = np.add((0, converged_cost(bench, arguments.samples)),
                                np.add(distance.screening.cost() if "screen" in arguments.tables else (0, 0),
                                       distance.cost(arguments.samples) if "distance" in arguments.tables else (0, 0)))
    if announce("distance", cells, evaluations, arguments):
        if "screen" in arguments.tables:
            distance.screening.run()
        if "distance" in arguments.tables:
            distance.run(arguments.samples)


if __name__ == "__main__":
    main()
