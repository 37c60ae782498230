#!/usr/bin/env python3
"""Every solver on a real network, by evaluations: how far, how good, how long.

    build/venv/bin/python scripts/solver_table.py TABLE... [--nfe 5,6,8,...] [--model M] [-o FOLDER] [--cost]

Tables, each a CSV in FOLDER (docs/results):

distance    solvers.csv: every deterministic solver on its usual grid; distance of 256 samples to a
            converged solution from the same starts (same seed, same classes)
stochastic  solvers-stochastic.csv: every stochastic solver, and three deterministic ones beside them, 1000
            samples; sliced Wasserstein distance to 1000 converged samples from other starts; Frechet
            distance of classifier features to the test images
adaptive    solvers-adaptive.csv: ode45, whose steps are chosen sample by sample, at several tolerances; the
            same distance, and the evaluations a sample took
time        solvers-time.csv: seconds per sample, with the network's share; on a quiet machine only

Rows begin with the model's name and eight digits of its network's digest: a network that is replaced is measured
anew, and rows of several stand in one file. Prints first how many evaluations it will take (--cost: nothing
else), converged samples aside, which are kept in build/solver-table: 64 000 for distance and adaptive, 200 000 for
stochastic. Finished cells are in the CSV and are not measured again, so an interrupted run goes on.
scripts/solver_page.py makes the page. Needs NumPy and OpenVINO for Python (both in build/venv) and the built program
(make all).
"""

import argparse
import csv
import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TEST_IMAGES = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
POWER, LOGSNR = "power:kappa=2", "logsnr"
T_END, SEED, OTHER_SEED, FLOOR_SEED, DIRECTION_SEED = "1e-3", 1, 2, 3, 64
CONVERGED = ("deis:order=3", POWER, 250)
REFERENCE = ("deis:order=3", POWER, 100)

DETERMINISTIC = [  # solver and the grid it is usually run on; some on a second one, to compare like with like
    ("ddim", POWER),
    ("ddim", "uniform"),
    ("euler:variable=t", "uniform"),
    ("heun", "karras"),
    ("deis:order=1", POWER),
    ("deis:order=2", POWER),
    ("deis:order=3", POWER),
    ("deis:order=4", POWER),
    ("deis:kind=rhoab,order=1", POWER),
    ("deis:kind=rhoab,order=2", POWER),
    ("deis:kind=rhoab,order=3", POWER),
    ("deis:kind=lograb,order=2", LOGSNR),
    ("deis:kind=lograb,order=3", LOGSNR),
    ("deis:kind=ipndm", "uniform"),
    ("deis:kind=ipndm", "karras"),
    ("deis_sn:order=2", POWER),
    ("deis_sn:order=3", POWER),
    ("rhork:tableau=2heun", POWER),
    ("rhork:tableau=3kutta", POWER),
    ("rhork:tableau=4rk", POWER),
    ("scire:variant=v1,order=2", "nsr"),
    ("scire:variant=v1,order=3", "nsr"),
    ("scire:variant=v1,order=3,stage=consistent", "nsr"),
    ("scire:variant=v1,order=2,difference=fd", "nsr"),
    ("scire:variant=v1,order=2,method=multistep,profile=main", "nsr"),
    ("scire:variant=v2,order=2", "nsr"),
    ("scire:variant=v2,order=3", "nsr"),
    ("scire:variant=v2,order=2,method=multistep,profile=main", "nsr"),
    ("scire:variant=ei,order=2", "nsr"),
    ("dpm:algorithm_type=dpmsolver,order=2,method=singlestep", LOGSNR),
    ("dpm:algorithm_type=dpmsolver,order=3,method=singlestep", LOGSNR),
    ("dpm:order=2,method=singlestep", LOGSNR),
    ("dpm:order=2,method=singlestep,solver_type=heun", LOGSNR),
    ("dpm:order=3,method=singlestep,solver_type=heun", LOGSNR),
    ("dpm:order=2", LOGSNR),
    ("dpm:order=2,solver_type=heun", LOGSNR),
    ("dpm:order=3", LOGSNR),
    ("dpm:order=3,corrected=1", LOGSNR),
    ("unipc:order=2,solver_type=bh1", LOGSNR),
    ("unipc:order=2", LOGSNR),
    ("unipc:order=3", LOGSNR),
    ("unipc:order=3", POWER),
    ("conjugate:type=1,lambda=0.1", POWER),
    ("conjugate:type=1,lambda=-0.1", POWER),
]
ADAPTIVE = [(f"ode45:rtol={t},atol={t}", "adaptive") for t in ("3e-1", "1e-1", "3e-2", "1e-2", "1e-3", "1e-4")]
STOCHASTIC = [
    ("ddpm", POWER),
    ("ddim:eta=1", POWER),
    ("ddim:eta=0.5", POWER),
    ("em", POWER),
    ("heun:s_churn=10", "karras"),
    ("sde_dpm:order=2", LOGSNR),
    ("ddim_gmm:eta=1,K=8,offsets=ortho", POWER),
    ("ddim_gmm:eta=1,K=8,offsets=rand_c", POWER),
    ("ddim_gmm:eta=1,K=8,covariance=vub", POWER),
    ("ddim_gmm:eta=1,K=8,covariance=iso", POWER),
    ("rfim:eta=1", POWER),
    ("ddim", POWER),
    ("deis:order=3", POWER),
    ("unipc:order=3", POWER),
]


