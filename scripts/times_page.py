#!/usr/bin/env python3
"""The page and the plot of the table of diffusion times: times_page.py [FOLDER] [--network DIGITS]

Reads what scripts/times_table.py wrote to FOLDER (docs/results), times.csv, and writes times.md, times.svg
and times.png. Every cell measured on one network is in them: on that of the last row, or on the one that
--network names. Needs matplotlib."""

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "driftless"  # the same file every time
import matplotlib.pyplot as plt  # noqa: E402

from solver_page import link, parsed, save  # noqa: E402
from solver_table import rows_of_network, whose  # noqa: E402
from times_table import SOLVERS  # noqa: E402

STARTS = {  # as tables and legends call them, with a colour
    "noise": ("N(0, I)", "C3"),
    "flow": ("flow map of its Gaussian", "C4"),
    "gauss": ("one Gaussian a class", "C2"),
    "mixture": ("mixture a class", "C0"),
    "images": ("held-out images, noised", "0.4"),
}
ALONE = {"images": "held-out images", "mixture": "mixture a class", "gauss": "one Gaussian a class"}


class Cells:
    """times.csv of one network: value(start, time, solver, nfe) of a column."""

    def __init__(self, rows):
        self.whose = whose(rows)
        self.rows = {(r["start"], r["t_start"], r["solver"], int(r["nfe"])): r for r in rows}
        self.samples = rows[0]["samples"]
        run = [key for key in self.rows if key[2] != "alone"]
        self.times = sorted({key[1] for key in run}, key=float)
        self.solvers = sorted({key[2] for key in run})
        self.budgets = sorted({key[3] for key in run})
        self.starts = [s for s in STARTS if any(key[0] == s for key in run)]
        self.alone = [s for s in ALONE if (s, "0", "alone", 0) in self.rows]

    def text(self, key, column):
        return self.rows.get(key, {}).get(column, "")

    def value(self, key, column="feature_distance"):
        text = self.text(key, column)
        return float(text) if text else None

    def best(self, nfe, times):
        """The least distance of a budget and its cell, noised held-out images aside; or None."""
        found = [(v, key) for key in self.rows if key[3] == nfe and key[0] != "images" and key[1] in times
                 and (v := self.value(key)) is not None]
        return min(found, default=None)


def plot(cells, path):
    figure, axes = plt.subplots(1, len(cells.budgets), figsize=(max(11, 3.6 * len(cells.budgets)), 5.5),
                                sharey=True, layout="constrained", squeeze=False)
    places = range(len(cells.times))
    for axis, nfe in zip(axes[0], cells.budgets):
        for start in cells.starts:
            name, colour = STARTS[start]
            for solver, style in zip(cells.solvers, (":", "-")):
                points = [(i, v) for i, t in enumerate(cells.times)
                          if (v := cells.value((start, t, solver, nfe))) is not None]
                if points:
                    axis.semilogy(*zip(*points), style, color=colour, marker="o", markersize=3,
                                  label=f"{name}, {solver.split(':')[0]}")
        for start in cells.alone:
            axis.axhline(cells.value((start, "0", "alone", 0)), color=STARTS[start][1], linewidth=0.8, dashes=(6, 3),
                         label=f"{ALONE[start]}, no network")
        axis.set_title(f"{nfe} evaluations", fontsize=10)
        axis.set_xticks(places, cells.times)
        axis.grid(alpha=0.3)
        axis.set_xlabel("T")
    axes[0][0].yaxis.set_minor_locator(matplotlib.ticker.LogLocator(subs=(2, 3, 5)))
    for which in (axes[0][0].yaxis.set_major_formatter, axes[0][0].yaxis.set_minor_formatter):
        which("{x:.0f}")
    axes[0][0].set_ylabel("Fréchet distance of features to test images")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    save(figure, path)


def head(first, columns):
    yield "| " + " | ".join([*first, *map(str, columns)]) + " |"
    yield "|" + "---|" * (len(first) + len(columns))


def distances(cells, solver):
    yield from head(["start", "T"], cells.budgets)
    for start in cells.starts:
        for t in cells.times:
            values = [cells.value((start, t, solver, n)) for n in cells.budgets]
            if any(v is not None for v in values):
                shown = ["" if v is None else f"{v:.1f}" for v in values]
                yield f"| {STARTS[start][0]} | {t} | " + " | ".join(shown) + " |"


