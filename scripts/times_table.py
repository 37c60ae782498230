#!/usr/bin/env python3
"""Shorter diffusion times on a real network: start time, start density, solver, evaluations.

    build/venv/bin/python scripts/times_table.py [--nfe 3,5,10,20] [--starts LIST] [--seed N] [-o FOLDER] [--threads N]

Writes times.csv to FOLDER (docs/results), a row a cell: 1000 samples from T by a solver, begun at

noise      N(0, I), as if T were 1
gauss      a prior of one Gaussian for each class
flow       the flow map of those from noise at t = 1: the same law, but one seed stays one image
mixture    a prior of a mixture (pcagmm, ten components) for each class
images     held-out images, noised: what a perfect start density would give, up to chance

and, with T = 0 and no evaluation, the clean samples of the priors and the held-out images as they are.
Measured are the Frechet distance of classifier features to other test images, and for memorisation the
distances to the nearest training image, in pixels and in features.

Each solver has the grid that served it best from N(0, I) at T = 1 on the bootstrap network (500 samples of another
seed, 5 and 10 evaluations: distances 23.9, 11.8 of deis on power:kappa=2, 33.6, 83.0 on logsnr, 57.2, 91.5 on uniform;
37.7, 15.6, 26.4, 13.8, 19.6, 11.7 of ddim). From the mixture at T = 0.4 and from noised images at 0.2 the grids are within 1 of each other.

Held-out are the first test images of each class, the others are the reference; neither the network nor
the priors have seen any. Prints first how many evaluations it will take, and takes small budgets first.
Rows begin with the model's name and eight digits of its network's digest, and those of a network that is replaced
do not count. Finished cells are in the CSV and are not measured again, so an interrupted run goes on; priors, features
and statistics are kept in build/times-table. scripts/times_page.py makes the page. Needs what
scripts/solver_table.py needs.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from solver_table import POWER, ROOT, SEED, T_END, Table, identity

DATA = Path("/usr/share/datasets/fashion-mnist")
TRAIN, TEST = "train", "t10k"
CLASSES, NOISE_SEED = 10, 5
KEY = ("start", "t_start", "solver", "nfe")
FIELDS = ["spent", "samples", "feature_distance", "pixel_median", "pixel_low", "pixel_nearer", "feature_median",
          "feature_nearer"]
STARTS = ("mixture", "images", "noise", "gauss", "flow")  # the most telling first
TIMES = ("0.4", "0.3", "0.2", "0.6", "1", "0.8")
SOLVERS = {"deis:order=3": POWER, "ddim": "uniform"}  # and their grids, see above
ALONE = ("images", "mixture", "gauss")
GATE = "0.2,0.3,0.4,0.6,0.8,1"
PRIORS = {  # name: options of driftless prior fit; each class has a density of its own
    "gauss": ["--kind", "gauss"],
    "mixture": ["--kind", "pcagmm", "--components", 10, "--restarts", 1],
}


def idx(kind, what):
    """Pixels [n][1][28][28] or labels [n] of Fashion-MNIST, as bytes."""
    path = DATA / (f"{kind}-images-idx3-ubyte.gz" if what == "images" else f"{kind}-labels-idx1-ubyte.gz")
    with gzip.open(path) as file:
        data = file.read()
    if what == "labels":
        return np.frombuffer(data, np.uint8, offset=8)
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 1, 28, 28)


def split(labels, count):
    """Indices of the held-out test images, number i of class i mod 10, and of the others."""
    chosen = [np.flatnonzero(labels == c)[:-(-(count - c) // CLASSES)] for c in range(CLASSES)]
    held_out = np.array([chosen[i % CLASSES][i // CLASSES] for i in range(count)])
    return held_out, np.setdiff1d(np.arange(len(labels)), held_out)


def as_bytes(x):
    """Pixels from -1 to 1 as a picture holds them."""
    return x if x.dtype == np.uint8 else (np.clip(x, -1, 1) * 127.5 + 127.5).round().astype(np.uint8)


def nearest(x, y, block=250):
    """Root mean square distance of each row of x to the nearest row of y; float32, exact for the found one."""
    squares = (y * y).sum(axis=1)
    found = np.concatenate([np.argmin(squares - 2 * x[i:i + block] @ y.T, axis=1) for i in range(0, len(x), block)])
    return np.sqrt(((x - y[found]).astype(float) ** 2).mean(axis=1))


def state_factors(model, t):
    """a and b of x_t = a x_0 + b n for the linear schedule in the model's card."""
    card = json.loads((Path(model) / "model.json").read_text())["process"]
    if card["type"] != "vp_linear":
        sys.exit(f"{model}: noised images are made for vp_linear, and its process is {card['type']}")
    integral = card["beta_min"] * t + (card["beta_max"] - card["beta_min"]) * t * t / 2
    return np.exp(-integral / 2), np.sqrt(-np.expm1(-integral))


