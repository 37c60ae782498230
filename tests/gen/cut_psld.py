"""Cuts tests/data/psld-*.{json,npz} out of the phase-space reference file handed to the project.

    cut_psld.py REFERENCE_FOLDER DATA_FOLDER

REFERENCE_FOLDER holds psld.json: trajectories and kernels of PSLD, CLD and VP on the exact score of the
mixture public2d, float64, partly from the official repository and partly from formulas. Only values are
taken.

  psld-cases.json   one entry for each trajectory: how to run it here (solver, process), what it must
                    give, and [offset, length] of its arrays in the pool
  psld-cases.npz    the pool, one float64 array, equal arrays once
  psld-kernel.json  kernels, one-step coefficients, factor R, converged ends of the flow, measured
                    orders, as they are
"""

import json
import sys
from pathlib import Path

import numpy as np

PROVENANCE = ("psld.json: 'official' entries by the PSLD repository at 24e1867 (and c-pigdm for VP "
              "conjugate steps), the others from formulas by an independent implementation; values only")
PLAIN = {"euler_ode": "euler", "heun_ode": "heun", "em_sde": "em",
         "sscs_sde": "sscs:second_half=official", "vp_euler_ode": "euler:variable=t",
         "vp_heun_ode": "heun:variable=t", "vp_ddim": "ddim", "vp_em_sde": "em"}
SPLITTING = {"NSE", "RSE", "NVV", "RVV", "NOBA", "NBAO", "NOBAB", "ROBA", "RBAO", "ROBAB"}
CONJUGATE_SPLITTING = {"CSE", "CVV", "COBA"}
TABLES = {"kernel", "coefficients", "factor_R", "truth_DOP853", "order", "bb_ode_RK45"}


def solver(entry):
    """The entry's method as option text, or None: not a trajectory of fixed steps."""
    method, params = entry["method"], entry.get("params", {})
    noise = f",lambda_s={params['lam_s']!r}" if "lam_s" in params else ""
    if method in PLAIN:
        return PLAIN[method]
    if method in SPLITTING:
        return f"splitting:scheme={method.lower()}{noise}"
    if method in CONJUGATE_SPLITTING:
        kind = 2 if params["B_type"] == "II" else 1
        return (f"conjugate_splitting:scheme={method.lower()},type={kind},"
                f"lambda={params['lam']!r}{noise}")
    if "lambda_ddim_I" in method:
        kind = 2 if method.endswith("_II") else 1
        factor = ",factor=flow" if method.endswith("factorR") else ""
        return f"conjugate:type={kind},lambda={params['lam']!r}{factor}"
    return None


def process(entry):
    p = entry["process"]
    if p["kind"] == "vp":
        return f"vp_linear:beta_min={p['beta_min']!r},beta_max={p['beta_max']!r}"
    return (f"psld:beta_0={p['beta_min']!r},beta_1={p['beta_max']!r},Gamma={p['Gamma']!r},"
            f"nu={p['nu']!r},kappa={p['kappa']!r},numerical_eps={p['numerical_eps']!r}")


def tolerances(entry):
    """Of z_eps and of z_0, relative to (1 + max|z_eps|) max(1, amplification). The official covariance
    cancels at Gamma = 0, and the last step of stochastic methods is the official one; the official VP
    conjugate steps integrate to 1e-5 only."""
    official = "official" in entry["source"]
    if entry["process"]["kind"] == "vp":
        return [1e-4 if official and "lambda" in entry["method"] else 1e-12] * 2
    if entry["process"]["Gamma"] == 0 and (official or entry.get("noise")):
        return [1e-10 if official else 1e-12, 1e-10]
    return [1e-9 if entry["method"].endswith("factorR") else 1e-12] * 2


class Pool:
    def __init__(self):
        self.parts, self.known, self.size = [], {}, 0

    def add(self, value):
        array = np.asarray(value, dtype=np.float64).ravel()
        key = array.tobytes()
        if key not in self.known:
            self.known[key] = [self.size, len(array)]
            self.parts.append(array)
            self.size += len(array)
        return self.known[key]


def cut(entry, pool):
    times = [1.0] + entry["timesteps"][1:]  # the first is 1 but for rounding
    scale = (1 + np.abs(entry["z_eps"]).max()) * max(1, entry.get("amplification") or 1)
    case = {"name": entry["method"], "solver": solver(entry), "process": process(entry),
            "grid": entry["grid"], "nfe": entry["nfe"], "budget": entry["nfe_budget"],
            "official": "official" in entry["source"], "tolerance": [scale * t for t in tolerances(entry)],
            "samples": len(entry["z_T"]), "times": pool.add(times), "start": pool.add(entry["z_T"]),
            "z_eps": pool.add(entry["z_eps"]), "z_0": pool.add(entry["z_0"])}
    if entry.get("noise"):
        case["noise"] = pool.add(entry["noise"])
    return case


def write(path, provenance, key, values):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{{"provenance": {json.dumps(provenance)},\n"{key}": [\n')
        file.write(",\n".join(json.dumps(v, separators=(",", ":")) for v in values))
        file.write("\n]}\n")
    print(f"{path}: {len(values)} entries, {path.stat().st_size} bytes")


def main():
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    entries = json.loads((source / "psld.json").read_text())
    pool, cases, seen = Pool(), [], set()
    for entry in entries:
        if "z_eps" not in entry or not solver(entry):
            continue
        case = cut(entry, pool)
        if json.dumps(case) not in seen:
            cases.append(case)
        seen.add(json.dumps(case))
    write(target / "psld-cases.json", PROVENANCE, "cases", cases)
    np.savez_compressed(target / "psld-cases.npz", pool=np.concatenate(pool.parts))
    print(f"{(target / 'psld-cases.npz').stat().st_size} bytes")
    kept = [e for e in entries if e["method"] in TABLES]
    for entry in kept:
        for row in entry.get("rows", []):
            row.pop("official_code", None)
            row.pop("A_hi", None)
    write(target / "psld-kernel.json", PROVENANCE, "tables", kept)


if __name__ == "__main__":
    main()