def identity(model):
    """Whose a row is, as columns: a model's name, and eight digits that tell its network from others that have the name."""
    if str(model).startswith("mixture:"):
        path = name = Path(str(model).removeprefix("mixture:"))
    else:
        name, card = Path(model).resolve(), Path(model) / "model.json"
        if not card.exists():
            sys.exit(f"{model}: a folder with model.json is needed, or mixture:FILE")
        path = name / json.loads(card.read_text())["network"]["file"]
    return {"model": name.stem, "network": hashlib.sha256(path.read_bytes()).hexdigest()[:8]}


def rows_of(path, **owner):
    """The rows of a CSV that have these values; none where there is no file."""
    if not Path(path).exists():
        return []
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if owner.items() <= row.items()]


def rows_of_network(path, digits=None):
    """The rows of one network in a CSV, by default of the one that the last row is of; none is an end with a sentence."""
    rows = rows_of(path)
    if rows := [row for row in rows if row["network"] == (digits or rows[-1]["network"])]:
        return rows
    sys.exit(f"{path} has no rows" + (f" of network {digits}" if digits else ""))


def whose(rows):
    """What these rows were measured on."""
    return f"`{rows[0]['model']}`, the network whose sha256 begins with {rows[0]['network']}"


class Program:
    """The built program on one model."""

    def __init__(self, arguments):
        self.path, self.model, self.threads = arguments.program, arguments.model, arguments.threads

    def call(self, *words):
        """What it says on standard output, None; or None and the sentence with which it refuses."""
        done = subprocess.run([str(w) for w in (self.path, *words)], capture_output=True, text=True)
        if done.returncode:
            return None, done.stderr.strip().removeprefix("driftless: ")
        return done.stdout, None

    def draw(self, samples, seed, *words):
        """States [samples][...], the run record; or None and the sentence with which it refuses."""
        with tempfile.TemporaryDirectory() as folder:
            out, record = Path(folder) / "x.npy", Path(folder) / "record.json"
            _, why = self.call("sample", self.model, "-n", samples, "--seed", seed, *words, "--microbatch", 32,
                               "--quiet", "--threads", self.threads, "--model-cache", ROOT / "build" / "model-cache",
                               "--json", record, "-o", out)
            return (None, why) if why else (np.load(out), json.loads(record.read_text()))

    def run(self, cell, samples, seed):
        solver, grid, nfe = cell
        budget = ["--grid", grid, "--nfe", nfe] if nfe else []
        return self.draw(samples, seed, "--solver", solver, *budget, "--t-end", T_END)

    def kept(self, cell, samples, seed):
        """Converged samples: drawn once for a network."""
        name = "-".join(map(str, (*identity(self.model).values(), cell[2], samples, seed)))
        path = ROOT / "build" / "solver-table" / f"{name}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            x, why = self.run(cell, samples, seed)
            if x is None:
                sys.exit(why)
            np.save(path, x)
        return np.load(path)


