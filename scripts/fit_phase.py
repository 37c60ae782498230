#!/usr/bin/env python3
"""Plans fitted in phase space on the analytic mixtures of phase_mixtures.py, beside all classical solvers.

    scripts/fit_phase.py PROGRAM RESULTS_FOLDER

writes fitted-phase.csv: for each mixture, budget and way of fitting the distance of the plan to its teacher on
1024 held-out starts, and that of the classical solver that is nearest there, of all that "driftless fit --compare
all" knows, each on its usual grid and on the plan's. Some minutes on one core; NumPy only.
"""

import csv
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from phase_mixtures import MIXTURES, PHASE, T_END

NFES = [5, 10]
STARTS = 1024
WAYS = {"given": [], "consistency": ["--constraint", "consistency"], "refined": ["--refine", "6"],
        "searched": ["--grid", "search"]}
ROW = re.compile(r"^(\S+) +(\S+) +(\d+\.\d+) +(\d+\.\d+)$", re.M)


def measure(program, folder, name, nfe, way):
    model = folder / f"{name}.json"
    model.write_text(json.dumps({"format": "driftless-mixture/1", **MIXTURES[name],
                                 "card": {"process": PHASE, "state_components": 2, "t_min": T_END}}))
    command = [program, "fit", f"mixture:{model}", "--steps", nfe, "--samples", STARTS, "--held-out", STARTS,
               "--compare", "all", "--work", folder / name, "-o", folder / "plan.json"]
    done = subprocess.run([str(c) for c in command + WAYS[way]], capture_output=True, text=True, check=True)
    (_, _, rms, median), best, *_ = ROW.findall(done.stdout)
    return {"mixture": name, "nfe": nfe, "fit": way, "rms": rms, "median": median, "classical": best[0],
            "classical_grid": best[1], "classical_rms": best[2], "classical_median": best[3]}


def main():
    program, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder, open(target / "fitted-phase.csv", "w", newline="",
                                                       encoding="utf-8") as file:
        writer = None
        for name in MIXTURES:
            for nfe in NFES:
                for way in WAYS:
                    row = measure(program, Path(folder), name, nfe, way)
                    writer = writer or csv.DictWriter(file, row, lineterminator="\n")
                    if file.tell() == 0:
                        writer.writeheader()
                    writer.writerow(row)
                    print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
