"""What the tables of fitted plans have in common: cases, converged samples, fits, errors.

scripts/fitted_distance.py, fitted_sensitivity.py, fitted_transfer.py and fitted_quality.py each answer one question
for any model, and write a CSV; scripts/fitted_page.py makes the page. Every row begins with model and network, as in
all tables of networks (solver_table.identity), and with

case             what is sampled: "plain", or what differs from it, as in "guidance=2" or "classes=0-4"

Rows of several models stand in one file, so that siblings are compared.

Cells do not say how many samples they were measured on (a column does), nor by which converged solution: another
--samples or --converged wants another folder -o.

Seeds: 1000 fits, 1 measures, 2 chooses grids, 11 and up give the samples that are judged by features. What was
drawn, fitted and converged is kept in the folder --work and not made again.
"""

import argparse
import functools
import hashlib
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_table import ROOT, T_END, Program, Table, distances, flat, identity, rows_of

SEED, SCREEN_SEED, FIT_SEED = 1, 2, 1000
SAMPLES, SCREENED, BLOCK = 256, 64, 64
NFE = [2, 3, 4, 5, 6, 8, 10]
ERRORS = ["spent", "samples", "rms", "median", "p90"]
WITHOUT_TIMES = "power:kappa=1.5"  # to fit on, where a model has no kept plan to take times from


@dataclass(frozen=True)
class Case:
    """What is sampled from a model: guidance, classes ("0-4"; empty: all), start (empty: the card's)."""

    guidance: str = "1"
    classes: str = ""
    t_start: str = ""

    def __str__(self):
        parts = [f"{name}={value}" for name, value in vars(self).items() if value != getattr(Case, name)]
        return ",".join(parts) or "plain"

    @property
    def networks(self):
        """Evaluations of the network for one of the sampler."""
        return 1 if self.guidance == "1" else 2


def case_of(text):
    """The case that a text like "guidance=2,classes=0-4" names."""
    try:
        case = Case(**dict(part.split("=") for part in text.split(",") if part != "plain"))
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f"{text}: plain, or some of guidance=, classes=, t_start=") from None
    if case.classes and not re.fullmatch(r"\d+-\d+", case.classes):
        raise argparse.ArgumentTypeError(f"classes={case.classes}: the first and the last, as in 0-4")
    return case


def restrict(model, classes, folder):
    """A copy of a model that knows these classes only, numbered from 0: labels pass through a table."""
    import onnx
    if str(model).startswith("mixture:"):
        sys.exit(f"{model}: classes= is for folders")
    first, last = map(int, classes.split("-"))
    card = json.loads((Path(model) / "model.json").read_text())
    known = card.get("classes") or {"count": 0}
    if not first <= last < known["count"]:
        sys.exit(f"{model} has {known['count']} classes, not {classes}")
    network = onnx.load(Path(model) / card["network"]["file"])
    label, count = card["network"]["inputs"]["class"], last - first + 1
    table = np.array([*range(first, last + 1), known.get("null", known["count"])], np.int64)
    for node in network.graph.node:
        for i, name in enumerate(node.input):
            if name == label:
                node.input[i] = "label_of_all"
    network.graph.initializer.append(onnx.numpy_helper.from_array(table, "labels_kept"))
    network.graph.node.insert(0, onnx.helper.make_node("Gather", ["labels_kept", label], ["label_of_all"]))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    onnx.save(network, folder / "network.onnx")
    card["network"]["file"] = "network.onnx"
    card["network"].pop("sha256", None)
    card.pop("classifier", None)
    card["classes"] = {"count": count, "null": count}
    (folder / "model.json").write_text(json.dumps(card))  # last: what makes the folder complete
    return folder


