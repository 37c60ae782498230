#!/usr/bin/env python3
"""What a fitted plan owes to its starts, its history and its ridge: error on held-out starts.

    build/venv/bin/python scripts/fitted_sensitivity.py [--nfe 3,5,10] [--model M] [--cost]

fitted-sensitivity.csv: plans fitted from 16 to 1024 starts, with K = 0 to 4 older outputs, with a ridge of 0 and 1e-8
to 1e-2, one of them changed at a time (256 starts, K = 3, 1e-6); K and ridge also from 32 starts, where
they should matter most. Error of 256 samples of seed 1, which none was fitted on. Finished cells are not
measured again; the teacher's states are shared (--work). Needs what scripts/solver_table.py needs.
"""

from fitted_bench import ERRORS, SEED, Bench, Case, announce, case_of, parsed, parser_of

SENSITIVITY = "fitted-sensitivity.csv"
STARTS = (16, 32, 64, 128, 256, 512, 1024)
HISTORY = (0, 1, 2, 3, 4)
RIDGE = ("0", "1e-8", "1e-7", "1e-6", "1e-5", "1e-4", "1e-3", "1e-2")
USUAL, FEW = (256, 3, "1e-6"), 32


def settings(most=STARTS[-1]):
    """(starts, history, ridge), each once."""
    _, history, ridge = USUAL
    found = [(s, history, ridge) for s in STARTS]
    for starts in (FEW, USUAL[0]):
        found += [(starts, k, ridge) for k in HISTORY] + [(starts, history, r) for r in RIDGE]
    return sorted({f for f in found if f[0] <= most}, key=lambda f: (f[0], f[1], float(f[2])))


def cells_of(bench, budgets, most):
    return [(bench.grid_to_fit(n), *setting, n) for n in sorted(budgets) for setting in settings(most)]


def cost(bench, table, samples):
    """Of fits, their teacher and their measurement; the teacher's first states may be there already."""
    if not table.cells:
        return 0
    fits = sum(nfe * (starts + 16 + samples) for _, starts, _, _, nfe in table.cells)
    return bench.taught(max(cell[1] for cell in table.cells)) + bench.missing(samples, SEED) + fits * bench.case.networks


def main(words=None):
    parser = parser_of(__doc__, nfe=[3, 5, 10])
    parser.add_argument("--case", type=case_of, default=Case())
    parser.add_argument("--most", type=int, default=STARTS[-1], help="starts to fit on")
    arguments = parsed(parser, words)
    bench = Bench(arguments, arguments.case)
    table = bench.table(SENSITIVITY, ("grid", "starts", "history", "ridge"), ERRORS,
                        cells_of(bench, arguments.nfe, arguments.most))
    if announce("sensitivity", len(table.cells), cost(bench, table, arguments.samples), arguments):
        for cell in table.cells:
            grid, starts, history, ridge, nfe = cell
            plan, why = bench.fit(nfe, grid, starts, history, ridge)
            table.add(cell, **({"note": why} if why else bench.errors(bench.planned(plan, arguments.samples, SEED))))


if __name__ == "__main__":
    main()
