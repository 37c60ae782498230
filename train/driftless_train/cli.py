"""Training recipes for driftless. Each verb has its own --help."""

import argparse
import json
import sys
from pathlib import Path

import torch

from . import checkpoint, config as configs, data, evaluate as evaluation, loop
from . import export as exporter, features, flow_prior, foreign, gradient, lenet, page, rows
from .pack import pack as write_packed


def parser():
    """The argument parser; one sub-command per verb."""
    top = argparse.ArgumentParser(prog="driftless_train", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    add = verbs.add_parser("train", help="train a model from a configuration file")
    add.add_argument("config", type=Path)
    _run_options(add)

    add = verbs.add_parser("resume", help="continue a run where it stopped")
    add.add_argument("checkpoint", type=Path, help="a run's folder, a checkpoint, a packed one")
    _run_options(add)

    add = verbs.add_parser("evaluate",
                         help="held-out loss, accuracy or gain of a checkpoint or an ONNX file")
    add.add_argument("network", type=Path, help="a run's folder, a checkpoint or NETWORK.onnx")
    add.add_argument("--config", type=Path, help="configuration that fits an ONNX file")
    add.add_argument("--raw", action="store_true", help="the weights, not their average")
    add.add_argument("--limit", type=int, help="only the first so many held-out images")
    _machine_options(add)

    add = verbs.add_parser("export", help="write network.onnx and its card")
    add.add_argument("checkpoint", type=Path)
    add.add_argument("folder", type=Path)
    add.add_argument("--half", action="store_true", help="store the weights as float16")
    add.add_argument("--batch", type=int, help="a graph for this batch size only")
    add.add_argument("--jvp", action="store_true", help="write jvp.onnx instead: the network with"
                     " its derivative along a further input, `tangent`")
    _machine_options(add)

    add = verbs.add_parser("pack", help="write a small checkpoint that outlives the machine")
    add.add_argument("checkpoint", type=Path)
    add.add_argument("output", type=Path, help="NAME.pt.xz")
    _machine_options(add)

    add = verbs.add_parser("page", help="measure an exported denoiser and write its page")
    add.add_argument("run", type=Path, help="the run's folder")
    add.add_argument("folder", type=Path, help="the model's, which gets README.md, samples.png, loss.*")
    add.add_argument("--program", default="driftless", help="path of the program (default: driftless)")
    add.add_argument("--reference", default=str(page.FASHION_TEST), help="images for the distance")
    add.add_argument("--features", default="fashion-classifier", help="feature network of `driftless eval`")
    add.add_argument("--samples", type=int, default=2000)
    add.add_argument("--sampler", default="--solver deis:order=2 --nfe 50",
                     help="options of `driftless eval` (default: %(default)s)")
    add.add_argument("--start", default="", metavar="OPTIONS", help="where every run begins, as in"
                     " \"--prior FILE --t-start 0.3\" (default: noise)")
    _machine_options(add)

    add = verbs.add_parser("wrap", help="export any PyTorch module that has a card")
    add.add_argument("module", help="PACKAGE.MODULE:FUNCTION, which returns the module")
    add.add_argument("card", type=Path, help="model.json without its entry `network`")
    _foreign_options(add)

    add = verbs.add_parser("diffusers", help="export a UNet2DModel pipeline of diffusers")
    add.add_argument("pipeline", type=Path, help="its folder, with unet/ and scheduler/")
    _foreign_options(add)

    add = verbs.add_parser("rows", help="rewrite the group normalisations of an ONNX file from"
                           " elsewhere, for speed: float32 results stay the same")
    add.add_argument("network", type=Path)
    add.add_argument("output", type=Path)
    _machine_options(add)

    add = verbs.add_parser("lenet", help="convert the published LeNet-5 for MNIST")
    add.add_argument("weights", type=Path, help="npz with conv2d.w, conv2d.b, ..., dense_2.b")
    add.add_argument("folder", type=Path)
    add.add_argument("--data", help="MNIST as npz with test_x and test_y, for the accuracy")
    _machine_options(add)
    return top


def _foreign_options(verb):
    verb.add_argument("folder", type=Path)
    verb.add_argument("--batch", type=int, help="a graph for this batch size only")
    _machine_options(verb)


def _run_options(verb):
    verb.add_argument("--run", type=Path, help="folder of the run (default: runs/NAME)")
    verb.add_argument("--wall-minutes", type=float, help="stop after this time")
    verb.add_argument("--steps", type=int, help="stop at this total number of steps")
    verb.add_argument("--decay", type=int, metavar="STEPS",
                      help="begin the final learning-rate decay now, stop after STEPS")
    _machine_options(verb)


def _machine_options(verb):
    verb.add_argument("--device", default="auto", help="cpu, cuda, ... (default: cuda if there)")
    verb.add_argument("--threads", type=int, help="CPU threads")
    verb.add_argument("--quiet", action="store_true", help="no progress line")


def device(arguments):
    """The torch device asked for."""
    if arguments.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return arguments.device


def load(path):
    """A checkpoint dictionary; a run's folder stands for the checkpoint in it."""
    return checkpoint.load(path / "checkpoint.pt" if path.is_dir() else path)


def train(arguments):
    """Start a run; refuses to overwrite one."""
    config = configs.read(arguments.config)
    folder = arguments.run or Path("runs") / config.name
    if (folder / "checkpoint.pt").exists():
        raise configs.ConfigError(f"{folder} holds a run already: use resume, or another --run")
    trainer = loop.Trainer(config, device(arguments))
    if config.init_from:
        base = load(arguments.config.parent / config.init_from)
        trainer.load_weights(base["ema"], base["ema"])
    return _go(trainer, folder, arguments)


def resume(arguments):
    """Continue from a checkpoint: in its own folder if it has one, else as --run says."""
    path = arguments.checkpoint
    trainer = loop.Trainer.from_state(load(path), device(arguments))
    own = path if path.is_dir() else path.parent if path.name == "checkpoint.pt" else None
    return _go(trainer, arguments.run or own or Path("runs") / trainer.config.name, arguments)


def _go(trainer, folder, arguments):
    if arguments.decay:  # the way back, should the run go on after all
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(folder / "before-decay.pt", trainer.state())
        trainer.decay = [trainer.step, arguments.decay]
    why = loop.run(trainer, folder,
                   loop.Limits(arguments.wall_minutes, arguments.steps, arguments.quiet))
    print(f"{trainer.config.name}: step {trainer.step}, {why}; {folder / 'checkpoint.pt'}")
    return 0


def evaluate(arguments):
    """Print the held-out loss, the accuracy of a classifier, or the gate of a flow."""
    path, state = arguments.network, None
    if path.suffix == ".onnx":
        if not arguments.config:
            raise configs.ConfigError("an ONNX file needs --config, for its process and data")
        config = configs.read(arguments.config)
        if config.kind == "classifier" and config.classifier.noise:
            raise configs.ConfigError("a gradient graph has no accuracy: evaluate its checkpoint")
    else:
        state = load(path)
        if arguments.raw:
            state["ema"] = state["body"]
        config = configs.from_dict(state["config"])
    images = data.load(config.data, train=False)
    restore, judge = JUDGES[config.kind]
    if state:
        run = evaluation.module_runner(restore(state)[0].to(device(arguments)))
    else:
        run = evaluation.onnx_runner(path)
    print(judge(run, config, images, arguments.limit, arguments.quiet))
    return 0


def export(arguments):
    """Write the averaged weights as a model folder and say how well the graph agrees."""
    state = load(arguments.checkpoint)
    config = configs.from_dict(state["config"])
    images = data.load(config.data, train=False)
    shape = tuple(images.pixels.shape[1:])
    if config.kind != "denoiser" and (arguments.half or arguments.jvp or arguments.batch):
        raise configs.ConfigError("--half, --jvp and --batch are for denoisers")
    if config.kind == "flow":
        worst = flow_prior.export(state, arguments.folder, images)
    elif config.kind == "classifier":
        write = gradient.export if config.classifier.noise else features.export_classifier
        worst = write(state, arguments.folder, images)
    elif arguments.jvp:
        worst = exporter.export_jvp(*exporter.denoiser(state), arguments.folder, shape)
    else:
        worst = exporter.export(state, arguments.folder, shape, arguments.half,
                                batch=arguments.batch,
                                moments=data.load(config.data, train=True).moments())
    return _agreement(arguments.folder, worst,
                      exporter.TOLERANCE_HALF if arguments.half else exporter.TOLERANCE)


def _agreement(folder, worst, allowed=exporter.TOLERANCE):
    """Say how well a graph agrees with PyTorch -> exit status."""
    if worst is None:
        print("round trip not checked: neither openvino nor onnxruntime is installed")
        return 0
    print(f"{folder}: largest difference from PyTorch {worst:.2e} (allowed {allowed:g})")
    return 0 if worst <= allowed else 1


def pack(arguments):
    """Write a packed checkpoint."""
    size = write_packed(load(arguments.checkpoint), arguments.output)
    print(f"{arguments.output}: {size / 1e6:.2f} MB")
    return 0


def write_page(arguments):
    """Write the page of a model."""
    measure = page.Measure(arguments.program, arguments.reference, arguments.features,
                           arguments.samples, arguments.sampler.split(),
                           arguments.start.split(), arguments.threads)
    page.write(load(arguments.run), arguments.run, arguments.folder, measure)
    print(arguments.folder / "README.md")
    return 0


def wrap(arguments):
    """Export a module that a function of the user's makes."""
    try:
        card = json.loads(arguments.card.read_text())
    except (OSError, ValueError) as error:
        raise configs.ConfigError(f"{arguments.card}: {error}") from error
    worst = foreign.export(foreign.module(arguments.module), card, arguments.folder,
                           arguments.batch)
    return _agreement(arguments.folder, worst)


def diffusers(arguments):
    """Export a UNet2DModel with a card made from its configuration."""
    model, card = foreign.from_diffusers(arguments.pipeline)
    return _agreement(arguments.folder,
                      foreign.export(model, card, arguments.folder, arguments.batch))


def rewrite_rows(arguments):
    """Write an ONNX file whose group normalisations work on rows."""
    count = rows.rewrite(arguments.network, arguments.output)
    if not count:
        raise configs.ConfigError(f"{arguments.network}: no group normalisation as PyTorch's exporter"
                                  " writes it; nothing was written")
    print(f"{arguments.output}: {count} normalisations")
    return 0


def convert_lenet(arguments):
    """Write LeNet-5 as a feature network."""
    images = None
    if arguments.data:
        images = data.load(configs.DataConfig("npz", arguments.data), train=False)
    worst, score = lenet.convert(arguments.weights, arguments.folder, images)
    if score:
        print(score)
    return _agreement(arguments.folder, worst)


# by kind: what evaluate restores from a checkpoint, and how it judges that
JUDGES = {"denoiser": (exporter.denoiser, evaluation.judge),
          "classifier": (features.classifier, features.judge),
          "flow": (flow_prior.density, flow_prior.judge)}
VERBS = {"train": train, "resume": resume, "evaluate": evaluate, "export": export, "pack": pack,
         "lenet": convert_lenet, "page": write_page, "wrap": wrap, "diffusers": diffusers,
         "rows": rewrite_rows}


def main(arguments=None):
    """Exit status: 0 done or stopped cleanly, 1 a message on stderr, 2 usage."""
    arguments = parser().parse_args(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        return VERBS[arguments.verb](arguments)
    except configs.ConfigError as error:
        print(f"driftless_train: {error}", file=sys.stderr)
        return 1