def flat(x):
    return x.reshape(len(x), -1).astype(float)


def sliced_wasserstein(x, y):
    """Root of the mean over 256 fixed directions of the squared 2-Wasserstein distance along them."""
    directions = np.random.default_rng(DIRECTION_SEED).normal(size=(256, x.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    a, b = np.sort(x @ directions.T, axis=0), np.sort(y @ directions.T, axis=0)
    return float(np.sqrt(((a - b) ** 2).mean()))


def frechet(x, y):
    """Frechet distance of two sets of features [n][d], covariances with n - 1."""
    mean = x.mean(axis=0) - y.mean(axis=0)
    a, b = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(a)
    half = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(half @ b @ half), 0)).sum()
    return float(mean @ mean + np.trace(a) + np.trace(b) - 2 * cross)


class Features:
    """The shipped classifier's features, and those of the test images."""

    def __init__(self, folder):
        import openvino
        core = openvino.Core()
        self.network = core.compile_model(Path(folder) / "network.onnx", "CPU",
                                          {"INFERENCE_PRECISION_HINT": "f32"})
        with gzip.open(TEST_IMAGES) as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
        self.real = self.of(pixels / np.float32(127.5) - 1)

    def of(self, images):
        # Samples are seen as the bytes that a picture holds.
        images = (np.clip(images, -1, 1) * 127.5 + 127.5).round().astype(np.float32) / np.float32(127.5) - 1
        parts = [self.network(images[i:i + 250].astype(np.float32))["features"]
                 for i in range(0, len(images), 250)]
        return np.concatenate(parts).astype(float)

    def distance(self, images):
        return frechet(self.of(images), self.real)


class Table:
    """A CSV of cells, tuples; each is added as it is finished. The owner, columns in front, is what all cells have in
    common: those of other owners stand in the file, too, and do not count. Costs need tuples that end in a number of
    evaluations."""

    def __init__(self, folder, name, fields, cells, key=("solver", "grid", "nfe"), owner=None):
        self.path, self.key, self.owner = Path(folder) / name, key, owner or {}
        self.fields = [*self.owner, *key, *fields, "note"]
        if self.path.exists():
            with open(self.path, newline="") as file:
                if (there := next(csv.reader(file), [])) != self.fields:
                    sys.exit(f"{self.path} has the columns {','.join(there)}, not {','.join(self.fields)}")
        self.done = {tuple(row[k] for k in key) for row in rows_of(self.path, **self.owner)}
        self.cells = [c for c in cells if self.lacks(c)]

    def lacks(self, cell):
        return tuple(map(str, cell)) not in self.done

    def cost(self, samples):
        return samples * sum(cell[-1] for cell in self.cells)

    def add(self, cell, **values):
        fresh = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, self.fields)
            if fresh:
                writer.writeheader()
            writer.writerow({**self.owner, **dict(zip(self.key, cell)), **values})
        self.done.add(tuple(map(str, cell)))
        print(f"{self.path.name} {len(self.done)}: {' '.join(map(str, cell))}:",
              *values.values(), file=sys.stderr)


def measure_distance(program, table, samples, _):
    truth = flat(program.kept(CONVERGED, samples, SEED))
    for cell in table.cells:
        x, record = program.run(cell, samples, SEED)
        if x is None:
            table.add(cell, note=record)
            continue
        table.add(cell, spent=record["run"]["nfe"], samples=samples, **distances(x, truth))


