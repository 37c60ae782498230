"""Measures the deterministic solvers of phase space on analytic mixtures, whose score is exact.

    phase_mixtures.py PROGRAM RESULTS_FOLDER

writes phase-mixtures.csv (every result) and phase-mixtures.md (tables made from it). The starts, the
mixtures and so every number follow from the seeds below; 2 processes at a time, some minutes. NumPy only.
"""

import csv
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

STARTS, T_END, FINE = 256, 1e-3, 20000
NFES = [10, 20, 50, 100]
GRIDS = ["uniform", "power:kappa=2"]
PHASE = "psld:numerical_eps=0"
THIN = 0.1  # standard deviations below this make the directions that off-manifold noise is about

FIXED = (["euler", "heun"] + [f"splitting:scheme={s}" for s in ("nse", "rse", "nvv", "rvv")]
         + [f"deis:order={k},factor={f}" for f in ("cholesky", "flow") for k in range(4)])
SCALAR = [f"deis:order={k}" for k in (0, 2, 3)]  # on vp_linear, for comparison
WIDE = [-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6, 8]
SCANNED = {"conjugate:type=1": WIDE, "conjugate:type=2": WIDE,
           "conjugate:type=1,factor=flow": [-2, -1, -0.5, 0, 0.5, 1],
           "conjugate:type=2,factor=flow": [-2, -1, -0.5, 0, 0.5, 1],
           **{f"conjugate_splitting:scheme={s},type={t}": [0, 0.5, 1, 1.5, 2, 3, 4, 6]
              for s in ("cse", "cvv") for t in (1, 2)}}


def sixteen():
    """Six components in 16 dimensions, a quarter of the directions 0.03 wide."""
    rng = np.random.default_rng(16)
    means = rng.normal(0, 0.8, (6, 16))
    stds = rng.uniform(0.15, 0.6, (6, 16))
    for k in range(6):
        stds[k, rng.choice(16, 4, replace=False)] = 0.03
    return {"weights": [0.25, 0.2, 0.2, 0.15, 0.1, 0.1], "means": means.round(3).tolist(),
            "stds": stds.round(3).tolist()}


MIXTURES = {
    "public2d": {"weights": [0.5, 0.3, 0.2], "means": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]],
                 "stds": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]]},
    "thin2d": {"weights": [0.3, 0.3, 0.2, 0.2], "means": [[1, 0], [-1, 0], [0, 1.2], [0, -1.2]],
               "stds": [[0.03, 0.5], [0.03, 0.5], [0.5, 0.03], [0.5, 0.03]]},
    "mixed16d": sixteen(),
}


