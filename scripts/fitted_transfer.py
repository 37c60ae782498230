#!/usr/bin/env python3
"""What fitted plans are worth elsewhere: at other guidance, for other classes, on sibling networks.

    build/venv/bin/python scripts/fitted_transfer.py [--groups guidance,classes,siblings] [--siblings FOLDER,...]

fitted-transfer.csv: within a group, a plan fitted to each case used in every one, its own included; error of 256
samples of seed 1 from the converged solution of the case that it is used in.

guidance    plain, guidance=2, guidance=4
classes     plain, classes=0-4, classes=5-9 (of a model with C classes its halves), by copies of the network that know
            these alone
siblings    the models named by --siblings and --model, each with the plans of the others; what predicts another quantity
            or has another process is asked at the same log-SNR (plan_forms.translated)

Beside them the best classical solver of each case: screened as scripts/fitted_distance.py does and kept in its
CSVs, but of few solvers: the ten best of the plain case at the budget where that was measured, else those in
SHORTLIST below. Finished cells are not measured again. Needs what scripts/solver_table.py needs, and onnx.
"""

import json
from dataclasses import replace
from pathlib import Path

import plan_forms
from fitted_bench import ERRORS, SEED, Bench, Case, announce, case_of, parsed, parser_of
from fitted_distance import DISTANCE, SOLVERS, Distance, add_options, converged_cost
from solver_table import T_END

SHORTLIST = ("ddim", "deis:order=2", "deis:kind=lograb,order=2", "deis:kind=lograb,order=3",
             "scire:variant=v1,order=2,method=multistep,profile=main", "dpm:order=2,method=singlestep",
             "dpm:order=2", "dpm:order=3", "unipc:order=2", "unipc:order=3")
GROUPS = ("guidance", "classes", "siblings")
TRANSFER = "fitted-transfer.csv"


def halves(model):
    """The first and the second half of a model's classes."""
    path = Path(model) / "model.json"
    card = json.loads(path.read_text()) if path.exists() else {}
    count = (card.get("classes") or {"count": 0})["count"]
    return [f"0-{count // 2 - 1}", f"{count // 2}-{count - 1}"] if count > 1 else []


def groups_of(arguments):
    """Lists of benches whose plans are exchanged; the same case of a model is one bench in all of them."""
    made = {}

    def bench(model, **changes):
        model, _, case = model.partition("@")
        case = replace(case_of(case) if case else arguments.case, **changes)
        return made.setdefault((model, case), Bench(arguments, case, model))

    groups = {"guidance": lambda: [bench(arguments.model, guidance=g) for g in arguments.scales],
              "classes": lambda: [bench(arguments.model, classes=c) for c in ["", *halves(arguments.model)]],
              "siblings": lambda: [bench(m) for m in [arguments.model, *arguments.siblings]]}
    return [group for name in arguments.groups if len(group := groups[name]()) > 1]


def plan_for(bench, other, nfe):
    """The plan fitted to another bench's case, as this one's model can run it; or None and why not."""
    path, why = other.fit(nfe, other.grid_to_fit(nfe), bench.arguments.starts)
    if why or other.key[:2] == bench.key[:2]:
        return path, why
    plan = json.loads(path.read_text())
    folder = bench.folder / "translated"
    folder.mkdir(parents=True, exist_ok=True)
    asked, why = plan_forms.template(bench, plan, folder, T_END)
    if why:
        return None, why
    made = folder / f"{'-'.join(other.key)}-{path.name}"
    made.write_text(json.dumps(plan_forms.translated(plan, *asked)))
    return made, None


def pairs(groups, budgets):
    """(case used in, case fitted to, evaluations), each once, cheap ones first."""
    found = {}
    for nfe in sorted(budgets):
        for group in groups:
            for bench in group:
                for other in group:
                    found[bench.key, other.key, nfe] = (bench, other, nfe)
    return sorted(found.values(), key=lambda p: p[2] * p[0].case.networks)


def solvers_for(bench, nfe):
    """Classical solvers worth trying: the ten best of the plain case where all were measured."""
    plain = str(replace(bench.case, guidance="1", classes=""))
    ranked = sorted((float(r["rms"]), r["solver"]) for r in bench.rows(DISTANCE, case=plain, nfe=str(nfe))
                    if r["rms"] and r["solver"] in SOLVERS)
    return [solver for _, solver in ranked[:10]] if len(ranked) > 10 else list(SHORTLIST)


def table_of(bench):
    return bench.table(TRANSFER, ("of_model", "of_network", "of_case", "grid"), ERRORS, [])


def fitted_to(other, nfe):
    """The cell of a plan, in the table of whatever case it is used in."""
    return (*other.key, other.grid_to_fit(nfe), nfe)


def run(left, beside, samples):
    for bench, other, nfe in left:
        plan, why = plan_for(bench, other, nfe)
        table_of(bench).add(fitted_to(other, nfe),
                            **({"note": why} if why else bench.errors(bench.planned(plan, samples, SEED))))
    for distance in beside:
        distance.screening.run()
        distance.run(samples, 1)


def cost(left, used, beside, samples):
    """Of measurements, fits with their teachers, classical solvers and converged samples."""
    cells, total, fitted = len(left), 0, {}
    for bench, other, nfe in left:
        total += nfe * samples * bench.case.networks
        fitted.setdefault(other.key, (other, set()))[1].add(nfe)
    for other, budgets in fitted.values():
        starts = other.arguments.starts
        total += other.taught(starts) + (starts + 16) * sum(budgets) * other.case.networks
    benches = {}
    for distance in beside:
        for more, evaluations in (distance.screening.cost(), distance.cost(samples, 1)):
            cells, total = cells + more, total + evaluations
        benches[distance.bench.key] = distance.bench
    used_in = {bench.key: bench for bench, _, _ in used if bench.key not in benches}
    total += sum(bench.missing(samples, SEED) for bench in used_in.values())
    return cells, total + sum(converged_cost(bench, samples) for bench in benches.values())


def main(words=None):
    parser = parser_of(__doc__, nfe=[5])
    parser.add_argument("--groups", type=lambda text: [g for g in GROUPS if g in text.split(",")], default=list(GROUPS))
    parser.add_argument("--siblings", type=lambda text: text.split(","), default=[],
                        help="folders of models; one with another case than --case as FOLDER@CASE")
    parser.add_argument("--alone", action="store_true", help="plans only, no classical solvers beside them")
    parser.add_argument("--starts", type=int, default=256, help="to fit on")
    parser.add_argument("--scales", type=lambda text: text.split(","), default=["1", "2", "4"], help="of guidance")
    parser.add_argument("--case", type=case_of, default=Case(), help="what all have in common")
    add_options(parser)
    arguments = parsed(parser, words)
    used = pairs(groups_of(arguments), arguments.nfe)
    left = [(bench, other, nfe) for bench, other, nfe in used if table_of(bench).lacks(fitted_to(other, nfe))]
    benches = dict.fromkeys(bench for bench, _, _ in used)
    beside = [Distance(bench, [nfe], solvers_for(bench, nfe)) for nfe in sorted(arguments.nfe) for bench in benches
              if not arguments.alone]
    if announce("transfer", *cost(left, used, beside, arguments.samples), arguments):
        run(left, beside, arguments.samples)


if __name__ == "__main__":
    main()
