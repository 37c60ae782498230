#!/usr/bin/env python3
"""The pages and plots of the tables of fitted plans: fitted_page.py [FOLDER] [--network DIGITS]

Reads what scripts/fitted_distance.py, fitted_quality.py, fitted_sensitivity.py and fitted_transfer.py wrote to FOLDER
(docs/results) and writes for each model fitted-MODEL.md, and fitted-MODEL.svg and .png if there are distances. Of a
model whose network was replaced that of the last row is shown, in the first of these tables that has any; with
--network that one, and no other model. Needs matplotlib."""

import json
import sys
from collections import defaultdict

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "driftless"  # the same file every time
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from fitted_distance import DISTANCE, FIRST, GRIDS, MARGIN, SCREENED, SCREENING, SOLVERS  # noqa: E402
from fitted_quality import CONVERGED, METRICS, QUALITY  # noqa: E402
from fitted_sensitivity import FEW, SENSITIVITY, USUAL  # noqa: E402
from fitted_transfer import TRANSFER  # noqa: E402
from solver_page import link, parsed, save  # noqa: E402
from solver_table import rows_of, whose  # noqa: E402
from times_page import head  # noqa: E402

WITHIN, AT, FEWER = 1.15, 5, 3  # the targets: evaluations, and how near to the converged sampler
NAMED = 3  # classical solvers of a budget that the plot of features names, the best
TOP = 2  # of the plot of errors: samples of norm one that are farther off are no samples
FILES = {"distance": DISTANCE, "screening": SCREENING, "quality": QUALITY, "sensitivity": SENSITIVITY,
         "transfer": TRANSFER}


class Measured:
    """The rows of one network of a model, the last one if none is named, by table and case."""

    def __init__(self, folder, model, network=None):
        tables = {name: rows_of(folder / file, model=model) for name, file in FILES.items()}
        last = next(rows[-1] for rows in tables.values() if rows)
        self.model, self.network = model, network or last["network"]
        self.others = sum(r["network"] != self.network for rows in tables.values() for r in rows)
        self.tables = {name: [r for r in rows if r["network"] == self.network] for name, rows in tables.items()}

    def cases(self, table):
        return list(dict.fromkeys(r["case"] for r in self.tables[table]))

    def rows(self, table, case, nfe=None):
        """Rows that were measured: refusals have a note and no number."""
        return [r for r in self.tables[table] if r["case"] == case and (nfe is None or int(r["nfe"]) == nfe)
                and any(r.get(c) for c in ("rms", "fid"))]

    def plans(self, case, nfe=None):
        return [r for r in self.rows("distance", case, nfe) if r["solver"] not in SOLVERS and r["solver"][0] != "("]

    def classical(self, case, nfe=None):
        """Of a budget the best first."""
        rows = [r for r in self.rows("distance", case, nfe) if r["solver"] in SOLVERS]
        return sorted(rows, key=lambda r: (int(r["nfe"]), float(r["rms"])))

    def budgets(self, table, case):
        """The converged solution aside."""
        return sorted({int(r["nfe"]) for r in self.rows(table, case)
                       if not r.get("solver", r.get("sampler", "")).startswith(("(", CONVERGED))})


def quality(measured, case):
    """{(sampler, grid, nfe): {metric: values over seeds}} of the number of samples that most cells have, and of the
    seeds that all of these have, where there are any: means over other seeds do not compare."""
    rows = measured.rows("quality", case)
    counts = [r["samples"] for r in rows]
    most = max(counts, key=lambda n: (counts.count(n), int(n)), default=None)
    seeds = defaultdict(set)
    for row in (rows := [r for r in rows if r["samples"] == most]):
        seeds[row["sampler"], row["grid"], row["nfe"]].add(row["seed"])
    common = set.intersection(*seeds.values()) if seeds else set()
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if not common or row["seed"] in common:
            for metric in METRICS:
                found[row["sampler"], row["grid"], int(row["nfe"])][metric].append(float(row[metric]))
    return most, found


def told(values, digits):
    """Mean and standard deviation over seeds."""
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean


def is_plan(sampler):
    return sampler not in SOLVERS and sampler != CONVERGED


def verdict(met, *words):
    return f"- **{'met' if met else 'missed'}**: {' '.join(words)}"


