"""A model's configuration: one TOML file, read into plain dataclasses.

Unknown keys are errors, so a misspelt setting can't be ignored in silence.
"""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .classifier import ClassifierConfig
from .flow import FlowConfig
from .net import NetConfig

KINDS = ("denoiser", "classifier", "flow")
PREDICTIONS = ("epsilon", "sample", "v_prediction", "flow_prediction", "edm")
PROCESSES = ("vp_linear", "vp_discrete", "rectified_flow", "edm", "psld")


class ConfigError(ValueError):
    """A configuration that can't be used; the message names the key and what is allowed."""


@dataclass(frozen=True)
class DataConfig:
    """Which images. `path`: file or folder, empty for the data set's usual place."""

    dataset: str = "fashion-mnist"  # or npz, jpeg-npz, folder: see data.py
    path: str = ""


@dataclass(frozen=True)
class ProcessConfig:
    """The forward noise process and how training times are drawn (see process.py)."""

    type: str = "vp_linear"
    beta_min: float = 0.1  # vp_linear, psld: rate of noise at t = 0 and t = 1;
    beta_max: float = 20.0  # vp_discrete: first and last beta
    steps: int = 1000  # vp_discrete only
    sigma_data: float = 0.5  # edm only
    gamma: float = 0.01  # psld only, as are the next two: friction of x and of m,
    nu: float = 4.01
    kappa: float = 0.04  # variance of m at t = 0, in units of its stationary variance
    t_min: float = 1e-4
    t_max: float = 1.0
    times: str = "uniform"  # or "lognormal": ln t normal with the two values below
    times_mean: float = -1.2
    times_std: float = 1.2


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation. Rates are per step; the schedule needs no total (see loop.py)."""

    batch: int = 32
    learning_rate: float = 1e-3
    warmup: int = 400  # steps
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0  # gradient norm
    ema_power: float = 7.0  # see loop.ema_decay
    null_fraction: float = 0.1  # labels replaced by "no class"
    precision: str = "auto"  # fp32, bf16; auto: bf16 where the hardware has it
    memory_format: str = "auto"  # channels_last, contiguous; auto: as measured, see loop.py
    checkpoint_minutes: float = 4.0
    log_steps: int = 50


@dataclass(frozen=True)
class Config:
    """Everything that decides a model. `prediction`: what the exported network returns."""

    name: str
    kind: str = "denoiser"  # or "classifier", "flow": their table instead of prediction and [net]
    prediction: str = "epsilon"
    seed: int = 1
    init_from: str = ""  # checkpoint whose averaged weights start this model
    about: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    net: NetConfig = field(default_factory=NetConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def read(path):
    """Read a configuration file."""
    try:
        return from_dict(tomllib.loads(Path(path).read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def from_dict(values):
    """Build a Config from nested dictionaries (TOML tables or a checkpoint)."""
    config = _build(Config, values, "")
    _one_of("kind", config.kind, KINDS)
    _one_of("prediction", config.prediction, PREDICTIONS)
    _one_of("process.type", config.process.type, PROCESSES)
    _one_of("process.times", config.process.times, ("uniform", "lognormal"))
    _one_of("train.precision", config.train.precision, ("auto", "fp32", "bf16"))
    _one_of("train.memory_format", config.train.memory_format,
            ("auto", "channels_last", "contiguous"))
    if (config.prediction == "edm") != (config.process.type == "edm"):
        raise ConfigError('prediction = "edm" and process.type = "edm" need each other')
    if config.process.type == "psld" and config.prediction != "epsilon":
        raise ConfigError('process.type = "psld" needs prediction = "epsilon"')
    if len(config.classifier.widths) != len(config.classifier.strides):
        raise ConfigError("classifier.widths and classifier.strides must have one length")
    if config.kind == "flow":
        _check_flow(config.flow, config.process)
    if config.process.t_min >= config.process.t_max:
        raise ConfigError("process.t_min must be below process.t_max")
    return config


def _check_flow(flow, process):
    dim = flow.in_channels * flow.size**2
    if process.type != "vp_linear":
        raise ConfigError('kind = "flow" needs process.type = "vp_linear"')
    if not 0 < flow.time <= 1:
        raise ConfigError(f"flow.time = {flow.time}: above 0 and at most 1")
    if not 2 <= flow.rank <= dim or flow.rank % 2:
        raise ConfigError(f"flow.rank = {flow.rank}: even, from 2 to the {dim} numbers of an image")
    if flow.layers < 2 or flow.layers % 2:
        raise ConfigError(f"flow.layers = {flow.layers}: even, at least 2")
    if flow.width < 1 or not flow.bound > 0:
        raise ConfigError("flow.width and flow.bound must be above 0")


def to_dict(config):
    """The inverse of from_dict, made of plain values only."""
    return dataclasses.asdict(config)


def _one_of(key, value, allowed):
    if value not in allowed:
        raise ConfigError(f"{key} = {value!r}: allowed are {', '.join(allowed)}")


def _build(kind, values, prefix):
    known = {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key {prefix}{key}: known are {', '.join(known)}")
    made = {}
    for key, value in values.items():
        if dataclasses.is_dataclass(known[key].type):
            value = _build(known[key].type, value, f"{prefix}{key}.")
        elif isinstance(value, list):
            value = tuple(value)
        made[key] = value
    try:
        return kind(**made)
    except TypeError as error:
        raise ConfigError(f"{prefix or 'configuration'}: {error}") from error
