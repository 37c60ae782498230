"""Cuts tests/data/reference-solvers.npz out of the reference results that were handed to the project.

    reference_solvers.py REFERENCE_FOLDER DATA_FOLDER

REFERENCE_FOLDER holds scire.json, dpm.json and deis.json: end points of the methods' public codes on the
exact score of a two-dimensional Gaussian mixture, float64. Only values are taken. `cases` is a JSON text;
each case says which plan reproduces it. Results and starts are rows of the arrays of these names; lists of
times are the arrays t0, t1, ... Every case that can be compared at all is kept.
"""

import json
import sys
from pathlib import Path

import numpy as np

PROVENANCE = {
    "scire": "ShiguiLi/SciRE-Solver 5ebe126 (root file, discrete file and stable-diffusion copy) in float64",
    "dpm": "LuChengTHU/dpm-solver 52bc3fb, wl-zhao/UniPC cf9de85, diffusers 0.42 schedulers with float64 sigmas",
    "deis": "qsh-zh/deis b57ce78 and mtkresearch/Diffusion-DEIS-SN 7a90c23 in float64; `exact` is the same "
            "algorithm with exact integrals, `official` the released left Riemann sum of 10000 points",
}
GRIDS = {"logSNR": "logsnr", "time_uniform": "uniform", "time_quadratic": "power:kappa=2"}
PROCESSES = {"vp_linear": "vp_linear", "ddpm_discrete": "vp_discrete", "vp_cosine": "vp_cosine",
             "vp_linear_discretenet": "vp_linear"}
RECHECK = 1e-9  # official results that an independent replay of the released code does not reproduce to this


class Store:
    def __init__(self):
        self.results, self.starts, self.times, self.cases, self.excluded = [], [], [], [], {}

    @staticmethod
    def index(rows, value):
        for i, row in enumerate(rows):
            if np.array_equal(row, value):
                return i
        rows.append(value)
        return len(rows) - 1

    def add(self, entry, plan, process, values, times=None, **more):
        case = {"id": entry["id"], "plan": plan, "process": process, "nfe": entry["nfe"],
                "start": self.index(self.starts, np.array(entry["x_T"])), **more}
        for name, value in values.items():
            case[name] = len(self.results)
            self.results.append(np.array(value))
        if times is not None:
            case["times"] = self.index(self.times, np.array(times))
        self.cases.append(case)


# ---- scire.json and dpm.json ----------------------------------------------------------------------------


def scire_solver(entry):
    params, variant = entry["params"], entry["variant"]
    method = {"singlestep_agile": "singlestep"}.get(entry["mode"], entry["mode"])
    words = [f"order={entry['order']}", f"method={method}"]
    if entry["method"] == "scirei":
        words += ["variant=ei"]
    elif variant.startswith("paper"):
        words += ["variant=v1", "profile=paper"] + (["difference=fd"] if "fde" in variant else [])
    elif variant.startswith("sd"):
        words += [f"variant={variant[3:]}", "profile=sd"]
    else:
        words += [f"variant={variant[:2]}", "profile=main"]
        if variant.endswith("const"):
            words += ["m=3" if abs(params["const_phi"] - 2 / 3) < 1e-9 else "m=0"]
    if params.get("lower_order_final") is False:
        words += ["lower_order_final=0"]
    return "scire:" + ",".join(words)


def expo_solver(entry):
    params = entry["params"]
    last = ["lower_order_final=0"] if params.get("lower_order_final") is False else []
    if entry["method"] == "ddim":
        return "ddim"
    if entry["method"] == "unipc":
        words = [f"order={entry['order']}", f"solver_type={entry['variant']}",
                 f"predict_x0={int(params.get('predict_x0', True))}"]
        return "unipc:" + ",".join(words + last)
    method = {"singlestep_agile": "singlestep"}.get(entry["mode"], entry["mode"])
    kind = {"dpmsolver": "midpoint", "taylor": "heun"}[entry["variant"]]
    words = [f"algorithm_type={entry['method']}", f"order={entry['order']}", f"method={method}",
             f"solver_type={kind}"]
    return "dpm:" + ",".join(words + last)