def targets(measured, case):
    """What is wanted, and whether the numbers say so."""
    samples, found = quality(measured, case)
    fid = {key: np.mean(values["fid"]) for key, values in found.items()}
    converged = next((v for (s, _, _), v in fid.items() if s == CONVERGED), None)
    plans = {n: min(((v, s) for (s, _, k), v in fid.items() if is_plan(s) and k == n), default=None)
             for n in (FEWER, AT)}
    classical = sorted((v, s, g) for (s, g, n), v in fid.items() if s in SOLVERS and n == AT)
    if plans[AT] and converged is not None:
        value, name = plans[AT]
        yield verdict(value <= WITHIN * converged, f"at {AT} evaluations within {100 * (WITHIN - 1):.0f} % of the converged",
                      f"sampler's feature distance: `{name}` {value:.2f}, converged {converged:.2f}, so",
                      f"{round(100 * (value / converged - 1)):+d} % ({samples} samples).")
    else:
        yield f"- not measured: feature distance at {AT} evaluations beside the converged sampler's."
    if plans[FEWER] and classical:
        (value, name), (other, solver, grid) = plans[FEWER], classical[0]
        yield verdict(value < other, f"at {FEWER} evaluations better in feature distance than the best of",
                      f"{len(classical)} classical solvers at {AT}: `{name}` {value:.2f}, `{solver}` on `{grid}`",
                      f"{other:.2f} ({samples} samples).")
    else:
        yield f"- not measured: feature distance at {FEWER} evaluations beside classical solvers at {AT}."
    mine, best = measured.plans(case, FEWER), measured.classical(case, AT)
    if mine and best:
        plan = min(mine, key=lambda r: float(r["rms"]))
        yield verdict(float(plan["rms"]) < float(best[0]["rms"]),
                      f"at {FEWER} evaluations nearer to the converged solution than the best of {len(best)} classical",
                      f"solvers at {AT}: RMS `{plan['solver']}` {float(plan['rms']):.3f}, `{best[0]['solver']}` on",
                      f"`{best[0]['grid']}` {float(best[0]['rms']):.3f}.")
    else:
        yield f"- not measured: RMS at {FEWER} evaluations beside classical solvers at {AT}."


def distance_part(measured, case):
    budgets = measured.budgets("distance", case)
    rows = measured.rows("distance", case)
    samples = next(r["samples"] for r in rows if r["solver"][0] != "(")
    yield from ["", "### Distance to the converged solution", "",
                f"RMS per number of {samples} samples from the same starts (seed 1; `scripts/fitted_distance.py`). Each "
                f"classical solver is on the grid that was best for it at the budget, chosen among {len(GRIDS)} by "
                f"{SCREENED} other starts (seed 2): " + ", ".join(f"`{g}`" for g in GRIDS) + f". A grid {MARGIN} times as far as the "
                f"best from the first {FIRST} of them was not tried further."]
    for row in rows:
        if row["solver"][0] == "(":
            yield (f"The converged solution is that of {row['note']}; {row['solver'][1:-1]} on {row['grid']}, {row['nfe']} "
                   f"evaluations, differs from it by {float(row['rms']):.4f} ({row['samples']} starts).")
    yield ""
    yield from head(["evaluations", "plan", "RMS", "median", "90 %"], ["best classical, RMS", "second", "third"])
    for nfe in budgets:
        best = [f"{float(r['rms']):.3f} `{r['solver']}` on `{r['grid']}`" for r in measured.classical(case, nfe)[:3]]
        best += [""] * (3 - len(best))
        for plan in measured.plans(case, nfe) or [None]:
            words = [plan["solver"], *(f"{float(plan[c]):.3f}" for c in ("rms", "median", "p90"))] if plan else [""] * 4
            yield f"| {nfe} | " + " | ".join(words + best) + " |"
    yield from ["", "Every solver, RMS and its grid:", ""]
    yield from head(["solver"], budgets)
    shown = {(r["solver"], int(r["nfe"])): r for r in measured.classical(case)}
    best = {n: measured.classical(case, n)[:1] for n in budgets}
    for solver in [s for s in SOLVERS if any((s, n) in shown for n in budgets)]:
        words = []
        for n in budgets:
            row = shown.get((solver, n))
            text = f"{float(row['rms']):.3g} {row['grid'].replace('power:kappa=', 't^1/')}" if row else ""
            words.append(f"**{text}**" if row and row in best[n] else text)
        yield f"| `{solver}` | " + " | ".join(words) + " |"
    notes = defaultdict(list)
    for row in measured.tables["screening"]:
        if row["case"] == case and row["note"] and not row["rms"]:
            notes[row["note"]].append(f"`{row['solver']}` on `{row['grid']}` with {row['nfe']}")
    if notes:
        yield from ["", "Refused, and so not among them:", ""]
        yield from (f"- {len(cells)} cells, the first {cells[0]}: {note}" for note, cells in notes.items())


