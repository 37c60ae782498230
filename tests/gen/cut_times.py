#!/usr/bin/env python3
"""Cuts from the reference of the diffusion-time method (times.json) what test_prior compares with.

    cut_times.py times.json       writes tests/data/prior-times.json
"""

import json
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "data/prior-times.json"


def flat(x):
    return [v for part in x for v in flat(part)] if isinstance(x, list) else [x]


def main():
    kept = {}
    for case in json.loads(Path(sys.argv[1]).read_text()):
        if case["kind"] == "f_em":
            kept.setdefault("em", []).append({
                "kind": case["cov"], "loglik": case["mean_loglik_before_each_iter_and_final"],
                "weights": case["weights"], "means": flat(case["means"]), "covariances": flat(case["covs"])})
            kept |= {"x": flat(case["X"]), "uniforms": case["kmpp_uniforms"], "indices": case["kmpp_indices"]}
        if case["kind"] == "g_dp_vb":
            kept["dp"] = {"components": case["K"], "concentration": case["gamma"], "bounds": case["elbo"],
                          "weights": case["weights"], "means": flat(case["means"]), "covariances": flat(case["covs"])}
        if case["kind"] == "h_lowrank_em":
            kept["y"] = flat(case["X"])
            kept.setdefault("low", []).append({
                "kind": case["model"], "components": case["K"], "rank": case["q"], "floor": case["psi_floor"],
                "loglik": case["mean_loglik"], "weights": case["weights"], "means": flat(case["means"]),
                "covariances": flat(case["covs"])})
        if case["kind"] == "a_mismatch" and case["target"] == "public2d":
            kept["mismatch"] = [{"a": row["a_sq"] ** 0.5, "b": (1 - row["a_sq"]) ** 0.5, "kl": row["kl_std"],
                                 "entropy": row["entropy_pT"], "kl_gauss": row["kl_moment_gauss"]}
                                for row in case["rows"]]
    OUT.write_text(json.dumps(kept, indent=0) + "\n")


if __name__ == "__main__":
    main()