def measure_adaptive(program, table, samples, _):
    truth = flat(program.kept(CONVERGED, samples, SEED))
    for cell in table.cells:
        x, record = program.run(cell, samples, SEED)
        spent = record["adaptive"]["nfe"]
        table.add(cell, spent=spent["mean"], least=spent["min"], most=spent["max"], samples=samples, **distances(x, truth))


def distances(x, truth):
    each = np.sqrt(((flat(x) - truth) ** 2).mean(axis=1))
    return {"rms": f"{np.sqrt((each ** 2).mean()):.5f}", "median": f"{np.median(each):.5f}",
            "p90": f"{np.quantile(each, 0.9):.5f}"}


def measure_stochastic(program, table, samples, extractor):
    features = Features(extractor)
    reference = program.kept(REFERENCE, samples, OTHER_SEED)
    floor = ("(floor: the reference from other starts)", REFERENCE[1], REFERENCE[2])
    for cell in [c for c in (floor,) if table.lacks(c)] + table.cells:
        if cell is floor:
            x, record = program.kept(REFERENCE, samples, FLOOR_SEED), {"run": {"nfe": REFERENCE[2]}}
        else:
            x, record = program.run(cell, samples, SEED)
        if x is None:
            table.add(cell, note=record)
            continue
        table.add(cell, spent=record["run"]["nfe"], samples=samples,
                  sliced_wasserstein=f"{sliced_wasserstein(flat(x), flat(reference)):.5f}",
                  feature_distance=f"{features.distance(x):.2f}")


def measure_time(program, table, samples, _):
    for cell in table.cells:
        x, record = program.run(cell, samples, SEED)
        if x is None:
            table.add(cell, note=record)
            continue
        seconds = record["seconds"]
        table.add(cell, spent=record["run"]["nfe"], samples=samples,
                  seconds=f"{seconds['sample'] / samples:.5f}", network_seconds=f"{seconds['model'] / samples:.5f}")


TABLES = {  # file, columns, solvers, samples, what measures
    "adaptive": ("solvers-adaptive.csv", ["spent", "least", "most", "samples", "rms", "median", "p90"], ADAPTIVE, 256,
                 measure_adaptive),
    "distance": ("solvers.csv", ["spent", "samples", "rms", "median", "p90"], DETERMINISTIC, 256, measure_distance),
    "stochastic": ("solvers-stochastic.csv", ["spent", "samples", "sliced_wasserstein", "feature_distance"],
                   STOCHASTIC, 1000, measure_stochastic),
    "time": ("solvers-time.csv", ["spent", "samples", "seconds", "network_seconds"], DETERMINISTIC, 32, measure_time),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", choices=TABLES)
    parser.add_argument("--model", default=str(ROOT / "models" / "fashion-vp"))
    parser.add_argument("--features", default=str(ROOT / "models" / "fashion-classifier"),
                        help="folder of the network whose outputs are called features")
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    parser.add_argument("--samples", type=int, help="in place of the table's own number")
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: all, fewest on a busy machine")
    parser.add_argument("--nfe", default="5,6,8,10,12,15,20,50")
    parser.add_argument("--cost", action="store_true", help="print how much there is to do, and do nothing")
    parser.add_argument("-o", "--output", default=str(ROOT / "docs" / "results"))
    arguments = parser.parse_args()
    Path(arguments.output).mkdir(parents=True, exist_ok=True)
    for name in arguments.tables:
        file, fields, solvers, usual, measure = TABLES[name]
        samples = arguments.samples or usual
        budgets = [0] if name == "adaptive" else [int(n) for n in arguments.nfe.split(",")]
        table = Table(arguments.output, file, fields, [(s, g, n) for n in budgets for s, g in solvers],
                      owner=identity(arguments.model))
        cost = f"{table.cost(samples)} evaluations" if name != "adaptive" else f"20 to 200 evaluations for each of {samples} samples"
        print(f"{name}: {len(table.cells)} cells, {cost}", file=sys.stderr)
        if table.cells and not arguments.cost:
            measure(Program(arguments), table, samples, arguments.features)


if __name__ == "__main__":
    main()