def quality_part(measured, case):
    samples, found = quality(measured, case)
    seeds = max(len(values["fid"]) for values in found.values())
    yield from ["", "### Samples as features see them", "",
                f"`driftless eval` on {samples} samples, {seeds} seeds (`scripts/fitted_quality.py`): mean and standard deviation "
                "over seeds. The distance is biased upwards by the number of samples: it compares within this table "
                "only.", ""]
    yield from head(["sampler", "grid", "evaluations"], ["distance", *METRICS[1:]])
    for (sampler, grid, nfe), values in sorted(found.items(), key=lambda item: (item[0][2], np.mean(item[1]["fid"]))):
        grid = "its own" if is_plan(sampler) else f"`{grid}`"
        name = f"`{sampler}`" if sampler in SOLVERS else f"**{sampler}**"
        yield (f"| {name} | {grid} | {nfe} | {told(values['fid'], 2)} | "
               + " | ".join(told(values[m], 3) for m in METRICS[1:]) + " |")


def sensitivity_part(measured, case):
    rows = {(int(r["starts"]), int(r["history"]), r["ridge"], int(r["nfe"]), r["grid"]): float(r["rms"])
            for r in measured.rows("sensitivity", case)}
    samples = measured.rows("sensitivity", case)[0]["samples"]
    starts, history, ridge = USUAL
    fits = sorted({key[3:] for key in rows})
    yield from ["", "### Starts, history, ridge", "",
                f"RMS to the converged solution, {samples} samples of seed 1, of plans that differ from {starts} fitting starts, "
                f"K = {history}, r = {ridge} in what heads the table (`scripts/fitted_sensitivity.py`). Grids: "
                + "; ".join(f"{n} evaluations {grid_told(g)}" for n, g in fits) + "."]

    def line(name, keys, n, g):
        if any((*key, n, g) in rows for key in keys):
            numbers = [rows.get((*key, n, g)) for key in keys]
            yield f"| {name} | " + " | ".join("" if v is None else f"{v:.4f}" for v in numbers) + " |"

    of = [sorted({key[place] for key in rows}, key=float) for place in range(3)]
    yield from ["", *head(["starts"], of[0])]
    for n, g in fits:
        yield from line(f"{n} evaluations", [(s, history, ridge) for s in of[0]], n, g)
    for title, place in (("K", 1), ("r", 2)):
        yield from ["", *head([title], of[place])]
        for n, g in fits:
            for count in (FEW, starts):
                keys = [(count, s, ridge) if place == 1 else (count, history, s) for s in of[place]]
                yield from line(f"{n} evaluations, {count} starts", keys, n, g)


def grid_told(grid):
    """Times of a list with as many digits as one reads."""
    kind, _, times = grid.partition("list:times=")
    return f"`{grid}`" if kind or not times else "at " + ", ".join(f"{t:.3g}" for t in json.loads(times))


def transfer_part(measured, folder):
    rows = [r for r in measured.tables["transfer"] if r["rms"]]
    samples = rows[0]["samples"]
    yield from ["", "## Transfer", "",
                f"RMS to the converged solution of the case that a plan is used in (lines), {samples} samples of seed 1, by what "
                "it was fitted to (columns); in bold the plan of the very case. Beside them the best classical "
                "solver of the case on its best grid (`scripts/fitted_transfer.py`)."]
    own = (measured.model, measured.network)
    for nfe in sorted({int(r["nfe"]) for r in rows}):
        mine = [r for r in rows if int(r["nfe"]) == nfe]
        origins = list(dict.fromkeys((r["of_model"], r["of_network"], r["of_case"]) for r in mine))
        names = [case if (model, network) == own else f"{model}, {case}" for model, network, case in origins]
        yield from ["", f"{nfe} evaluations:", "", *head(["used in"], [*names, "best classical"])]
        for case in dict.fromkeys(r["case"] for r in mine):
            errors = {(r["of_model"], r["of_network"], r["of_case"]): f"{float(r['rms']):.3f}" for r in mine if r["case"] == case}
            if (*own, case) in errors:
                errors[*own, case] = f"**{errors[*own, case]}**"
            best = measured.classical(case, nfe)[:1]
            beside = f"{float(best[0]['rms']):.3f} `{best[0]['solver']}` on `{best[0]['grid']}`" if best else ""
            yield f"| {case} | " + " | ".join([*(errors.get(o, "") for o in origins), beside]) + " |"
    refused = {r["note"] for r in measured.tables["transfer"] if r["note"]}
    if refused:
        yield from ["", "Refused:", "", *(f"- {note}" for note in sorted(refused))]


def plot(measured, case, path):
    """Distances, and beside them what features say, where that is measured."""
    _, found = quality(measured, case)
    panels, budgets = 2 if found else 1, measured.budgets("distance", case)
    first = dict.fromkeys(r["solver"] for n in budgets for r in measured.classical(case, n)[:2])
    coloured = {solver: f"C{i % 10}" for i, solver in enumerate(first)}
    figure, axes = plt.subplots(1, panels, figsize=(6.5 * panels, 6), layout="constrained", squeeze=False)
    plot_distance(measured, case, axes[0, 0], coloured)
    if found:
        plot_quality(found, axes[0, 1], coloured)
    for axis in axes[0]:
        axis.set_xticks(budgets, [str(n) for n in budgets])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
        axis.set_xlabel("network evaluations")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    save(figure, path)


