"""Held-out loss: mean squared error of the noise, on fixed images, times and noise.

Any network with the card's interface can be judged, so a new one and an old one see
the same inputs bit for bit. Every prediction type is brought to noise: an error d in
the prediction is an error d * cos / gain in the noise (see circle.py).
"""

from dataclasses import dataclass

import torch

from . import phase
from .circle import circle, coefficients, wide
from .process import TIME_SCALE, Process
from .progress import Progress

SEED, BINS = 20_000, 10


@dataclass(frozen=True)
class Score:
    """Mean squared noise error over all times, and in ten equal parts of the time range."""

    mean: float
    bins: tuple[float, ...]
    count: int

    def __str__(self):
        bins = " ".join(f"{value:.5f}" for value in self.bins)
        return f"held-out noise error {self.mean:.6f} ({self.count} images)\nby time: {bins}"


def held_out(predict, config, images, batch=250, limit=None, quiet=False):
    """Score predict(sample, timestep, class_labels) on `images`, each seen once at its own time.

    Times are the midpoints of equal cells of the process's time range, in a fixed random
    order; labels are the true ones. limit: only the first so many images.
    """
    count = min(limit or len(images), len(images))
    process = Process(config.process)
    generator = torch.Generator().manual_seed(SEED)
    u = ((torch.randperm(count, generator=generator) + 0.5) / count).float()
    errors, progress = [], Progress(quiet)
    for start in range(0, count, batch):
        part = slice(start, min(start + batch, count))
        x0, labels = images.take(part)
        noise = torch.randn(noise_shape(config, x0.shape), generator=generator)
        sample, timestep, truth, factor = problem(process, config, x0, noise, process.draw(u[part]))
        with torch.no_grad():
            error = (predict(sample, timestep, labels) - truth).double()
        errors.append((wide(factor).double() * error).square().mean(dim=(1, 2, 3)))
        progress.show(part.stop, count, None, "images")
    progress.close()
    errors = torch.cat(errors)
    order = torch.argsort(u)
    bins = tuple(float(b.mean()) for b in errors[order].tensor_split(BINS))
    return Score(float(errors.mean()), bins, count)


def noise_shape(config, shape):
    """Shape of the noise for images [n, c, h, w]: twice the channels in phase space."""
    n, c, *place = shape
    return (n, 2 * c if config.process.type == "psld" else c, *place)


def problem(process, config, x0, noise, t):
    """What a card hands a network, and the answer, for x0 at times t [n] with given noise.

    -> sample, timestep, true prediction, factor [n] from its error to an error of the noise
    """
    kind = config.process.type
    if kind == "psld":
        return phase.state(config.process, t, x0, noise), t, noise, torch.ones_like(t)
    log_snr = process.log_snr(t)
    cos, sin = circle(log_snr)
    z = wide(cos) * x0 + wide(sin) * noise
    skip, gain = coefficients(config.prediction, cos, sin, config.process.sigma_data)
    truth = wide(skip) * z + wide(gain) * (wide(cos) * noise - wide(sin) * x0)
    if kind == "edm":  # c_in * x with x = z * sqrt(1 + sigma^2), and ln(sigma) / 4
        scale = torch.sqrt((1 + t**2) / (t**2 + config.process.sigma_data**2))
        return z * wide(scale), -log_snr / 4, truth, cos / gain
    scale = process.scale(t)
    sample = z if scale is None else z * wide(scale)
    return sample, t * TIME_SCALE.get(kind, 1), truth, cos / gain


def judge(run, config, images, limit=None, quiet=False):
    """The held-out score of run({"sample", "timestep", "class_labels"}) -> [prediction]."""
    return held_out(predictor(run), config, images, limit=limit, quiet=quiet)


def onnx_predictor(path):
    """predict(sample, timestep, class_labels) for an ONNX file."""
    return predictor(onnx_runner(path))


def predictor(run):
    """predict(sample, timestep, class_labels) by a runner (below)."""
    def predict(sample, timestep, labels):
        return run({"sample": sample, "timestep": timestep, "class_labels": labels})[0]

    return predict


def module_runner(model):
    """run({name: tensor}) -> [tensor, ...] for a module whose inputs come in order."""
    device = next(model.parameters()).device

    def run(inputs):
        with torch.no_grad():
            made = model(*(i.to(device) for i in inputs.values()))
        return [m.cpu() for m in (made if isinstance(made, tuple) else (made,))]

    return run


def onnx_runner(path):
    """run({name: tensor}) -> [tensor, ...] for an ONNX file, by openvino or onnxruntime.

    Names that the graph doesn't have are ignored. ImportError where neither is installed.
    """
    try:
        import openvino
    except ImportError:
        return _onnxruntime_runner(path)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()})
    names = {name for i in compiled.inputs for name in i.names}

    def run(inputs):
        made = compiled({k: v.numpy() for k, v in inputs.items() if k in names})
        return [torch.from_numpy(made[i].copy()) for i in range(len(compiled.outputs))]

    return run


def _onnxruntime_runner(path):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}

    def run(inputs):
        feed = {k: v.numpy() for k, v in inputs.items() if k in names}
        return [torch.from_numpy(made) for made in session.run(None, feed)]

    return run
