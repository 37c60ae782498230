#!/usr/bin/env python3
"""The page and the plots of the solver tables: solver_page.py [FOLDER] [--network DIGITS]

Reads what scripts/solver_table.py wrote to FOLDER (docs/results) and writes solvers.md, solvers.svg and
solvers.png, and the same for the stochastic ones. Every cell measured on one network is in them: on that of the
last row, or on the one that --network names. Needs matplotlib."""

import argparse
import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "driftless"  # the same file every time
import matplotlib.pyplot as plt  # noqa: E402

from solver_table import rows_of, rows_of_network, whose  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = {  # title of a panel: how the solvers in it begin
    "DDIM, Euler, Heun, conjugate": ("ddim", "euler", "heun", "conjugate"),
    "DEIS in t, DEIS-SN": ("deis:order", "deis_sn"),
    "DEIS in rho and log rho, iPNDM, rhoRK": ("deis:kind", "rhork"),
    "SciRE-Solver": ("scire",),
    "DPM-Solver, DPM-Solver++": ("dpm:",),
    "UniPC": ("unipc",),
}


class Cells:
    """A table of one network: value(key, nfe) of a column, keys being (solver, grid) in their order."""

    def __init__(self, rows):
        self.whose = whose(rows)
        self.rows = {(r["solver"], r["grid"], int(r["nfe"])): r for r in rows}
        # The reference from other starts stands among the cells, with a name in brackets.
        self.floor = next((row for key, row in self.rows.items() if key[0].startswith("(")), None)
        cells = [key for key in self.rows if not key[0].startswith("(")]
        self.budgets = sorted({nfe for _, _, nfe in cells})
        self.keys = list(dict.fromkeys((solver, grid) for solver, grid, _ in cells))

    def value(self, key, nfe, column):
        text = self.rows.get((*key, nfe), {}).get(column)
        return float(text) if text else None

    def complete(self, nfe):
        return all((*key, nfe) in self.rows for key in self.keys)

    def best(self, nfe, column):
        return min(v for k in self.keys if (v := self.value(k, nfe, column)) is not None)

    def curve(self, key, column):
        points = [(n, v) for n in self.budgets if (v := self.value(key, n, column)) is not None]
        return zip(*points) if points else ((), ())

    def lines(self, column, digits):
        """The table as Markdown; the best of a budget in bold."""
        yield "| solver | grid | " + " | ".join(map(str, self.budgets)) + " |"
        yield "|---|---|" + "---|" * len(self.budgets)
        best = {n: self.best(n, column) if self.complete(n) else None for n in self.budgets}
        for key in self.keys:
            shown = []
            for n in self.budgets:
                value = self.value(key, n, column)
                text = "" if value is None else f"{value:.{digits}g}"
                if (*key, n) in self.rows and value is None:
                    text = "refused"
                shown.append(f"**{text}**" if value is not None and value == best[n] else text)
            yield f"| `{key[0]}` | `{key[1]}` | " + " | ".join(shown) + " |"

    def winners(self, column, digits, first=3):
        yield "| evaluations | " + " | ".join(f"{i + 1}." for i in range(first)) + " |"
        yield "|---|" + "---|" * first
        for n in filter(self.complete, self.budgets):
            ranked = sorted((v, k) for k in self.keys if (v := self.value(k, n, column)) is not None)
            yield f"| {n} | " + " | ".join(f"`{s}`, `{g}`: {v:.{digits}g}"
                                           for v, (s, g) in ranked[:first]) + " |"

    def refusals(self):
        """The end of a page: what was refused and why; nothing where nothing was."""
        refused = [f"- `{solver}`, `{grid}`, {nfe}: {row['note']}"
                   for (solver, grid, nfe), row in self.rows.items() if row["note"]]
        return ["", "Refused:", "", *refused] if refused else []


def link(folder, page):
    """From a page in a folder to one in docs."""
    return os.path.relpath(ROOT / "docs" / page, folder)


