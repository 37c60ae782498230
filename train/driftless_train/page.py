"""The page of a model: what it is, how good, how it was trained, what it draws.

Everything is read or measured here: the card, the run's log, the held-out loss of the exported
graph, and by the program `driftless` the Fréchet distance and a grid of samples. What a page holds
from the line "## Remarks" on is by hand, and stays when the page is made anew.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import config as configs, data, evaluate

REMARKS = "\n## Remarks\n"
FASHION_TEST = Path(data.FASHION_HOME) / "t10k-images-idx3-ubyte.gz"
PICTURES, NFE = 100, 10
PROCESSES = {
    "vp_linear": "VP, linear beta(t)", "vp_discrete": "VP, discrete linear betas",
    "flow": "rectified flow, x_t = (1 - t) x_0 + t n", "edm": "x_0 + sigma n, EDM preconditioning",
    "psld": "phase-space Langevin diffusion, hybrid score matching",
}


class Measure:
    """What `driftless` says of a model. Lists of words: sampler, its options for the distance; start,
    those that say where every run begins."""

    def __init__(self, program, reference, features, samples, sampler, start=(), threads=None):
        self.program, self.reference, self.features = program, reference, features
        self.samples, self.sampler, self.start = samples, [*start, *sampler], start
        self.threads = ["--threads", threads] if threads else []

    def run(self, *words):
        """Run the program; ConfigError with its own sentence where it fails."""
        try:
            done = subprocess.run([str(w) for w in (self.program, *words)], capture_output=True,
                                  text=True)
        except OSError as error:
            raise configs.ConfigError(f"{self.program}: {error.strerror}") from error
        if done.returncode:
            raise configs.ConfigError(done.stderr.strip())

    def distance(self, folder):
        """Fréchet distance of the model's samples to the reference."""
        with tempfile.TemporaryDirectory() as scratch:
            record = Path(scratch) / "record.json"
            self.run("eval", f"model:{folder}", "--ref", self.reference, "--features",
                     self.features, "--metrics", "fid", "-n", self.samples, *self.sampler,
                     "--quiet", *self.threads, "--json", record)
            return json.loads(record.read_text())["metrics"]["fid"]["value"]

    def grid(self, folder, path):
        """A picture of samples at few evaluations; the options that say so."""
        words = ["-n", PICTURES, *self.start, "--solver", "auto", "--nfe", NFE]
        self.run("sample", folder, *words, "--quiet", *self.threads, "-o", path)
        return " ".join(map(str, words))


def write(state, run, folder, measure):
    """Write folder/README.md, loss.csv, loss.svg and samples.png for the checkpoint dictionary
    `state` of the run in folder `run`, exported to `folder`."""
    config = configs.from_dict(state["config"])
    if config.kind != "denoiser":
        raise configs.ConfigError("pages are made of denoisers")
    run, folder = Path(run), Path(folder)
    score = evaluate.judge(evaluate.onnx_runner(folder / "network.onnx"), config,
                           data.load(config.data, train=False), quiet=True)
    drawn = measure.grid(folder, folder / "samples.png")
    count = sum(p.numel() for p in state["ema"].values())
    lines = [*head(config, count, folder), *figures(score, measure, folder),
             *training(state, config), *pictures(folder, drawn)]
    page = folder / "README.md"
    kept = page.read_text().partition(REMARKS)[1:] if page.exists() else ()
    page.write_text("\n".join(lines) + "\n" + "".join(kept))
    for name in ("loss.csv", "loss.svg"):
        shutil.copyfile(run / name, folder / name)


def head(config, count, folder):
    """Title and what the card says."""
    card = json.loads((folder / "model.json").read_text())
    size = (folder / "network.onnx").stat().st_size
    classes = card.get("classes")
    rows = {
        "network": f"{count:,} parameters".replace(",", " ")
                   + (" in float16" if size < 3 * count else "") + f", {size / 1e6:.2f} MB",
        "process": f"{PROCESSES[card['process']['type']]}, t from {card['t_min']:g} to {card['t_max']:g}",
        "predicts": f"`{card['prediction_type']}`",
        "classes": f"{classes['count']}; label {classes['null']} is no class" if classes else "none",
        "data, licence": f"{card.get('data', config.data.dataset)}; {card['license']}",
    }
    return [f"# {config.name}: {config.about}".rstrip(": "), "", "| | |", "|---|---|",
            *(f"| {what} | {value} |" for what, value in rows.items()), ""]


def figures(score, measure, folder):
    """Held-out loss and Fréchet distance."""
    sampler = " ".join(map(str, measure.sampler))
    return ["## Measured", "",
            "Held-out loss, mean squared error of the noise over all times,"
            f" {score.count} test images: **{score.mean:.5f}**.", "By tenths of the time range,"
            " least noise first:", "",
            "| " + " | ".join(f"{b:.4f}" for b in score.bins) + " |",
            "|" + "---|" * len(score.bins), "",
            f"Fréchet distance of {measure.samples} samples (seed 0, labels i mod the number of classes)"
            f" to the test images,", f"features of `{Path(measure.features).name}`, `{sampler}`:"
            f" **{measure.distance(folder):.2f}**.", ""]


def training(state, config):
    """How it was trained, from the checkpoint."""
    settings, step = config.train, state["step"]
    start = f"from `{Path(config.init_from).name}`" if config.init_from else "from scratch"
    decay = f", falling to zero over the last {state['decay'][1]} steps" if state["decay"] else ""
    return ["## Training", "",
            f"`train/configs/{config.name}.toml`, {start}: {step} steps of {settings.batch} images"
            f" ({step * settings.batch / 1000:.0f} thousand), {state['seconds'] / 3600:.2f} hours;",
            f"Adam, rate {settings.learning_rate:g}{decay}; averaged weights. [loss.csv](loss.csv) is the log.",
            "", "![training loss](loss.svg)", ""]


def pictures(folder, options):
    """The grid of samples."""
    return ["## Samples", "",
            f"`driftless sample models/{folder.name} {options} -o samples.png`:",
            "", "![samples](samples.png)"]