class Bench:
    """The program on one case of one model."""

    def __init__(self, arguments, case, model=None):
        self.arguments, self.case, self.model = arguments, case, model or arguments.model
        self.owner = {**identity(self.model), "case": str(case)}
        self.key = tuple(self.owner.values())
        self.folder = Path(arguments.work) / "-".join(self.key[:2]) / self.key[2]
        self.start = ["--t-start", case.t_start] if case.t_start else []
        self.options = [*self.start, *(["--guidance", case.guidance] if case.guidance != "1" else [])]

    @functools.cached_property
    def program(self):
        """With a model that knows the classes of the case alone; made when it is needed."""
        program, part = Program(self.arguments), self.folder / "model"
        program.model = self.model
        if self.case.classes:
            program.model = part if (part / "model.json").exists() else restrict(self.model, self.case.classes, part)
        return program

    def table(self, name, key, fields, cells):
        """A Table of this case, with cells that end in the evaluations."""
        return Table(self.arguments.output, name, fields, cells, (*key, "nfe"), self.owner)

    def rows(self, name, **other):
        """The rows of a CSV that are of this case, or of another of this model."""
        return rows_of(Path(self.arguments.output) / name, **self.owner | other)

    def classical(self, solver, grid, nfe, samples, seed, first=0):
        return self.program.draw(samples, seed, "--solver", solver, "--grid", grid, "--nfe", nfe, "--first", first,
                                 "--t-end", T_END, *self.options)

    def planned(self, plan, samples, seed):
        """Draws by a plan, whatever it was fitted to; it has its own start and end."""
        guidance = self.options[len(self.start):]
        return self.program.draw(samples, seed, "--plan", plan, "--force", *guidance)

    def converged(self, samples, seed, cell=None):
        """Converged states [samples][...], by blocks that are drawn once."""
        solver, grid, nfe = cell or self.arguments.converged
        slug = re.sub(r"[^a-z0-9.]+", "_", f"{solver} {grid} {nfe} {seed}")
        blocks = []
        for first in range(0, samples, BLOCK):
            path = self.folder / "converged" / f"{slug}-{first}.npy"
            if not path.exists():
                x, record = self.classical(solver, grid, nfe, BLOCK, seed, first)
                if x is None:
                    sys.exit(f"the converged solution of {' '.join(self.key)}: {record}")
                save(path, x)
            blocks.append(np.load(path))
        return np.concatenate(blocks)[:samples]

    def missing(self, samples, seed, cell=None):
        """Evaluations that converged samples still take."""
        solver, grid, nfe = cell or self.arguments.converged
        slug = re.sub(r"[^a-z0-9.]+", "_", f"{solver} {grid} {nfe} {seed}")
        lacking = sum(not (self.folder / "converged" / f"{slug}-{first}.npy").exists()
                      for first in range(0, samples, BLOCK))
        return lacking * BLOCK * nfe * self.case.networks

    def errors(self, drawn, seed=SEED):
        """Columns of a row of what was drawn from this seed."""
        x, record = drawn
        if x is None:
            return {"note": record}
        return {"spent": record["run"]["nfe"], "samples": len(x),
                **distances(x, flat(self.converged(len(x), seed)))}

    def grid_to_fit(self, nfe):
        """--fit-grid, where "kept" is the times of the model's own plan for the budget."""
        kept = Path(self.model) / "plans" / f"fitted-{nfe}.json"
        if self.arguments.fit_grid != "kept":
            return self.arguments.fit_grid
        return json.loads(kept.read_text())["meta"]["grid"] if kept.exists() else WITHOUT_TIMES

    def fit(self, nfe, grid, starts=256, history=3, ridge="1e-6"):
        """A plan fitted to this case, fitted once: its path, or None and why not. Few held-out starts: errors that
        count are measured on other seeds."""
        words = ["--steps", nfe, "--grid", grid, "-n", starts, "--history", history, "--ridge", ridge,
                 *self.arguments.teacher, "--held-out", 16, "--seed", FIT_SEED, "--t-end", T_END, *self.options]
        plan = self.folder / "plans" / (hashlib.sha256(repr(words).encode()).hexdigest()[:16] + ".json")
        if plan.exists():
            return plan, None
        plan.parent.mkdir(parents=True, exist_ok=True)
        _, why = self.program.call("fit", self.program.model, *words, "--work", self.folder / "teacher", "--compare",
                                   "none", "--quiet", "--threads", self.program.threads, "-o", plan)
        return (None, why) if why else (plan, None)

    def taught(self, starts):
        """Evaluations that the teacher of a fit takes, at most: what is kept is not counted by this script."""
        words = self.arguments.teacher
        nfe = int(words[words.index("--teacher-nfe") + 1]) if "--teacher-nfe" in words else 60
        return (starts + 16) * nfe * self.case.networks


def save(path, x):
    """An array, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, x)
    part.rename(path)


def kept_plans(folder):
    """(name, grid, evaluations, file) of the plans in a folder: fitted-5.json is "fitted", with 5."""
    found = []
    for path in sorted(Path(folder).glob("*.json")):
        plan = json.loads(path.read_text())
        if plan.get("format") != "driftless-plan/1":
            continue
        nfe = plan["counts"]["nfe"]
        seed = re.search(r"of seed (\d+)", plan["meta"].get("fit", ""))
        if seed and int(seed[1]) in (SEED, SCREEN_SEED):
            sys.exit(f"{path} was fitted on seed {seed[1]}, which measures")
        found.append((path.stem.removesuffix(f"-{nfe}"), plan["meta"]["grid"], nfe, path))
    return found


def announce(name, cells, evaluations, arguments):
    """Says what there is to do; True where it is to be done."""
    print(f"{name}: {cells} cells, at most {evaluations} evaluations, {evaluations / 350 / 60:.0f} minutes at 350 a "
          "second", file=sys.stderr)
    return cells and not arguments.cost


def numbers(text):
    return [int(n) for n in text.split(",")]


def cell_of(text):
    """SOLVER@GRID@EVALUATIONS."""
    parts = text.split("@")
    if len(parts) != 3 or not parts[2].isdigit():
        raise argparse.ArgumentTypeError(f"{text}: SOLVER@GRID@EVALUATIONS")
    return parts[0], parts[1], int(parts[2])


def parser_of(doc, nfe=NFE):
    """Options that every table has."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "models" / "fashion-vp"))
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "driftless"))
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: all, fewest on a busy machine")
    parser.add_argument("--nfe", type=numbers, default=nfe)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="held-out starts that measure")
    parser.add_argument("--converged", type=cell_of, default=cell_of("deis:kind=lograb,order=3@logsnr@200"),
                        help="SOLVER@GRID@EVALUATIONS whose samples count as exact")
    parser.add_argument("--teacher", type=str.split, default=[], help="options of driftless fit, in one word")
    parser.add_argument("--fit-grid", default="kept", help="of plans that are fitted; kept: the times of MODEL/plans")
    parser.add_argument("--work", default=str(ROOT / "build" / "fitted"), help="what is drawn and fitted once")
    parser.add_argument("--cost", action="store_true", help="print how much there is to do, and do nothing")
    parser.add_argument("-o", "--output", default=str(ROOT / "docs" / "results"))
    return parser


def parsed(parser, words=None):
    arguments = parser.parse_args(words)
    Path(arguments.output).mkdir(parents=True, exist_ok=True)
    return arguments
