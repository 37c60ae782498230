"""Cuts tests/data/reference-*.npz out of the reference trajectories that were handed to the project.

    reference_cases.py REFERENCE_FOLDER DATA_FOLDER

REFERENCE_FOLDER holds deis.json and ddimgmm.json: trajectories of each method's public code (or of an
independent implementation of its formulas) on the exact score of a Gaussian mixture, float64. Only
values are taken. Each .npz holds `cases`, a JSON text that says for each case what it is and which
arrays belong to it, and the arrays a0, a1, ..., equal ones once.
"""

import json
import sys
from pathlib import Path

import numpy as np

PROVENANCE = {
    "deis": "deis.json: qsh-zh/deis b57ce78 and mtkresearch/Diffusion-DEIS-SN 7a90c23 in float64; "
            "`result` is x_0_exact_coef, the same algorithm with exact coefficient integrals",
    "ddimgmm": "ddimgmm.json: diffusers 0.42.1 DDIMScheduler and DDPMScheduler with float64 alphas; "
               "mixture kernels and offsets by an independent implementation of arXiv 2311.04938",
}


class Pool:
    """Arrays by content."""

    def __init__(self):
        self.arrays, self.known = [], {}

    def add(self, value):
        array = np.asarray(value, dtype=np.float64)
        key = (array.shape, array.tobytes())
        if key not in self.known:
            self.known[key] = f"a{len(self.arrays)}"
            self.arrays.append(array)
        return self.known[key]

    def save(self, path, cases, provenance):
        text = json.dumps({"provenance": provenance, "cases": cases}, separators=(",", ":"))
        named = {f"a{i}": a for i, a in enumerate(self.arrays)}
        np.savez_compressed(path, cases=np.array(text), **named)


def deis_process(entry):
    """(process as option text, how its times become library times), or None: not comparable."""
    process = entry["process"]
    if process["name"] == "vp_linear":
        return (f"vp_linear:beta_min={process['beta_min']:g},beta_max={process['beta_max']:g}",
                lambda t: t)
    if process["name"] == "ddpm_linear" and process["time"].startswith("tau"):
        return "vp_discrete:interpolation=alpha_bar_prepended", lambda t: t
    if process["name"] == "ddpm_linear" and not process["alpha_bar_1_prepended_at_t0"]:
        return "vp_discrete:interpolation=alpha_bar", lambda t: (t + 1) / 1000
    if process["name"] == "vp_cosine":
        return f"vp_cosine:normalised=0,s={process['s']:g}", lambda t: t
    return None  # the prepended table is clipped at 1 - 1e-7 there


def deis_solver(entry):
    method, order = entry["method"], entry.get("order")
    if method.startswith("tAB-DEIS") and order <= 3:
        return f"deis:order={order}"
    return {"1euler": "euler", "2heun": "heun"}.get(entry.get("rk"))


def deis(entries):
    pool, cases = Pool(), []
    for entry in entries:
        if entry["kind"] != "case" or not entry["precision"].startswith("float64"):
            continue
        process, solver = deis_process(entry), deis_solver(entry)
        if not process or not solver:
            continue
        times = [process[1](t) for t in entry["timesteps"]]
        result = entry.get("x_0_exact_coef") or entry["x_0"]
        cases.append({"id": entry["id"], "solver": solver, "process": process[0],
                      "grid": f"{entry['grid']['name']}:{entry['grid']['order']}",
                      "nfe": entry["nfe"], "times": pool.add(times),
                      "start": pool.add(entry["x_T"]), "result": pool.add(result)})
    return pool, cases


def gmm_arrays(entry, pool, names):
    case = {name: pool.add(entry[name]) for name in names if name in entry}
    case.update({f"ab_{k}": pool.add(entry["sched"][f"ab_{k}"]) for k in "ts"} if "sched" in entry else {})
    if "sched" in entry:
        case["times"] = pool.add([(t + 1) / 1000 for t in entry["sched"]["t"]] + [0.0])
    return case


def gmm(entries):
    pool, cases = Pool(), []
    for entry in entries:
        kind = entry["kind"]
        if kind in ("ddim", "ddpm"):
            arrays = gmm_arrays(entry, pool, ("x_T", "z", "x"))
            solver = (f"ddim:eta={entry['eta']:g}" if kind == "ddim"
                      else f"ddpm:variance_type=fixed_{entry['variance']}")
            cases.append({"kind": kind, "name": entry["name"], "target": entry["target"],
                          "solver": solver, **arrays})
        if kind == "ddim_gmm":
            arrays = gmm_arrays(entry, pool, ("x_T", "z", "u", "x", "delta", "pi", "s_per_step", "O", "U"))
            cases.append({"kind": kind, "name": entry["name"], "target": entry["target"],
                          "eta": entry["eta"], "covariance": entry["cov"],
                          **{k: entry[k] for k in ("offsets", "shared", "scale_mode", "scale")}, **arrays})
        if kind in ("rfim", "rfim_gmm"):
            arrays = gmm_arrays(entry, pool, ("x_T", "z", "x", "picks", "delta", "pi"))
            more = {k: entry[k] for k in ("offsets", "cov", "scale", "gmm_last") if k in entry}
            cases.append({"kind": kind, "name": entry["name"], "target": entry["target"],
                          "steps": entry["steps"], "eta": entry["eta"],
                          "times": pool.add(entry["t"] + entry["s"][-1:]), **more, **arrays})
        if kind == "excess":
            names = ("s_per_step", "delta", "pi", "excess_trace", "excess_diag", "excess_cov_last", "drift")
            cases.append({"kind": kind, "name": entry["name"], "eta": entry["eta"],
                          "covariance": entry["cov"], **gmm_arrays(entry, pool, names)})
        if kind == "offsets":
            names = [n for n, v in entry.items() if isinstance(v, list)]
            cases.append({"kind": kind, "name": entry["name"], "s": entry["s"],
                          "sigma": entry.get("sigma", 0), **gmm_arrays(entry, pool, names)})
        if kind == "targets":
            cases.append({"kind": kind, "name": kind, "targets": entry["targets"]})
    return pool, cases


def main():
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for name, cut in (("deis", deis), ("ddimgmm", gmm)):
        entries = json.loads((source / f"{name}.json").read_text())
        pool, cases = cut(entries)
        path = target / f"reference-{name}.npz"
        pool.save(path, cases, PROVENANCE[name])
        print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
