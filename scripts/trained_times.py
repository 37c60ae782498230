#!/usr/bin/env python3
"""Networks trained for short diffusion times beside one trained for all, at the same number of images seen.

    build/venv/bin/python scripts/trained_times.py FOLDER [--nfe 20] [--times 0.3,0.5] [-o FOLDER] [--threads N]

FOLDER holds exported networks (driftless_train export CHECKPOINT FOLDER/NAME) whose NAME is that of a
configuration in train/configs. Their cards tell the images seen. Writes trained-times.csv, a row for each
network, T of 0.3 and 0.5 that it was trained for, and start: held-out images noised to T (what a perfect
start density would give) and a mixture for each class, as in scripts/times_table.py, whose priors, reference
and samples are used. Measured are the held-out loss over t <= T (driftless_train evaluate, in
build/venv-train), the same for all networks, and the Frechet distance of features of 1000 samples.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from solver_table import ROOT, SEED, Table
from times_table import Bench

FIELDS = ["held_out_loss", "spent", "samples", "feature_distance", "pixel_median", "feature_median", "pixel_nearer"]
KEY = ("network", "images", "t", "start", "solver", "nfe")
SOLVER, STARTS = "deis:order=3", ("mixture", "images")
TIMES = {"0.3": "fashion-t03", "0.5": "fashion-t05"}  # and the configuration whose held-out loss is over t <= T


def card_of(folder):
    """(name, images seen, largest time) of an exported network."""
    card = json.loads((folder / "model.json").read_text())
    seen = re.search(r"(\d+) images seen", card.get("training", ""))
    if not seen:
        sys.exit(f"{folder}: the card does not say how many images were seen in training")
    return card["name"], int(seen[1]), card["t_max"]


def cells_of(folders, nfe, times=tuple(TIMES)):
    """{cell: folder}, the networks that have seen fewest first."""
    cards = sorted((card_of(f)[1], card_of(f)[0], f) for f in folders)
    return {(name, str(images), t, start, SOLVER, nfe): folder for images, name, folder in cards for t in times
            if card_of(folder)[2] >= float(t) for start in STARTS}


def held_out_loss(folder, t):
    """Over t <= T, by driftless_train."""
    words = [ROOT / "build/venv-train/bin/python", "-m", "driftless_train", "evaluate", folder.resolve() / "network.onnx",
             "--config", f"configs/{TIMES[t]}.toml", "--quiet"]
    done = subprocess.run([str(w) for w in words], cwd=ROOT / "train", capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return re.search(r"held-out noise error ([0-9.]+)", done.stdout)[1]


def run(arguments):
    folders = sorted(p.parent for p in Path(arguments.folder).glob("*/model.json"))
    cells = cells_of(folders, arguments.nfe, arguments.times)
    table = Table(arguments.output, "trained-times.csv", FIELDS, list(cells), KEY)
    print(f"{len(table.cells)} cells, {table.cost(arguments.samples)} evaluations, and 10 000 for each held-out loss",
          file=sys.stderr)
    if not table.cells:
        return
    losses, bench = {}, Bench(arguments)
    for cell in table.cells:
        _, _, t, start, solver, nfe = cell
        bench.model = cells[cell]
        x, spent = bench.draw((start, t, solver, nfe))
        if x is None:
            sys.exit(spent)
        if (bench.model, t) not in losses:
            losses[bench.model, t] = held_out_loss(bench.model, t)
        found = {k: v for k, v in bench.measure(x).items() if k in FIELDS}
        table.add(cell, **found, spent=spent, held_out_loss=losses[bench.model, t])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of exported networks")
    parser.add_argument("--features", default=str(ROOT / "models" / "fashion-classifier"))
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--nfe", type=int, default=20)
    parser.add_argument("--times", type=lambda text: text.split(","), default=list(TIMES), help="some of 0.3,0.5")
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: all, fewest on a busy machine")
    parser.add_argument("-o", "--output", default=str(ROOT / "docs" / "results"))
    arguments = parser.parse_args()
    arguments.model, arguments.seed = None, SEED
    run(arguments)


if __name__ == "__main__":
    main()
