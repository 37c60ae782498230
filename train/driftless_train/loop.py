"""The training loop.

A run lives in a folder: checkpoint.pt, loss.csv, loss.svg. Exact resume needs no
generator state: data order, times, noise and dropped labels are functions of
(seed, step), see loss.py and data.py.

The learning rate rises linearly, then stays constant, so no total is needed; a
final linear decay to zero is begun on request and ends the run. The weight average
is a power of the step, so its memory grows with the run.
"""

import csv
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from . import checkpoint, config as configs, data, plot
from .draws import generator
from .flow import marginal
from .loss import body_and_loss
from .process import Process
from .progress import Progress

LOG_FIELDS = ("step", "images", "seconds", "loss", "learning_rate", "images_per_second")


@dataclass
class Limits:
    """When to stop and how to run; nothing here changes what is learned."""

    wall_minutes: float | None = None
    steps: int | None = None  # total steps, not further ones
    quiet: bool = False


class Trainer:
    """State of a run: body, average, Adam, step; made from a configuration or a checkpoint."""

    def __init__(self, config, device="cpu"):
        self.config, self.device = config, torch.device(device)
        torch.manual_seed(config.seed)
        self.bf16, layout = machine_choices(config.train, self.device)
        body, self.loss = body_and_loss(config)
        self.body = body.to(self.device, memory_format=layout)
        self.layout = layout
        self.ema = {k: p.detach().clone() for k, p in self.body.named_parameters()}
        self.process = Process(config.process).to(self.device)
        self.adam = torch.optim.Adam(self.body.parameters(), betas=config.train.betas)
        self.step, self.seconds, self.decay = 0, 0.0, None

    @classmethod
    def from_state(cls, state, device="cpu"):
        """Continue from a checkpoint's dictionary."""
        self = cls(configs.from_dict(state["config"]), device)
        self.step, self.seconds, self.decay = state["step"], state["seconds"], state["decay"]
        self.load_weights(state["body"], state["ema"])
        for name, buffer in self.buffers().items():
            buffer.copy_(state["buffers"][name])
        for name, p in self.body.named_parameters():
            first, second = (state["adam"][k][name].to(p) for k in ("first", "second"))
            self.adam.state[p] = {"step": torch.tensor(float(self.step)),
                                  "exp_avg": torch.empty_like(p).copy_(first),
                                  "exp_avg_sq": torch.empty_like(p).copy_(second)}
        return self

    def buffers(self):
        """What the body keeps besides parameters, by name."""
        saved = self.body.state_dict(keep_vars=True)
        return {k: b for k, b in self.body.named_buffers() if k in saved}

    def begin(self, images):
        """Before the first step: a flow begins as the Gaussian of all training images."""
        if self.config.kind == "flow" and self.step == 0:
            self.body.fit(images, *marginal(self.config.process, self.config.flow.time))

    def state(self):
        """The checkpoint dictionary (see checkpoint.py), on the CPU in standard layout."""
        def plain(tensor):
            return tensor.detach().cpu().contiguous()

        named = dict(self.body.named_parameters())
        moments = {key: {k: plain(self.adam.state[p][kind]) if self.step
                         else torch.zeros(p.shape) for k, p in named.items()}
                   for key, kind in (("first", "exp_avg"), ("second", "exp_avg_sq"))}
        return {"format": checkpoint.FORMAT, "config": configs.to_dict(self.config),
                "step": self.step, "seconds": self.seconds, "decay": self.decay,
                "body": {k: plain(p) for k, p in named.items()},
                "ema": {k: plain(p) for k, p in self.ema.items()}, "adam": moments,
                "buffers": {k: plain(b) for k, b in self.buffers().items()}}

    @torch.no_grad()
    def load_weights(self, body, ema):
        """Copy parameters by name, keeping layout and device."""
        for name, p in self.body.named_parameters():
            if name not in body or body[name].shape != p.shape:
                raise configs.ConfigError(f"weights do not fit this network at {name}")
            p.copy_(body[name])
            self.ema[name].copy_(ema[name])

    def learning_rate(self):
        """Rate of the coming step."""
        rate = self.config.train.learning_rate
        rate *= min(1.0, (self.step + 1) / max(self.config.train.warmup, 1))
        if self.decay:
            first, steps = self.decay
            rate *= max(0.0, 1 - (self.step - first) / steps)
        return rate

    def finished(self):
        """True once the requested decay is over."""
        return self.decay is not None and self.step >= self.decay[0] + self.decay[1]

    def train_step(self, images, order):
        """One step on the next batch; returns the loss before it."""
        settings = self.config.train
        draws = generator(self.config.seed, "step", self.step)
        pixels, labels = images.take(order.batch(self.step * settings.batch, settings.batch))
        pixels = pixels.to(self.device, memory_format=self.layout)
        for group in self.adam.param_groups:
            group["lr"] = self.learning_rate()
        self.adam.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.loss(self.body, self.process, self.config, pixels,
                             labels.to(self.device), draws)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.body.parameters(), settings.clip)
        self.adam.step()
        self.step += 1
        self.update_ema()
        return loss.detach()

    @torch.no_grad()
    def update_ema(self):
        """ema <- d * ema + (1 - d) * parameters"""
        keep = ema_decay(self.step, self.config.train.ema_power)
        ema = list(self.ema.values())
        torch._foreach_lerp_(ema, list(self.body.parameters()), 1 - keep)


