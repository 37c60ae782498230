#!/usr/bin/env python3
"""Bits per dimension of test images by the start time T and by the density there: flow and bound.

    build/venv/bin/python scripts/likelihood_table.py [-n IMAGES] [--methods flow,bound] [-o FOLDER] [--threads N]

Writes likelihood.csv to FOLDER (docs/results): the first test images of Fashion-MNIST on the shipped network,
without classes, for T in 0.2, 0.3, 0.4, 0.6, 1 and N(0, I), one Gaussian or a mixture at T. `gain` is what is won
over N(0, I) at that T, of the same images with the same random numbers, in bits/dim.

No image goes a way twice. The flow is carried from T to the next T by its states (--latents, then --t-end), with
steps about equal in ln sigma, and priors are asked for their density there; of the bound only the term at T
depends on the prior. Prints first how many evaluations it will take (--cost: nothing else); finished rows are in the
CSV and are not measured again. They begin with the model's name and eight digits of its network's digest. Priors are
kept in build/likelihood-table.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from solver_table import ROOT, Table, identity
from times_table import DATA, GATE

STEPS = {"0.2": 10, "0.3": 1, "0.4": 1, "0.6": 2, "1": 6}  # from each T to the next, 0.54 in ln sigma
STARTS = ("standard", "gauss", "pcagmm")
TERMS = 12  # of the bound's 1000 T - 1, and the decoder
COST = {"flow": 8 * sum(STEPS.values()), "bound": len(STEPS) * (TERMS + 1 + 2 * 2)}  # evaluations an image
BITS = 784 * np.log(2)


class Bench:
    def __init__(self, arguments):
        self.program, self.model = arguments.program, arguments.model
        self.images, self.threads = arguments.images, arguments.threads
        self.folder = ROOT / "build" / "likelihood-table"
        self.folder.mkdir(parents=True, exist_ok=True)

    def driftless(self, *words):
        done = subprocess.run([str(w) for w in (self.program, *words)], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.stderr.strip())

    def prior(self, kind):
        path = self.folder / f"{kind}.npz"
        if not path.exists():
            self.driftless("prior", "fit", DATA / "train-images-idx3-ubyte.gz", "--kind", kind, "--restarts", 1, "--gate",
                           GATE, "-q", "-o", path)
        return path

    def likelihood(self, name, data, t, *words):
        """Numbers of each image under a setting."""
        out = self.folder / f"{name}.npz"
        self.driftless("likelihood", self.model, data, "-n", self.images, "--t-start", t, "--threads", self.threads,
                       "--quiet", *words, "-o", out)
        with np.load(out) as file:
            return dict(file)

    def flow(self):
        """T, then nats [images] of -log p of the density by start; from dequantised images on."""
        data, end, path = DATA / "t10k-images-idx3-ubyte.gz", [], 0
        for t, steps in STEPS.items():
            latents, logp = self.folder / f"states-{t}.npy", self.folder / "logp.npy"
            leg = self.likelihood("flow", data, t, "--steps", steps, "--latents", latents, *end)
            path = path + leg["path"]
            nats = {"standard": leg["prior"] + path}
            for start in STARTS[1:]:
                self.driftless("prior", "logp", self.prior(start), latents, "--t-start", t, "-q", "-o", logp)
                nats[start] = path - np.load(logp)
            yield t, {start: x / BITS + np.log2(255 / 2) for start, x in nats.items()}
            data, end = latents, ["--t-end", t]

    def bound(self):
        data, words = DATA / "t10k-images-idx3-ubyte.gz", ("--method", "bound", "--terms")
        for t in STEPS:
            plain = self.likelihood("bound", data, t, *words, TERMS)
            bits = {"standard": plain["bpd"]}
            for start in STARTS[1:]:
                own = self.likelihood("bound", data, t, *words, 1, "--prior", self.prior(start))
                bits[start] = plain["bpd"] + (own["prior"] - plain["prior"]) / BITS
            yield t, bits


def mean(x):
    return f"{x.mean():.5f}", f"{x.std(ddof=1) / np.sqrt(len(x)):.5f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "models" / "fashion-vp"))
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    parser.add_argument("-n", "--images", type=int, default=200)
    parser.add_argument("--methods", default="flow,bound", help="one of them, or both")
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: all")
    parser.add_argument("--cost", action="store_true", help="print how much there is to do, and do nothing")
    parser.add_argument("-o", "--output", default=str(ROOT / "docs" / "results"))
    arguments = parser.parse_args()
    fields = ["images", "bpd", "bpd_error", "gain", "gain_error"]
    cells = [(method, t, start) for method in arguments.methods.split(",") for t in STEPS for start in STARTS]
    table = Table(arguments.output, "likelihood.csv", fields, cells, ("method", "t_start", "start"),
                  identity(arguments.model))
    left = [m for m in COST if any(cell[0] == m for cell in table.cells)]
    print(f"{len(table.cells)} rows, {arguments.images * sum(COST[m] for m in left)} evaluations", file=sys.stderr)
    if arguments.cost:
        return
    bench = Bench(arguments)
    for method in left:
        for t, bits in getattr(bench, method)():
            for start in [c[2] for c in table.cells if c[:2] == (method, t)]:
                own, gain = mean(bits[start]), mean(bits["standard"] - bits[start])
                table.add((method, t, start), images=arguments.images, bpd=own[0], bpd_error=own[1], gain=gain[0],
                          gain_error=gain[1])


if __name__ == "__main__":
    main()