def expo_case(store, entry):
    params = entry["params"]
    denoise = bool(params.get("denoise_to_zero"))
    solver = scire_solver(entry) if entry["method"].startswith("scire") else expo_solver(entry)
    grid = "nsr:k=%g" % params["k"] if entry["grid"] == "NSR" else GRIDS.get(entry["grid"])
    if entry["x_0"] is None:
        store.excluded[entry["id"]] = "no result: NaN in the released code"
        return
    times = entry["timesteps"]
    if any(s >= t for t, s in zip(times, times[1:])):
        store.excluded[entry["id"]] = "a time occurs twice"
        return
    plan, more = f"solver={solver}", {}
    if grid:
        ends = f"t_start={params['t_start']!r} t_end={params['t_end']!r}"
        plan += f" grid={grid} {ends} nfe={entry['steps'] + denoise}"
    else:
        more = {"times": times}
    if entry["process"] == "vp_linear_discretenet":
        more["network"] = "indexed"
    store.add(entry, plan + " denoise=1" * denoise, PROCESSES[entry["process"]],
              {"result": entry["x_0"]}, **more)


def expo_grid(store, entry):
    grid = "nsr:k=%g" % entry["params"]["k"] if entry["grid"] == "NSR" else GRIDS[entry["grid"]]
    params = entry["params"]
    plan = (f"solver=ddim grid={grid} t_start={params['t_start']!r} t_end={params['t_end']!r} "
            f"steps={params['N']}")
    store.cases.append({"id": entry["id"], "plan": plan, "process": PROCESSES[entry["process"]],
                        "grid": store.index(store.times, np.array(entry["timesteps"]))})


# ---- deis.json ------------------------------------------------------------------------------------------


def deis_process(entry):
    """(process as option text, library time of its times), or None: not comparable."""
    process = entry["process"]
    if process["name"] == "vp_linear":
        return (f"vp_linear:beta_min={process['beta_min']:g},beta_max={process['beta_max']:g}",
                lambda t: t)
    if process["name"] == "vp_cosine":
        return "vp_cosine:normalised=0,t_limit=0.9999", lambda t: t
    if process["time"].startswith("tau"):
        return "vp_discrete:interpolation=alpha_bar_prepended", lambda t: t
    if not process["alpha_bar_1_prepended_at_t0"]:
        return "vp_discrete:interpolation=alpha_bar", lambda t: (t + 1) / 1000
    return None


def deis_solver(entry):
    method, order = entry["method"], entry.get("order")
    if method == "DEIS-SN":
        return f"deis_sn:order={order},clip={entry['clip_normalizer_steps']}"
    if method.startswith("tAB"):
        return f"deis:order={order}"
    if method.startswith("rhoAB"):
        return f"deis:kind=rhoab,order={order}"
    if method.startswith("rhoRK"):
        return f"rhork:tableau={entry['rk']}"
    return "deis:kind=ipndm"


def deis_case(store, entry):
    process = deis_process(entry)
    if not entry["precision"].startswith("float64"):
        store.excluded[entry["id"]] = "single precision"
        return
    if not process:
        store.excluded[entry["id"]] = "alpha_bar is cut at 1 - 1e-7"
        return
    times = [process[1](t) for t in entry["timesteps"]]
    times[0] = 1.0 if abs(times[0] - 1) < 1e-12 else times[0]
    values = {"result": entry.get("x_0_exact_coef") or entry["x_0"]}
    solver = deis_solver(entry)
    if entry.get("x_0_exact_coef") and solver.startswith("deis"):
        if (entry.get("recheck_max_abs") or 0) > RECHECK:
            store.excluded[entry["id"] + " official"] = "the released code depends on rounding here"
        else:
            values["official"] = entry["x_0"]
    more = {"stats": entry["sn_stats_id"]} if entry.get("sn_stats_id") else {}
    store.add(entry, f"solver={solver}", process[0], values, times=times, **more)


def main():
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    store, stats = Store(), {}
    for name in ("scire", "dpm"):
        for entry in json.loads((source / f"{name}.json").read_text()):
            if entry["method"] == "grid":
                expo_grid(store, entry)
            elif entry["method"] not in ("phi", "schedule", "truth"):
                expo_case(store, entry)
    for entry in json.loads((source / "deis.json").read_text()):
        if entry["kind"] == "case":
            deis_case(store, entry)
        if entry["kind"] == "sn_stats":
            stats[entry["id"]] = entry["ratio"]
    text = json.dumps({"provenance": PROVENANCE, "cases": store.cases, "excluded": store.excluded,
                       "stats": list(stats)}, separators=(",", ":"))
    arrays = {f"t{i}": times for i, times in enumerate(store.times)}
    arrays |= {f"stats{i}": np.array(values) for i, values in enumerate(stats.values())}
    path = target / "reference-solvers.npz"
    np.savez_compressed(path, cases=np.array(text), results=np.array(store.results),
                        starts=np.array(store.starts), **arrays)
    print(f"{path}: {len(store.cases)} cases, {len(store.excluded)} left out, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