def ema_decay(step, power):
    """(1 - 1/step)^(power + 1): weights of the average grow like step^power, whatever the total."""
    return (1 - 1 / step) ** (power + 1)


def machine_choices(settings, device):
    """(bf16?, memory format). Measured on CPUs: without bf16 instructions bf16 is ten times
    slower, and without AVX-512 channels-last is 20 % slower, than the plain alternative."""
    gpu = device.type != "cpu"
    flags = "" if gpu else cpu_flags()
    bf16 = settings.precision == "bf16"
    if settings.precision == "auto":
        bf16 = gpu or "avx512_bf16" in flags or "amx_bf16" in flags
    last = settings.memory_format == "channels_last"
    if settings.memory_format == "auto":
        last = gpu or "avx512f" in flags
    return bf16, torch.channels_last if last else torch.contiguous_format


def cpu_flags():
    """The CPU's feature flags as text, empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("flags")), "")


class StopRequest:
    """SIGINT and SIGTERM set a flag; the loop finishes its step, saves and returns."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self.old = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.old.items():
            signal.signal(number, handler)

    def _ask(self, *_):
        self.asked = True


class LossLog:
    """loss.csv: one row per `log_steps` steps; rows after a resumed checkpoint are dropped."""

    def __init__(self, folder, step):
        self.path, self.folder = Path(folder) / "loss.csv", Path(folder)
        kept = [row for row in read_log(self.path) if int(row["step"]) <= step]
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, LOG_FIELDS)
            writer.writeheader()
            writer.writerows(kept)

    def add(self, **row):
        """Append one row."""
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, LOG_FIELDS).writerow(row)

    def draw(self):
        """Write loss.svg beside it."""
        rows = read_log(self.path)
        points = [(int(r["step"]), float(r["loss"])) for r in rows]
        plot.write(self.folder / "loss.svg", points, "step", "training loss")


def read_log(path):
    """Rows of a loss.csv as dictionaries of text, none where there is no file."""
    if not Path(path).exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def run(trainer, folder, limits):
    """Train until a limit, the end of the decay or a signal; returns why it stopped."""
    folder, settings = Path(folder), trainer.config.train
    folder.mkdir(parents=True, exist_ok=True)
    images = data.load(trainer.config.data, train=True)
    trainer.begin(images)
    order = data.Order(len(images), trainer.config.seed)
    log, progress = LossLog(folder, trainer.step), Progress(limits.quiet)
    began = saved = time.monotonic()
    base, losses, mark = trainer.seconds, [], (trainer.step, began)
    total = sum(trainer.decay) if trainer.decay else limits.steps
    with StopRequest() as stop:
        while (why := reason(trainer, limits, stop, time.monotonic() - began)) is None:
            losses.append(trainer.train_step(images, order))
            now = time.monotonic()
            trainer.seconds = base + now - began
            if trainer.step % settings.log_steps == 0:
                loss = float(torch.stack(losses).mean())
                rate = (trainer.step - mark[0]) * settings.batch / (now - mark[1])
                log.add(step=trainer.step, images=trainer.step * settings.batch,
                        seconds=round(trainer.seconds), loss=f"{loss:.6f}",
                        learning_rate=f"{trainer.learning_rate():.3g}",
                        images_per_second=f"{rate:.1f}")
                losses, mark = [], (trainer.step, now)
            if now - saved > 60 * settings.checkpoint_minutes:
                checkpoint.save(folder / "checkpoint.pt", trainer.state())
                log.draw()
                saved = now
            left = limits.wall_minutes and 60 * limits.wall_minutes - (now - began)
            progress.show(trainer.step, total, left, "steps", f", loss {float(losses[-1]):.4f}"
                          if losses and progress.on else "")
    progress.close()
    checkpoint.save(folder / "checkpoint.pt", trainer.state())
    log.draw()
    return why


def reason(trainer, limits, stop, elapsed):
    """Why to stop now, or None."""
    if stop.asked:
        return "stopped by a signal"
    if trainer.finished():
        return "the learning-rate decay is over"
    if limits.steps is not None and trainer.step >= limits.steps:
        return "the requested steps are done"
    if limits.wall_minutes is not None and elapsed >= 60 * limits.wall_minutes:
        return "the wall-clock limit is reached"
    return None
