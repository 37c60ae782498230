"""Plans as linear forms: which of them are the same, and what one is for a network of another kind.

A plan of EVAL and LIN rows asks the network at combinations of the start and of what the network said before,
and ends in such a combination. Two plans with the same ones are the same sampler, whatever their rows are.
"""

import json
import math

NOUGHT = 1e-10  # of the largest coefficient of a combination: what is left of a difference that is none


def form(plan):
    """Text that is the same for plans that are the same sampler; None for those with other rows."""
    values, asked = {plan["inputs"][0]["id"]: {"x": 1.0}}, []
    for row in plan["rows"]:
        if row["op"] == "EVAL":
            asked.append((row["t"], values[row["src"]]))
            values[row["dst"]] = {len(asked): 1.0}
        elif row["op"] == "LIN" and not any(isinstance(c, list) for c in row["c"]):
            total = {}
            for source, c in zip(row["src"], row["c"]):
                for name, factor in values[source].items():
                    total[name] = total.get(name, 0.0) + c * factor
            values[row["dst"]] = total
        elif row["op"] != "STEP":
            return None
    parts = [(plan["inputs"][0]["t"], {"x": plan["inputs"][0]["scale"]}), *asked, (0, values[plan["outputs"][0]])]
    return "\n".join(f"{t:.9g} {told(total)}" for t, total in parts)


def told(total):
    floor = NOUGHT * max(map(abs, total.values()))
    return " ".join(f"{name}:{c:.7g}" for name, c in sorted(total.items(), key=str) if abs(c) > floor)


def half_log_snr(label):
    return math.log(label[0] / label[1]) if label[0] > 0 else -math.inf


def template(bench, plan, folder, t_end):
    """What a model is asked, a row EVAL for each of another model's plan, at the same log-SNR; a plan may begin before
    the model's start, and is then asked there. With the start, an input; or None and why not."""
    path = folder / "times.json"

    def one_step(*words):
        text, why = bench.program.call("plan", bench.program.model, "--solver", "ddim", *words, "--json", "-")
        return (None, why) if why else (json.loads(text), None)

    whole, why = one_step("--steps", 1, "--grid", "uniform", "--t-end", t_end, *bench.start)
    if why:
        return None, why
    least, most = half_log_snr(whole["inputs"][0]["at"]), half_log_snr(whole["rows"][-1]["at"])
    plans = []
    for wanted in (half_log_snr(row["at"]) for row in plan["rows"] if row["op"] == "EVAL"):
        if wanted >= most:
            return None, "the plan asks where the samples of this model end"
        path.write_text(json.dumps({"half_log_snrs": [wanted, most - 1e-9]}))  # a rounding beyond the end is refused
        made, why = one_step("--grid", f"file:path={path}") if wanted > least + 1e-9 else (whole, None)
        if why:
            return None, why
        plans.append(made)
    return (plans[0]["inputs"][0], [p["rows"][0] for p in plans]), None


def translated(plan, start, rows):
    """The plan with its network asked as in these rows, one for each EVAL, and begun at this input. The states stay
    those of the plan: x of label (a, b) is s times the model's x' of label (a', b'), and the output y that the plan
    wants is a combination of x' and of the output y' that the model gives."""
    first = plan["inputs"][0]
    scale = math.hypot(*first["at"]) / math.hypot(*start["at"])
    made = {**plan, "inputs": [{**start, "id": 0, "scale": first["scale"] / scale}], "meta": dict(plan["meta"])}
    for key in ("model", "identity"):
        made["meta"].pop(key, None)
    number, out = {}, []

    def add(**row):
        out.append({**row, "dst": 1 + sum("dst" in r for r in out)} if "dst" in row else row)
        return out[-1].get("dst")

    number[first["id"]] = add(op="LIN", dst=0, src=[0], c=[scale]) if scale != 1 else 0
    rows = iter(rows)
    for row in plan["rows"]:
        if row["op"] == "EVAL":
            there = next(rows)
            (a, b), (c, d), (e, f) = there["at"], there["gives"], row["gives"]
            scale = math.hypot(*row["at"]) / math.hypot(a, b)
            u = add(op="LIN", dst=0, src=[number[row["src"]]], c=[1 / scale]) if scale != 1 else number[row["src"]]
            y = add(**{**there, "dst": 0, "src": u})
            # e x_0 + f n in terms of x' = a x_0 + b n and y' = c x_0 + d n
            one = a * d - b * c
            of_x, of_y = (e * d - f * c) / one, (f * a - e * b) / one
            same = abs(of_x) < NOUGHT and abs(of_y - 1) < NOUGHT
            number[row["dst"]] = y if same else add(op="LIN", dst=0, src=[u, y], c=[of_x, of_y])
        else:
            moved = dict(row, src=[number[s] for s in row["src"]] if isinstance(row["src"], list) else number[row["src"]])
            number[row.get("dst")] = add(**moved)
    made["rows"], made["outputs"] = out, [number[n] for n in plan["outputs"]]
    made.pop("counts", None)
    return made
