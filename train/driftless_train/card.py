"""The model card that goes with an exported network (format driftless-model/1)."""

import hashlib
import json
from pathlib import Path

from .data import FASHION_NAMES
from .phase import NUMERICAL_EPS
from .process import TIME_SCALE


def write(folder, config, network, shape, step, images_seen, moments=None):
    """Write folder/model.json for the network file `network` inside it; shape: of an image; moments: (mean, deviation)
    of the data. A classifier that an older card there names stays, if the process is the same."""
    path = Path(folder) / "model.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    card = {
        "format": "driftless-model/1",
        "name": config.name,
        "network": {
            "file": network,
            "sha256": hashlib.sha256((Path(folder) / network).read_bytes()).hexdigest(),
            "inputs": {"sample": "sample", "time": "timestep"},
            "output": "out_sample",
        },
        "process": process(config.process),
        "prediction_type": "sample" if config.prediction == "edm" else config.prediction,
        "time_map": time_map(config.process),
        "preconditioning": ({"type": "edm", "sigma_data": config.process.sigma_data}
                            if config.prediction == "edm" else "none"),
        **times(config.process),
        "sample": {"shape": list(shape), "range": [-1.0, 1.0]},
    }
    if config.process.type == "psld":
        card["state_components"] = 2
    if config.net.classes:
        card["network"]["inputs"]["class"] = "class_labels"
        card["classes"] = {"count": config.net.classes, "null": config.net.classes}
        if config.data.dataset == "fashion-mnist":
            card["classes"]["names"] = list(FASHION_NAMES)
    if moments:
        card["moments"] = {"mean": round(moments[0], 6), "std": round(moments[1], 6)}
    if "classifier" in old and all(old.get(k) == card[k] for k in ("process", "time_map", "sample")):
        card["classifier"] = old["classifier"]
    card["license"] = "Apache-2.0"
    if config.data.dataset == "fashion-mnist":
        card["data"] = "Fashion-MNIST (MIT)"
    card["training"] = f"{step} steps, {images_seen} images seen, averaged weights"
    path.write_text(json.dumps(card, indent=2) + "\n")
    return card


def add_jvp(folder, network, output):
    """Name the graph of derivatives `network` in the card that lies beside it. Without a card, and in phase space,
    which has no use for it yet, nothing happens."""
    path = Path(folder) / "model.json"
    card = json.loads(path.read_text()) if path.exists() else {}
    if not card or "state_components" in card:
        return
    card["jvp"] = {
        "file": network,
        "sha256": hashlib.sha256((Path(folder) / network).read_bytes()).hexdigest(),
        "inputs": {**card["network"]["inputs"], "tangent": "tangent"},
        "output": output,
        "derivative": "jvp",
    }
    path.write_text(json.dumps(card, indent=2) + "\n")


def process(settings):
    """The card's process entry."""
    if settings.type == "vp_linear":
        return {"type": "vp_linear", "beta_min": settings.beta_min,
                "beta_max": settings.beta_max}
    if settings.type == "vp_discrete":
        return {"type": "vp_discrete", "num_train_timesteps": settings.steps,
                "beta_schedule": "linear", "beta_start": settings.beta_min,
                "beta_end": settings.beta_max}
    if settings.type == "edm":
        return {"type": "edm", "sigma_max": settings.t_max}
    if settings.type == "psld":
        return {"type": "psld", "beta_0": settings.beta_min, "beta_1": settings.beta_max,
                "Gamma": settings.gamma, "nu": settings.nu, "kappa": settings.kappa,
                "numerical_eps": NUMERICAL_EPS, "factor": "lower"}
    return {"type": "flow"}


def time_map(settings):
    """How the card's reader turns library time into the network's time input."""
    if settings.type == "edm":
        return {"type": "log_sigma", "dtype": "float32", "rank": 1}
    if settings.type == "vp_discrete":  # library time t = (i + 1) / N, the network takes i
        return {"type": "linear", "scale": float(settings.steps), "offset": -1.0,
                "dtype": "int64", "rank": 1}
    return {"type": "linear", "scale": TIME_SCALE.get(settings.type, 1.0), "offset": 0.0,
            "dtype": "float32", "rank": 1}


def times(settings):
    """t_min and t_max in library time, above 0 and at most 1."""
    if settings.type == "edm":  # sigma runs over the card's own sigma_min..sigma_max
        return {"t_min": settings.t_min / settings.t_max, "t_max": 1.0}
    if settings.type == "vp_discrete":
        first = int(settings.t_min * settings.steps)
        return {"t_min": (first + 1) / settings.steps, "t_max": settings.t_max}
    return {"t_min": settings.t_min, "t_max": settings.t_max}