def winners(cells):
    yield from head(["evaluations"], ["best below T = 1", "distance", "best from N(0, I) at T = 1", "distance"])
    for nfe in cells.budgets:
        short = cells.best(nfe, [t for t in cells.times if t != "1"])
        full = min(((v, s) for s in cells.solvers if (v := cells.value(("noise", "1", s, nfe))) is not None),
                   default=None)
        if short and full:
            (start, t, solver, _) = short[1]
            yield (f"| {nfe} | {STARTS[start][0]}, T = {t}, `{solver}` | {short[0]:.1f} | `{full[1]}` | "
                   f"{full[0]:.1f} |")


def nearest(cells):
    columns = ("pixel_median", "pixel_low", "pixel_nearer", "feature_median", "feature_nearer")
    yield from head(["start", "T", "evaluations"],
                    ["pixels: median", "5 %", "nearer, %", "features: median", "nearer, %"])
    keys = [(s, "0", "alone", 0) for s in cells.alone]
    keys += [(s, t, cells.solvers[-1], n) for s in cells.starts for t in cells.times
             for n in (cells.budgets[0], cells.budgets[-1])]
    for key in dict.fromkeys(keys):
        if cells.text(key, columns[0]):
            start, t, _, nfe = key
            words = [ALONE[start], "", "0"] if nfe == 0 else [STARTS[start][0], t, str(nfe)]
            yield "| " + " | ".join(words + [cells.text(key, c) for c in columns]) + " |"


def page(cells, folder):
    yield from ["# Shorter diffusion times", "",
                f"Measured on {cells.whose}, by `scripts/times_table.py`; `scripts/times_page.py` made this page, and the "
                "numbers are in `times.csv`. "
                f"From T to 0.001, {' and '.join(f'`{s}` on `{g}`' for s, g in SOLVERS.items())} "
                f"(the better grids at T = 1 on the bootstrap network), {cells.samples} samples with labels i mod 10, "
                "seed 1, float32. Distance: Fréchet distance of the 128 features of `models/fashion-classifier` to the test "
                "images that are not among the held-out ones; biased upwards by the small number of samples, not comparable "
                "to published FIDs, nor to tables with another reference. "
                f"[diffusion-times.md]({link(folder, 'diffusion-times.md')}) has the "
                f"method, [priors.md]({link(folder, 'priors.md')}) the densities.", "",
                "- **N(0, I)**: noise, whatever T is. At T = 1 the usual run.",
                "- **one Gaussian a class**, **mixture a class**: priors fitted to the clean training images (`prior fit "
                "--labels LABELS`, with `--kind gauss` and `--kind pcagmm --components 10`).",
                "- **flow map**: the flow of the class's Gaussian from noise at t = 1, by which one seed stays one image. At "
                "T = 1 it is N(0, I).",
                "- **held-out images, noised**: the first test images of each class as a x + b n. No start density does "
                "better, up to chance: what is missing to the held-out images themselves is the network's and the "
                "solver's. They are no sampler.", "",
                "Without the network (T = 0, no evaluation):", ""]
    yield from head(["samples"], ["distance"])
    for start in cells.alone:
        yield f"| {ALONE[start]} | {cells.value((start, '0', 'alone', 0)):.1f} |"
    yield from ["", "The first is the floor: real images that neither network nor priors have seen.", "",
                "![](times.svg)", "", "## The best of each budget", ""]
    yield from winners(cells)
    for solver in cells.solvers:
        yield from ["", f"## `{solver}`", ""]
        yield from distances(cells, solver)
    yield from ["", "## Nearest training images", "",
                "Root mean square distance to the nearest of the 60 000 training images, in pixels from -1 to 1 and in "
                "features: the median over samples; the distance that 5 % of samples fall below; and how many samples, in per "
                "cent, are nearer than all but 5 % of the held-out images. Copies would show as far more than 5 %. "
                f"`{cells.solvers[-1]}`, least and largest budget.", ""]
    yield from nearest(cells)
    refused = [f"- {' '.join(map(str, key))}: {row['note']}" for key, row in cells.rows.items() if row["note"]]
    if refused:
        yield from ["", "Refused:", "", *refused]


def main():
    arguments = parsed(__doc__)
    folder = arguments.folder
    cells = Cells(rows_of_network(folder / "times.csv", arguments.network))
    plot(cells, folder / "times")
    (folder / "times.md").write_text("\n".join(page(cells, folder)) + "\n")


if __name__ == "__main__":
    main()