class Bench:
    """The program, and what is made once: priors, held-out images, statistics, training images."""

    def __init__(self, arguments):
        self.program, self.model, self.features = arguments.program, arguments.model, arguments.features
        self.samples, self.threads, self.seed = arguments.samples, arguments.threads, arguments.seed
        self.folder = ROOT / "build" / "times-table" / str(self.samples)
        self.folder.mkdir(parents=True, exist_ok=True)
        pixels = idx(TEST, "images")
        held_out, rest = split(idx(TEST, "labels"), self.samples)
        self.held_out = pixels[held_out]
        self.reference = self.kept("reference.npz", lambda path: self.statistics(pixels[rest], path))
        self.train_features = np.load(self.kept("train-features.npy", self.extract)).astype(np.float32)
        self.train = idx(TRAIN, "images").reshape(-1, 784).astype(np.float32) / np.float32(127.5) - 1
        self.low = {}
        self.scale = self.measure(self.held_out)  # of real images that no one has seen

    def driftless(self, *words):
        """None, or the sentence with which the program refuses."""
        done = subprocess.run([str(w) for w in (self.program, *words)], capture_output=True, text=True)
        return done.stderr.strip().removeprefix("driftless: ") if done.returncode else None

    def must(self, *words):
        why = self.driftless(*words)
        if why:
            sys.exit(why)

    def kept(self, name, make):
        path = self.folder / name
        if not path.exists():
            print(f"making {path.relative_to(ROOT)}", file=sys.stderr)
            make(path)
        return path

    def prior(self, name):
        labels = self.folder / "labels.npy"

        def fit(path):
            np.save(labels, idx(TRAIN, "labels").astype(np.int64))
            self.must("prior", "fit", DATA / f"{TRAIN}-images-idx3-ubyte.gz", *PRIORS[name], "--labels", labels,
                      "--gate", GATE, "--quiet", "-o", path)

        return self.kept(f"{name}.npz", fit)

    def evaluate(self, path, reference, *words):
        self.must("eval", path, "--ref", reference, "--features", self.features, "--metrics", "fid", "--quiet",
                  "--threads", self.threads, *words)

    def statistics(self, pixels, path):
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "x.npy"
            np.save(images, pixels)
            self.evaluate(images, images, "--stats-out", path)

    def extract(self, path):
        self.evaluate(DATA / f"{TRAIN}-images-idx3-ubyte.gz", self.reference, "--features-out", path)

    def begin(self, start, t, folder):
        """Options of "driftless sample" that say where it begins."""
        if start == "noise":
            return []
        if start == "images":
            a, b = state_factors(self.model, float(t))
            noise = np.random.default_rng(NOISE_SEED).normal(size=self.held_out.shape)
            states = folder / "start.npy"
            np.save(states, (a * (self.held_out / 127.5 - 1) + b * noise).astype(np.float32))
            return ["--init", states]
        if start == "flow":
            return ["--prior", self.prior("gauss"), "--prior-map", "flow"]
        return ["--prior", self.prior(start)]

    def draw(self, cell):
        """Samples and evaluations spent; or None and why."""
        start, t, solver, nfe = cell
        with tempfile.TemporaryDirectory() as folder:
            out, record = Path(folder) / "x.npy", Path(folder) / "record.json"
            why = self.driftless("sample", self.model, "-n", self.samples, "--t-start", t, "--t-end", T_END,
                                 *self.begin(start, t, Path(folder)), "--solver", solver, "--grid", SOLVERS[solver],
                                 "--nfe", nfe, "--seed", self.seed, "--microbatch", 32, "--threads", self.threads,
                                 "--model-cache", ROOT / "build" / "model-cache", "--quiet", "--json", record, "-o", out)
            if why:
                return None, why
            return np.load(out), json.loads(record.read_text())["run"]["nfe"]

    def alone(self, start):
        """What a start density gives without a network: sample i of class i mod 10 at T = 0."""
        if start == "images":
            return self.held_out
        out = np.empty((self.samples, 1, 28, 28), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.npy"
            for label in range(min(CLASSES, self.samples)):
                self.must("prior", "sample", self.prior(start), "--label", label, "-n", self.samples, "--seed",
                          self.seed, "--quiet", "-o", path)
                out[label::CLASSES] = np.load(path).reshape(out.shape)[label::CLASSES]
        return out

    def measure(self, images):
        pixels = as_bytes(images)
        with tempfile.TemporaryDirectory() as folder:
            path, features, record = (Path(folder) / name for name in ("x.npy", "f.npy", "r.json"))
            np.save(path, pixels)
            self.evaluate(path, self.reference, "--features-out", features, "--json", record)
            distance = json.loads(record.read_text())["metrics"]["fid"]["value"]
            seen = np.load(features).astype(np.float32)
        near = {"pixel": nearest(pixels.reshape(-1, 784).astype(np.float32) / np.float32(127.5) - 1, self.train),
                "feature": nearest(seen, self.train_features)}
        if not self.low:  # the first are the held-out images
            self.low = {kind: np.quantile(d, 0.05) for kind, d in near.items()}
        nearer = {kind: 100 * np.mean(d < self.low[kind]) for kind, d in near.items()}
        return {"samples": len(pixels), "feature_distance": f"{distance:.2f}",
                "pixel_median": f"{np.median(near['pixel']):.4f}", "pixel_low": f"{np.quantile(near['pixel'], 0.05):.4f}",
                "pixel_nearer": f"{nearer['pixel']:.1f}", "feature_median": f"{np.median(near['feature']):.4f}",
                "feature_nearer": f"{nearer['feature']:.1f}"}


def cells_of(arguments):
    alone = [(s, "0", "alone", 0) for s in ALONE if s in arguments.starts]
    return alone + [(s, t, solver, n) for n in sorted(arguments.nfe) for t in arguments.times for s in arguments.starts
                    for solver in SOLVERS]


def run(arguments):
    name = "times.csv" if arguments.seed == SEED else f"times-seed-{arguments.seed}.csv"
    table = Table(arguments.output, name, FIELDS, cells_of(arguments), KEY, identity(arguments.model))
    print(f"{len(table.cells)} cells, {table.cost(arguments.samples)} evaluations", file=sys.stderr)
    if not table.cells or arguments.cost:
        return
    bench = Bench(arguments)
    for cell in table.cells:
        if cell[2] == "alone":
            x, spent = bench.alone(cell[0]), 0
        else:
            x, spent = bench.draw(cell)
        table.add(cell, **({"note": spent} if x is None else {"spent": spent, **bench.measure(x)}))


def parse(words=None):
    def listed(allowed):
        def take(text):
            chosen = text.split(",")
            unknown = [w for w in chosen if w not in allowed]
            if unknown:
                raise argparse.ArgumentTypeError(f"{unknown[0]}: one of {', '.join(allowed)}")
            return [w for w in allowed if w in chosen]
        return take

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "models" / "fashion-vp"))
    parser.add_argument("--features", default=str(ROOT / "models" / "fashion-classifier"))
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    parser.add_argument("--samples", type=int, default=1000, help="a cell; all rows of a CSV have as many")
    parser.add_argument("--starts", type=listed(STARTS), default=list(STARTS))
    parser.add_argument("--times", type=listed(TIMES), default=list(TIMES))
    parser.add_argument("--nfe", type=lambda text: [int(n) for n in text.split(",")], default=[3, 5, 10, 20])
    parser.add_argument("--seed", type=int, default=SEED, help="another than 1 has a CSV of its own")
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: all, fewest on a busy machine")
    parser.add_argument("--cost", action="store_true", help="print how much there is to do, and do nothing")
    parser.add_argument("-o", "--output", default=str(ROOT / "docs" / "results"))
    return parser.parse_args(words)


def main():
    arguments = parse()
    Path(arguments.output).mkdir(parents=True, exist_ok=True)
    run(arguments)


if __name__ == "__main__":
    main()
