#!/usr/bin/env python3
"""Predicted errors of solvers beside measured ones, on the shipped model.

    scripts/predict_against_measured.py [FOLDER] [--network DIGITS]

Predicted: `driftless plan models/fashion-vp --predict models/fashion-vp/moments.npz --solvers all`, the distance
to the exact flow for Gaussian data of each class (column flow). Measured: column rms of solvers.csv in FOLDER
(docs/results), the distance of 256 samples to converged ones from the same starts (scripts/solver_table.py), on the
network of its last row or on the one that --network names. Writes predicted.csv and predicted.md there:
Spearman's rank correlation for each number of evaluations, what choosing by prediction costs, and where it
misleads. Needs NumPy and the built program; no network is evaluated.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from solver_table import ROOT, rows_of_network, whose

MODEL = ROOT / "models" / "fashion-vp"
NFES = (5, 6, 8, 10)


def ranks(values):
    """1 for the least; equal values share their mean rank."""
    values = np.asarray(values)
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def spearman(a, b):
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def predict(program):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "predicted.json"
        subprocess.run([program, "plan", MODEL, "--predict", MODEL / "moments.npz", "--solvers", "all", "--nfe",
                        ",".join(map(str, NFES)), "--t-end", "1e-3", "--json", out], check=True)
        return {(p["solver"], p["grid"], p["budget"]): p for p in json.loads(out.read_text())["plans"]}


def measure(rows):
    return {(r["solver"], r["grid"], int(r["nfe"])): float(r["rms"]) for r in rows if r["rms"]}


def compare(predicted, measured):
    """Rows (solver, grid, nfe, predicted, measured, rank of each), by number of evaluations and measured rank."""
    rows = []
    for nfe in NFES:
        cells = [c for c in predicted if c[2] == nfe and c in measured and "refused" not in predicted[c]]
        flow, rms = [predicted[c]["flow"] for c in cells], [measured[c] for c in cells]
        rows += sorted(((*c, f, m, int(p), int(q)) for c, f, m, p, q in zip(cells, flow, rms, ranks(flow), ranks(rms))),
                       key=lambda row: row[-1])
    return rows


def summary(rows):
    lines = ["| evaluations | pairs | Spearman | of the better half | of the best ten, shared | best measured | chosen by prediction: rms, rank |"
             " best of the first five |", "|---|---|---|---|---|---|---|---|"]
    for nfe in NFES:
        part = [r for r in rows if r[2] == nfe]
        half = part[:len(part) // 2]
        chosen = min(part, key=lambda r: r[5])
        shared = sum(r[5] <= 10 and r[6] <= 10 for r in part)
        five = min(r[4] for r in part if r[5] <= 5)
        lines.append(f"| {nfe} | {len(part)} | {spearman([r[3] for r in part], [r[4] for r in part]):.2f} | "
                     f"{spearman([r[3] for r in half], [r[4] for r in half]):.2f} | {shared} | "
                     f"{part[0][4]:.3f} | {chosen[4]:.3f}, {chosen[6]} | {five:.3f} |")
    return lines


def misled(rows):
    lines = ["| evaluations | solver | grid | predicted | measured | rank predicted | rank measured |",
             "|---|---|---|---|---|---|---|"]
    for nfe in NFES:
        part = sorted((r for r in rows if r[2] == nfe), key=lambda r: -abs(r[5] - r[6]))[:6]
        lines += [f"| {r[2]} | `{r[0]}` | `{r[1]}` | {r[3]:.3f} | {r[4]:.3f} | {r[5]} | {r[6]} |" for r in part]
    return lines


def ratio(rows):
    """How many times larger the measured distance is: quartiles."""
    low, middle, high = np.quantile([r[4] / r[3] for r in rows], (0.25, 0.5, 0.75))
    return f"{middle:.1f} times the predicted one in the median (quartiles {low:.1f} and {high:.1f})"


TEXT = """# Predicted and measured

<!-- Made by scripts/predict_against_measured.py; do not edit. -->

Predicted for {pairs} pairs of solver and grid, and measured on {whose}.
`driftless plan --predict` says what a plan's error would be if the data of each class were Gaussian with the
moments of Fashion-MNIST and the network perfect. Here its distance to the exact flow stands beside the measured
distance of 256 samples to converged samples from the same starts ([solvers.md](solvers.md)). Predicting all of
them takes less than a second and no network. All values: [predicted.csv](predicted.csv).

{summary}

*Of the better half*: the correlation among those measured better. *Of the best ten, shared*: how many stand among
the first ten of both lists. *Best of the first five*: what one gets by measuring the five that are predicted best
and keeping the best of these.

Over all cells the measured distance is {ratio}.

## What it leaves out

- It finds candidates to measure and replaces no measurement.
- By construction it knows nothing of data that are not Gaussian, so that the exact flow bends where a sample decides
  what it becomes, nor of the network's own errors, which a plan passes on with its coefficients. Which of the two
  does more was not measured.
- It knows the process, not the network: two networks of one process and one data set have one prediction, but for
  `deis_sn`, whose statistics are the network's.

## Where the two rank most differently

{misled}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--network", metavar="DIGITS", help="whose rows are taken; that of the last row")
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    arguments = parser.parse_args()
    measured = rows_of_network(arguments.folder / "solvers.csv", arguments.network)
    owner = (measured[0]["model"], measured[0]["network"])
    if owner[0] != MODEL.name:
        sys.exit(f"network {owner[1]} is of {owner[0]}, and predictions are for {MODEL.name}")
    rows = compare(predict(arguments.program), measure(measured))
    if few := [n for n in NFES if sum(r[2] == n for r in rows) < 4]:
        sys.exit(f"network {owner[1]}: fewer than four solvers are measured at {few[0]} evaluations")
    with open(arguments.folder / "predicted.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "network", "solver", "grid", "nfe", "predicted", "measured", "rank_predicted", "rank_measured"])
        writer.writerows((*owner, *r[:3], f"{r[3]:.5f}", f"{r[4]:.5f}", *r[5:]) for r in rows)
    text = TEXT.format(pairs=len({r[:2] for r in rows}), summary="\n".join(summary(rows)), ratio=ratio(rows),
                       misled="\n".join(misled(rows)), whose=whose(measured))
    (arguments.folder / "predicted.md").write_text(text)


if __name__ == "__main__":
    main()