class Data:
    """A mixture, its starts, and the converged ends of its flow."""

    def __init__(self, name, folder):
        self.name, self.law = name, MIXTURES[name]
        self.path, self.folder = folder / f"{name}.json", folder
        self.path.write_text(json.dumps({"format": "driftless-mixture/1", **self.law}))
        self.means, self.stds = np.array(self.law["means"]), np.array(self.law["stds"])
        self.starts, self.truth = {}, {}
        for seed, use in enumerate(("tuning", "test")):
            z = np.random.default_rng(seed).standard_normal((STARTS, 2, self.means.shape[1]))
            self.starts[use, PHASE] = z * np.array([1, 0.5])[:, None]  # M = 1/4
            self.starts[use, "vp_linear"] = z[:, 0]

    def run(self, process, use, *options):
        """Samples, or None where the run ended in numbers that are not finite."""
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            np.save(f"{work}/z.npy", self.starts[use, process])
            done = subprocess.run(
                [PROGRAM, "sample", f"mixture:{self.path}", "--process", process, "--t-end", str(T_END),
                 "--denoise", "--dtype", "float64", "--init", f"{work}/z.npy", "-q", "-o",
                 f"{work}/x.npy", "--batch", str(STARTS), *map(str, options)], capture_output=True,
                text=True, check=False)
            if done.returncode and "finite" not in done.stderr:
                raise RuntimeError(done.stderr)
            return None if done.returncode else np.load(f"{work}/x.npy")

    def converge(self, process, use):
        """The truth, with what half the steps differ by."""
        solver = "heun" if process == PHASE else "deis:order=3"
        steps = FINE if process == PHASE else 1000
        fine, coarse = (self.run(process, use, "--solver", solver, "--steps", n)
                        for n in (steps, steps // 2))
        self.truth[use, process] = fine
        change = np.abs(fine - coarse).max(axis=1)
        return np.array([np.median(change), change.max()])

    def off_manifold(self, x):
        """Root of the median squared distance from the likeliest component, in units of its standard
        deviations, over its thin directions; None without any."""
        if self.stds.min() >= THIN:
            return None
        e = (x[:, None] - self.means) / self.stds
        with np.errstate(over="ignore"):
            logs = np.log(self.law["weights"]) - (e**2).sum(2) / 2 - np.log(self.stds).sum(1)
        nearest = logs.argmax(1)
        e, thin = e[np.arange(len(x)), nearest], (self.stds < THIN)[nearest]
        return float(np.sqrt(np.median((e**2 * thin).sum(1) / thin.sum(1))))

    def measure(self, process, use, grid, nfe, solver):
        x, truth = (self.run(process, use, "--solver", solver, "--grid", grid, "--nfe", nfe),
                    self.truth[use, process])
        row = {"mixture": self.name, "process": process.split(":")[0], "grid": grid, "nfe": nfe,
               "starts": use, "solver": solver, "median_x_error": "inf", "p90_x_error": "inf",
               "off_manifold": ""}
        if x is not None:
            error = np.sqrt(np.mean((x - truth)**2, axis=1))
            row["median_x_error"] = f"{np.median(error):.4g}"
            row["p90_x_error"] = f"{np.quantile(error, 0.9):.4g}"
            if self.off_manifold(truth) is not None:
                row["off_manifold"] = f"{self.off_manifold(x) / self.off_manifold(truth):.4g}"
        return row


def everything(pool, data):
    """All rows of one mixture: the scan on the tuning starts, then all solvers on the test starts with
    the best of each scan."""
    cells = [(grid, nfe) for grid in GRIDS for nfe in NFES]
    scan = [pool.submit(data.measure, PHASE, "tuning", grid, nfe, f"{s},lambda={lam}")
            for grid, nfe in cells for s, values in SCANNED.items() for lam in values]
    rows = [job.result() for job in scan]
    chosen = []
    for grid, nfe in cells:
        for s in SCANNED:
            mine = [r for r in rows if r["grid"] == grid and r["nfe"] == nfe
                    and r["solver"].startswith(f"{s},lambda=")]
            chosen.append((grid, nfe, min(mine, key=lambda r: float(r["median_x_error"]))["solver"]))
    tests = [pool.submit(data.measure, PHASE, "test", *c) for c in chosen]
    tests += [pool.submit(data.measure, PHASE, "test", grid, nfe, s) for grid, nfe in cells for s in FIXED]
    tests += [pool.submit(data.measure, "vp_linear", "test", grid, nfe, s)
              for grid, nfe in cells for s in SCALAR]
    return rows + [job.result() for job in tests]


# ---- the report ----------------------------------------------------------------------------------------


def rank(row, key):
    """Lower is better: of off-manifold noise 1 is the best, and half of it is as bad as twice."""
    value = float(row[key])
    return value if key != "off_manifold" else abs(np.log(value))


def family(row):
    return row["solver"].split(",lambda=")[0]


def cell_text(row, key, best):
    value = float(row[key])
    text = "diverged" if not np.isfinite(value) or value > 1e3 else f"{value:.2g}"
    if "e+" in text:
        text = f"{value:.0f}"
    if "lambda=" in row["solver"]:
        text += f" ({row['solver'].split('lambda=')[1]})"
    return f"**{text}**" if best else text


def table(rows, name, grid, key):
    mine = [r for r in rows if r["mixture"] == name and r["grid"] == grid and r["starts"] == "test"]
    lines = ["| solver | " + " | ".join(map(str, NFES)) + " |", "|---|" + "---|" * len(NFES)]
    best = {n: min(rank(r, key) for r in mine if r["nfe"] == n and r["process"] == "psld") for n in NFES}
    seen = []
    for row in mine:
        label = (row["process"], family(row))
        if label in seen:
            continue
        seen.append(label)
        cells = [next(r for r in mine if (r["process"], family(r)) == label and r["nfe"] == n)
                 for n in NFES]
        texts = [cell_text(c, key, c["process"] == "psld" and rank(c, key) == best[c["nfe"]])
                 for c in cells]
        prefix = "" if label[0] == "psld" else f"{label[0]}: "
        lines.append(f"| {prefix}{label[1]} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def winners(rows, key):
    """One line for each mixture and budget: the best solver over both grids, and the best from the
    literature (no deis, no flow)."""
    lines = []
    for name in MIXTURES:
        for nfe in NFES:
            mine = [r for r in rows if r["mixture"] == name and r["nfe"] == nfe and r["starts"] == "test"
                    and r["process"] == "psld" and r[key]]
            if not mine:
                continue
            theirs = [r for r in mine if "deis" not in r["solver"] and "flow" not in r["solver"]]
            cells = [min(group, key=lambda r: rank(r, key)) for group in (mine, theirs)]
            text = " | ".join(f"{c['solver']}, {c['grid']} | {float(c[key]):.2g}" for c in cells)
            lines.append(f"| {name} | {nfe} | {text} |")
    head = "| mixture | NFE | best | | best without deis and flow | |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(lines)


def report(rows, converged):
    parts = [
        "# Phase space on analytic mixtures", "",
        "Made by `scripts/phase_mixtures.py PROGRAM docs/results`; every number, the whole scan of lambda "
        "included, is in `phase-mixtures.csv`. The text around these tables is in `../phase-space.md`.", "",
        f"PSLD with its defaults and numerical_eps = 0, {STARTS} starts, float64, from t = 1 to "
        f"{T_END:g} and the last step; NFE counts it. Error: median over starts of the root mean square "
        f"error of x against Heun's method with {FINE} steps from the same start (which half as many "
        f"steps change by {converged[0]:.0e} in the median, by {converged[1]:.0e} at most). In "
        "brackets: lambda, the best of the scan on "
        f"{STARTS} other starts. Bold: the best of phase space. vp_linear rows: the same data by VP "
        "diffusion, against VP's own converged ends.", "",
        "**This ranks integrators by accuracy for a perfect network. It is not FID, and says nothing "
        "about how a trained network's errors act.**", "",
        "## Winners: median error of x", "", winners(rows, "median_x_error"), "",
        "## Winners: off-manifold noise", "",
        "Root of the median squared distance from the likeliest component over the directions that are "
        "0.03 wide, relative to the converged samples: 1 is perfect, below it samples are drawn together "
        "too much. public2d has no such directions.", "",
        winners(rows, "off_manifold"), ""]
    for name in MIXTURES:
        for grid in GRIDS:
            parts += [f"## {name}, {grid}: median error of x", "", table(rows, name, grid, "median_x_error"), ""]
            if any(r["off_manifold"] for r in rows if r["mixture"] == name):
                parts += [f"## {name}, {grid}: off-manifold noise", "",
                          table([{**r, "off_manifold": r["off_manifold"] or "inf"} for r in rows],
                                name, grid, "off_manifold"), ""]
    return "\n".join(parts)


def main():
    target, rows, converged = Path(sys.argv[2]), [], np.zeros(2)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        for name in MIXTURES:
            data = Data(name, Path(folder))
            for use, process in data.starts:
                converged = np.maximum(converged, data.converge(process, use))
            rows += everything(pool, data)
            print(f"{name}: {len(rows)} results so far", flush=True)
    with open(target / "phase-mixtures.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (target / "phase-mixtures.md").write_text(report(rows, converged), encoding="utf-8")


if __name__ == "__main__":
    PROGRAM = str(Path(sys.argv[1]).resolve())
    main()