def parsed(doc):
    """Options that all such pages have."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "results", help="of the tables, and for the page")
    parser.add_argument("--network", metavar="DIGITS", help="whose rows are shown; that of the last row")
    return parser.parse_args()


def label(key):
    """A solver's options without its family's common ones."""
    return f"{key[0]} ({key[1].split(':')[0]})"


def plot_distance(cells, path):
    figure, axes = plt.subplots(3, 2, figsize=(13, 15), sharex=True, sharey=True, layout="constrained")
    for axis, (title, starts) in zip(axes.flat, FAMILIES.items()):
        for key in cells.keys:
            axis.loglog(*cells.curve(key, "rms"), color="0.88", linewidth=1, zorder=1)
        mine = [k for k in cells.keys if k[0].startswith(starts)]
        for i, key in enumerate(mine):
            axis.loglog(*cells.curve(key, "rms"), ("-", "--", ":")[i // 10], marker="o", markersize=3,
                        color=f"C{i % 10}", label=label(key), zorder=2)
        axis.set_title(title, fontsize=10)
        axis.set_ylim(1e-4, 30)  # room for the legend
        axis.set_xticks(cells.budgets, [str(n) for n in cells.budgets])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=6.5, loc="lower left")
    figure.supxlabel("network evaluations")
    figure.supylabel("RMS distance to the converged solution")
    save(figure, path)


def plot_stochastic(cells, path):
    figure, axes = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
    columns = {"sliced_wasserstein": "sliced Wasserstein distance to converged samples",
               "feature_distance": "Fréchet distance of features to the test images"}
    floor = cells.floor
    for axis, (column, title) in zip(axes, columns.items()):
        for i, key in enumerate(cells.keys):
            axis.loglog(*cells.curve(key, column), ("-", "--")[i // 10], marker="o", markersize=3,
                        color=f"C{i % 10}", label=label(key))
        if floor:
            axis.axhline(float(floor[column]), color="0.5", linewidth=1, linestyle=":",
                         label="converged samples from other starts")
        axis.set_title(title, fontsize=10)
        axis.set_xticks(cells.budgets, [str(n) for n in cells.budgets])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.set_xlabel("network evaluations")
    axes[1].legend(fontsize=7)
    save(figure, path)


def save(figure, path):
    for ending in ("svg", "png"):
        figure.savefig(path.with_suffix("." + ending), dpi=100, metadata={"Date": None} if ending == "svg" else {})
    plt.close(figure)


def distance_page(cells, folder):
    samples = next(iter(cells.rows.values()))["samples"]
    plot_distance(cells, folder / "solvers")
    yield from ["# Deterministic solvers", "",
                f"Measured on {cells.whose}, by `scripts/solver_table.py distance`; `scripts/solver_page.py` made "
                "this page, and the numbers, also medians, are in `solvers.csv`. From t = 1 to 0.001, "
                f"{samples} samples with labels i mod 10, seed 1, float32. Root mean square distance per pixel (pixels "
                "from -1 to 1) to the converged solution from the same starts: `deis:order=3`, `power:kappa=2`, 250 "
                "evaluations. Budgets are limits: a solver whose steps take several evaluations spends what fits "
                "(column `spent` of the CSV). Empty: not measured yet.", "", "![](solvers.svg)", "", "## The three best", ""]
    yield from cells.winners("rms", 3)
    yield from ["", "## All", ""]
    yield from cells.lines("rms", 3)
    yield from cells.refusals()


def stochastic_page(cells, folder):
    samples = next(iter(cells.rows.values()))["samples"]
    plot_stochastic(cells, folder / "solvers-stochastic")
    floor = cells.floor
    yield from ["# Stochastic solvers", "",
                f"Measured on {cells.whose}, by `scripts/solver_table.py stochastic`; `scripts/solver_page.py` made this "
                f"page, and the numbers are in `solvers-stochastic.csv`. From t = 1 to 0.001, {samples} samples with labels i "
                "mod 10, one seed; deterministic solvers beside them. Two measures:", "",
                "- sliced Wasserstein-2 distance (256 directions, pixels from -1 to 1) to as many converged samples from "
                "other starts (`deis:order=3`, 100 evaluations): how near to what this network means;",
                "- Fréchet distance of the 128 features of `models/fashion-classifier` to the 10 000 test images: how near to "
                "the data, biased upwards by the small number of samples. Not comparable to published FIDs.", "",
                f"Floor, converged samples from a third set of starts: {float(floor['sliced_wasserstein']):.3g} and "
                f"{float(floor['feature_distance']):.3g}. Differences of a few per cent are noise." if floor else "",
                "", "![](solvers-stochastic.svg)", "", "## Sliced Wasserstein distance", ""]
    yield from cells.lines("sliced_wasserstein", 3)
    yield from ["", "## Fréchet distance of features", ""]
    yield from cells.lines("feature_distance", 3)
    yield from cells.refusals()


def time_page(cells):
    yield from ["", "## Time", "",
                "Milliseconds per sample (network and solver, `scripts/solver_table.py time`, 32 samples, two threads), and "
                "the solver's own share of it in per cent, for the budget of 10:", "",
                "| solver | grid | ms | solver % |", "|---|---|---|---|"]
    for key in cells.keys:
        seconds, network = (cells.value(key, 10, c) for c in ("seconds", "network_seconds"))
        if seconds:
            yield f"| `{key[0]}` | `{key[1]}` | {1e3 * seconds:.1f} | {100 * (1 - network / seconds):.2f} |"


def adaptive_page(cells):
    yield from ["", "## Adaptive steps", "",
                "`ode45` chooses its steps sample by sample; the same distance, and the evaluations that the samples took "
                "(`scripts/solver_table.py adaptive`).", "",
                "| tolerance | evaluations: mean | least | most | RMS | median | 90 % |", "|---|---|---|---|---|---|---|"]
    for (solver, _, _), row in cells.rows.items():
        yield f"| `{solver}` | " + " | ".join(
            f"{float(row[c]):.3g}" for c in ("spent", "least", "most", "rms", "median", "p90")) + " |"


def main():
    arguments = parsed(__doc__)
    folder = arguments.folder
    for name, page in (("solvers", distance_page), ("solvers-stochastic", stochastic_page)):
        if (folder / f"{name}.csv").exists():
            rows = rows_of_network(folder / f"{name}.csv", arguments.network)
            lines = list(page(Cells(rows), folder))
            for part, more in (("adaptive", adaptive_page), ("time", time_page)) if name == "solvers" else ():
                if others := rows_of(folder / f"solvers-{part}.csv", network=rows[0]["network"]):
                    lines += more(Cells(others))
            (folder / f"{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