def plot_distance(measured, case, axis, coloured):
    curves = defaultdict(list)
    for row in measured.classical(case) + measured.plans(case):
        curves[row["solver"]].append((int(row["nfe"]), float(row["rms"])))
    for solver, points in curves.items():
        looks = {"color": "0.88", "linewidth": 1, "zorder": 1, "marker": "" if len(points) > 1 else "."}
        if solver not in SOLVERS:
            looks = {"color": "k", "marker": "o", "linewidth": 2, "label": solver, "zorder": 3}
        elif solver in coloured:
            looks = {"color": coloured[solver], "marker": "o", "markersize": 3, "label": solver, "zorder": 2}
        axis.loglog(*zip(*sorted(points)), **looks)
    axis.set_title("RMS distance to the converged solution, classical solvers on their best grids", fontsize=10)
    axis.set_ylim(top=TOP)


def plot_quality(found, axis, coloured):
    curves = defaultdict(list)
    for (sampler, _, nfe), values in sorted(found.items(), key=lambda cell: cell[0][2]):
        curves[sampler].append((nfe, np.mean(values["fid"]), np.std(values["fid"])))
    classical = [(n, fid, s) for s, points in curves.items() if s in SOLVERS for n, fid, _ in points]
    named = {s for n in {n for n, _, _ in classical} for _, s in sorted((f, s) for m, f, s in classical if m == n)[:NAMED]}
    for solver in sorted(named):
        coloured.setdefault(solver, f"C{len(coloured) % 10}")
    for sampler, points in curves.items():
        looks = {"color": "0.85", "zorder": 1}
        if is_plan(sampler):
            looks = {"color": "k", "linewidth": 2, "label": sampler, "zorder": 3}
        elif sampler in named:
            looks = {"color": coloured[sampler], "linewidth": 1, "label": sampler, "zorder": 2}
        if sampler != CONVERGED:
            axis.errorbar(*zip(*points), marker="o", markersize=3, **looks)
    converged = [np.mean(v["fid"]) for (s, _, _), v in found.items() if s == CONVERGED]
    if converged:
        axis.axhline(converged[0], color="0.5", linestyle=":", label="converged")
        axis.axhline(WITHIN * converged[0], color="0.7", dashes=(6, 3), label="15 % above")
    axis.set_title("Fréchet distance of features to real pictures", fontsize=10)
    axis.loglog()
    for which in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        which("{x:.3g}")


def page(measured, folder):
    """A section for each case in which kept plans or samples were measured; sensitivity with it; then transfer."""
    rows = next(rows for rows in measured.tables.values() if rows)
    yield from [f"# Fitted plans on {measured.model}, measured", "",
                f"Measured on {whose(rows)}, by the scripts named below, which write `fitted-*.csv`; "
                "`scripts/fitted_page.py` made this page. The method is in "
                f"[fitted-plans.md]({link(folder, 'fitted-plans.md')}), what the figures say in "
                f"[fitted-measured.md]({link(folder, 'fitted-measured.md')})." +
                (f" {measured.others} rows of other networks of this name are not shown." if measured.others else "")]
    cases = [c for c in dict.fromkeys(measured.cases("distance") + measured.cases("quality") + measured.cases("sensitivity"))
             if measured.plans(c) or measured.rows("quality", c) or measured.rows("sensitivity", c)]
    for case in cases:
        yield from ["", "## Plain" if case == "plain" else f"## `{case}`", "", "Targets:", "", *targets(measured, case)]
        if measured.plans(case):
            name = f"fitted-{measured.model}" + ("" if case == cases[0] else "-" + case.replace(",", "-"))
            plot(measured, case, folder / name)
            yield from ["", f"![]({name}.svg)", *distance_part(measured, case)]
        if measured.rows("quality", case):
            yield from quality_part(measured, case)
        if measured.rows("sensitivity", case):
            yield from sensitivity_part(measured, case)
    if any(r["rms"] for r in measured.tables["transfer"]):
        yield from transfer_part(measured, folder)


def main():
    arguments = parsed(__doc__)
    folder, network = arguments.folder, arguments.network
    models = {r["model"] for file in FILES.values() for r in rows_of(folder / file) if network in (None, r["network"])
              and any(r.get(c) for c in ("rms", "fid"))}  # not those that all refused
    if not models:
        sys.exit(f"{folder} has no fitted-*.csv with rows" + (f" of network {network}" if network else ""))
    for model in sorted(models):
        (folder / f"fitted-{model}.md").write_text("\n".join(page(Measured(folder, model, network), folder)) + "\n")


if __name__ == "__main__":
    main()
