"""Checkpoints: written whole or not at all.

A checkpoint is a dictionary of tensors and plain values:

    format      "driftless-train/1"
    config      the configuration as nested dictionaries
    step        optimiser steps done; the position in the data follows from it
    seconds     time spent training
    decay       [first step, steps] of the final learning-rate decay, or None
    body, ema   parameters by name, float32
    buffers     fixed numbers of the body by name: a flow's first Gaussian
    adam        {"first": ..., "second": ...} moments by name, float32
"""

import os
import pickle
from pathlib import Path

import torch

from .config import ConfigError

FORMAT = "driftless-train/1"


def save(path, state):
    """Write atomically: a reader, or a crash, sees the old file or the new one."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def load(path):
    """Read a checkpoint, also a packed one (*.xz)."""
    path = Path(path)
    try:
        if path.suffix == ".xz":
            from .pack import unpack
            state = unpack(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigError(f"{path}: not a checkpoint of format {FORMAT}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ConfigError(f"{path}: not a checkpoint of format {FORMAT}")
    return state
