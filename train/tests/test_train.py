"""Training: the loss falls, resume is exact, stops are clean, packed checkpoints work."""

import os
import signal
import threading

import pytest
import torch

from driftless_train import checkpoint, cli, data, evaluate, export, loop
from driftless_train.config import ConfigError
from driftless_train.loop import Limits, Trainer, ema_decay, read_log, run
from driftless_train.pack import pack


def score(trainer, config):
    model, _ = export.denoiser(trainer.state())
    return evaluate.held_out(model, config, data.load(config.data, train=False), quiet=True).mean


def flat(state):
    parts = [*state["body"].values(), *state["ema"].values(),
             *state["adam"]["first"].values(), *state["adam"]["second"].values()]
    return torch.cat([p.reshape(-1) for p in parts])


def test_short_training_learns(make, tmp_path):
    config = make(train={"learning_rate": 2e-3})
    trainer = Trainer(config)
    untrained = score(trainer, config)
    assert run(trainer, tmp_path, Limits(steps=200, quiet=True)) == "the requested steps are done"
    assert score(trainer, config) < 0.5 * untrained
    assert len(read_log(tmp_path / "loss.csv")) == 20
    assert (tmp_path / "loss.svg").read_text().startswith("<svg")


def test_resume_is_exact(make, tmp_path):
    """8 steps at once, and 3 + 5 through a file, give the same bits; epochs are crossed."""
    config = make(train={"batch": 200, "log_steps": 1})
    run(whole := Trainer(config), tmp_path / "whole", Limits(steps=8, quiet=True))
    run(Trainer(config), tmp_path / "parts", Limits(steps=3, quiet=True))
    saved = checkpoint.load(tmp_path / "parts" / "checkpoint.pt")
    run(again := Trainer.from_state(saved), tmp_path / "parts", Limits(steps=8, quiet=True))
    assert torch.equal(flat(whole.state()), flat(again.state()))
    losses = [[row["loss"] for row in read_log(tmp_path / d / "loss.csv")]
              for d in ("whole", "parts")]
    assert losses[0] == losses[1] and len(losses[0]) == 8


def test_rows_after_the_checkpoint_are_dropped(make, tmp_path):
    config = make(train={"log_steps": 1})
    run(Trainer(config), tmp_path, Limits(steps=3, quiet=True))
    saved = checkpoint.load(tmp_path / "checkpoint.pt")
    run(Trainer.from_state(saved), tmp_path, Limits(steps=6, quiet=True))
    run(Trainer.from_state(saved), tmp_path, Limits(steps=4, quiet=True))
    assert [row["step"] for row in read_log(tmp_path / "loss.csv")] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly(make, tmp_path, number):
    trainer = Trainer(make())
    threading.Timer(1.0, os.kill, (os.getpid(), number)).start()
    assert run(trainer, tmp_path, Limits(quiet=True)) == "stopped by a signal"
    assert checkpoint.load(tmp_path / "checkpoint.pt")["step"] == trainer.step > 0


def test_wall_clock_limit(make, tmp_path):
    assert "wall-clock" in run(Trainer(make()), tmp_path, Limits(wall_minutes=0.01, quiet=True))


def test_decay_falls_to_zero_and_ends_the_run(make, tmp_path):
    trainer = Trainer(make())
    run(trainer, tmp_path, Limits(steps=12, quiet=True))
    assert trainer.learning_rate() == pytest.approx(1e-3)
    trainer.decay = [12, 10]
    run(trainer, tmp_path, Limits(quiet=True))
    assert trainer.step == 22 and trainer.learning_rate() == 0


def test_average_weights_like_a_power_of_the_step():
    average, steps = 0.0, 4000
    for step in range(1, steps + 1):  # the average of s/steps, weighted by s^7, tends to 8/9
        keep = ema_decay(step, 7.0)
        average = keep * average + (1 - keep) * step / steps
    assert average == pytest.approx(8 / 9, abs=1e-3)


def test_packed_checkpoint(make, tmp_path):
    trainer = Trainer(make())
    run(trainer, tmp_path, Limits(steps=20, quiet=True))
    size = pack(trainer.state(), tmp_path / "tiny.pt.xz")
    assert size < (tmp_path / "checkpoint.pt").stat().st_size / 2
    state, packed = trainer.state(), checkpoint.load(tmp_path / "tiny.pt.xz")
    for name, p in state["body"].items():
        assert torch.allclose(packed["body"][name], p, rtol=2**-16, atol=0)
        assert torch.allclose(packed["ema"][name], state["ema"][name], rtol=1e-3, atol=1e-6)
        assert torch.allclose(packed["adam"]["second"][name], state["adam"]["second"][name],
                              rtol=2**-8, atol=0)
    assert packed["step"] == 20 and packed["config"]["name"] == "tiny"
    run(Trainer.from_state(packed), tmp_path / "go", Limits(steps=22, quiet=True))


def test_a_sibling_starts_from_the_base(make):
    """Same body, other interface: right at once, as every prediction is linear in v."""
    base = Trainer(make())
    for p in base.body.parameters():
        torch.nn.init.normal_(p, std=0.1)
    weights = {k: p.detach() for k, p in base.body.named_parameters()}
    sibling = Trainer(make("v_prediction"))
    sibling.load_weights(weights, weights)
    base.load_weights(weights, weights)
    assert score(sibling, sibling.config) == pytest.approx(score(base, base.config), rel=1e-3)
    with pytest.raises(ConfigError, match="do not fit"):
        Trainer(make(net={"widths": [8, 8, 8]})).load_weights(weights, weights)


def test_a_broken_checkpoint_is_a_sentence(tmp_path, capsys):
    (tmp_path / "checkpoint.pt").write_bytes(b"not one")
    (tmp_path / "x.pt.xz").write_bytes(b"not one")
    assert cli.main(["resume", str(tmp_path)]) == 1
    assert cli.main(["resume", str(tmp_path / "x.pt.xz")]) == 1
    assert cli.main(["resume", str(tmp_path / "absent")]) == 1
    assert capsys.readouterr().err.count("driftless_train: ") == 3


def test_machine_choices_can_be_forced(make):
    settings = make(train={"precision": "bf16", "memory_format": "channels_last"}).train
    assert loop.machine_choices(settings, torch.device("cpu")) == (True, torch.channels_last)
