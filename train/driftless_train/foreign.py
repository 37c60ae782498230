"""Networks that were not trained here, as model folders: any PyTorch module with a card, and
UNet2DModel of diffusers, whose card follows from its configuration files."""

import hashlib
import importlib
import json
import sys
from pathlib import Path

import torch
from torch import nn

from . import graph
from .config import ConfigError

NAMES = ("sample", "timestep", "class_labels")


def export(model, card, folder, batch=None):
    """Write folder/network.onnx and model.json for a module (sample, timestep[, class_labels]) ->
    prediction.

    card: what model.json says (see the library's docs/model-card.md), without `network`, which is
    made here. batch: of a graph for this batch size only; None leaves it open. Returns the largest
    difference of the graph from the module over all times, or None without an ONNX runtime.
    """
    folder, path = Path(folder), Path(folder) / "network.onnx"
    model = model.eval().requires_grad_(False)
    given = inputs(card)
    folder.mkdir(parents=True, exist_ok=True)
    graph.write(model, path, given, ["out_sample"], batch)
    kinds = dict(zip(("sample", "time", "class"), given))
    network = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
               "inputs": kinds, "output": "out_sample"}
    whole = {"format": "driftless-model/1", **card, "network": network}
    (folder / "model.json").write_text(json.dumps(whole, indent=2) + "\n")
    return graph.difference(model, path, given, batch)


def inputs(card, n=32):
    """Inputs by name that fit a card: noise, times spread over its range, all classes."""
    for key in ("process", "prediction_type", "sample", "t_min", "t_max"):
        if key not in card:
            raise ConfigError(f"the card needs {key!r}")
    shape = list(card["sample"]["shape"])
    shape[0] *= card.get("state_components", 1)
    draws = torch.Generator().manual_seed(0)
    made = {"sample": torch.randn(n, *shape, generator=draws), "timestep": times(card, n)}
    if card.get("classes"):
        null = card["classes"].get("null")
        count = max(card["classes"]["count"], -1 if null is None else null + 1)
        made["class_labels"] = torch.arange(n) % count
    return made


def times(card, n):
    """n values of the network's time input from t_min to t_max."""
    t = torch.linspace(card["t_min"], card["t_max"], n, dtype=torch.float64)
    entry = card.get("time_map", {"type": "linear"})
    if entry["type"] != "linear":  # the exact end points do not matter to a comparison
        if card["process"]["type"] != "edm":
            raise ConfigError(f"time_map {entry['type']!r} is exported for process edm only")
        sigma = t * card["process"].get("sigma_max", 80.0)
        t, entry = (sigma.log() / 4 if entry["type"] == "log_sigma" else sigma), entry
    else:
        t = entry.get("scale", 1.0) * t + entry.get("offset", 0.0)
    kind = entry.get("dtype", "float32")
    t = t.round() if kind.startswith("int") else t
    return t.to(getattr(torch, kind))


def module(name):
    """The module that PACKAGE.MODULE:FUNCTION makes; the current folder is searched, too."""
    where, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(where), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{name}: PACKAGE.MODULE:FUNCTION is needed ({error})") from error
    finally:
        sys.path.remove("")
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{name} made a {type(made).__name__}; a torch.nn.Module is needed")
    return made


class Plain(nn.Module):
    """A diffusers model with a tensor as its answer."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, timestep, class_labels=None):
        return self.model(sample, timestep, class_labels, return_dict=False)[0]


def from_diffusers(folder, name=None):
    """(module, card) of a UNet2DModel pipeline's folder (unet/, scheduler/), read locally."""
    folder = Path(folder)
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise ConfigError("diffusers is not installed here: pip install diffusers") from error
    try:
        scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        model = UNet2DModel.from_pretrained(folder / "unet", local_files_only=True,
                                            low_cpu_mem_usage=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: not the folder of a UNet2DModel pipeline"
                          f" ({error})") from error
    return Plain(model), diffusers_card(dict(model.config), scheduler, name or folder.name)


def diffusers_card(net, scheduler, name):
    """The card, without `network`, from the two configurations."""
    if net["out_channels"] != net["in_channels"]:
        raise ConfigError(f"{name}: {net['out_channels']} channels out of {net['in_channels']};"
                          " networks that predict a variance, too, are not supported")
    steps, size = scheduler.get("num_train_timesteps", 1000), net["sample_size"]
    if size is None:
        raise ConfigError(f"{name}: its configuration has no sample_size")
    process = {"type": "vp_discrete", "num_train_timesteps": steps}
    if scheduler.get("trained_betas") is not None:
        process["trained_betas"] = list(scheduler["trained_betas"])
    else:
        process["beta_schedule"] = scheduler.get("beta_schedule", "linear")
        if process["beta_schedule"] not in ("linear", "scaled_linear", "squaredcos_cap_v2"):
            raise ConfigError(f"{name}: beta_schedule {process['beta_schedule']!r}: allowed are"
                              " linear, scaled_linear, squaredcos_cap_v2")
        if process["beta_schedule"] != "squaredcos_cap_v2":
            process["beta_start"] = scheduler.get("beta_start", 0.0001)
            process["beta_end"] = scheduler.get("beta_end", 0.02)
    if scheduler.get("rescale_betas_zero_snr"):
        raise ConfigError(f"{name}: rescale_betas_zero_snr is not supported")
    card = {
        "name": name, "process": process,
        "prediction_type": scheduler.get("prediction_type", "epsilon"),
        "time_map": {"type": "linear", "scale": float(steps), "offset": -1.0, "dtype": "int64",
                     "rank": 1},
        "t_min": 1 / steps, "t_max": 1.0,
        "sample": {"shape": [net["in_channels"], *([size] * 2 if isinstance(size, int) else size)],
                   "range": [-1.0, 1.0]}}
    if net.get("num_class_embeds"):
        card["classes"] = {"count": net["num_class_embeds"]}
    return card
