"""Classifiers: variation of images, training, accuracy, and the exported feature network."""

import hashlib
import json

import pytest
import torch

from driftless_train import checkpoint, cli, data, evaluate, features
from driftless_train.classifier import ClassifierConfig
from driftless_train.config import ConfigError
from driftless_train.loop import Limits, Trainer, run
from driftless_train.loss import vary

SMALL = {"size": 8, "classes": 4, "widths": [8, 8], "strides": [2, 1], "features": 6,
         "groups": 4, "embedding": 16, "shift": 0, "flip": False}


@pytest.fixture
def classifier(make):
    """classifier(noise=..., ...) -> Config of a tiny classifier of the toy data."""
    def build(**changes):
        return make(kind="classifier", classifier={**SMALL, **changes},
                    train={"learning_rate": 5e-3})
    return build


@pytest.mark.parametrize("shift,flip", [(0, False), (0, True), (2, False), (2, True)])
def test_variation_moves_and_mirrors_whole_images(shift, flip):
    """Every image is exactly one of the allowed variants, and all of those occur."""
    x = torch.rand(1024, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    made = vary(x, ClassifierConfig(shift=shift, flip=flip), torch.Generator().manual_seed(1))
    places, seen = range(2 * shift + 1), set()
    for before, after in zip(x, made):
        hits = []
        for mirror in (False, True):
            image = before.flip(-1) if mirror else before
            padded = torch.nn.functional.pad(image, (shift,) * 4, value=-1.0)
            hits += [(mirror, i, j) for i in places for j in places
                     if torch.equal(after, padded[:, i:i + 6, j:j + 6])]
        assert len(hits) == 1
        seen.add(hits[0])
    assert len(seen) == (1 + flip) * len(places) ** 2


@pytest.mark.parametrize("noise", [False, True])
def test_short_training_classifies(classifier, tmp_path, noise):
    config = classifier(noise=noise)
    images = data.load(config.data, train=False)

    def score(trainer):
        model, _ = features.classifier(trainer.state())
        return features.judge(evaluate.module_runner(model), config, images, quiet=True)

    trainer = Trainer(config)
    assert score(trainer).mean < 0.6
    run(trainer, tmp_path, Limits(steps=150, quiet=True))
    trained = score(trainer)
    assert len(trained.groups) == (10 if noise else 4)
    assert trained.groups[0] > 0.97
    if noise:  # nothing can be known at t = 1: one of four at random
        assert trained.groups[-1] < 0.6
    else:
        assert trained.mean > 0.97


def test_resume_is_exact(classifier, tmp_path):
    config = classifier(noise=True, shift=1, flip=True)
    run(whole := Trainer(config), tmp_path / "whole", Limits(steps=8, quiet=True))
    run(Trainer(config), tmp_path / "parts", Limits(steps=3, quiet=True))
    saved = checkpoint.load(tmp_path / "parts" / "checkpoint.pt")
    run(again := Trainer.from_state(saved), tmp_path / "parts", Limits(steps=8, quiet=True))
    for name, value in whole.state()["ema"].items():
        assert torch.equal(value, again.state()["ema"][name])


def test_export_and_card(classifier, tmp_path, capsys):
    trainer = Trainer(classifier())
    run(trainer, tmp_path, Limits(steps=20, quiet=True))
    images = data.load(trainer.config.data, train=False)
    worst = features.export_classifier(trainer.state(), tmp_path / "model", images)
    card = json.loads((tmp_path / "model" / "features.json").read_text())
    network = (tmp_path / "model" / card["network"]["file"]).read_bytes()
    assert card["network"]["sha256"] == hashlib.sha256(network).hexdigest()
    assert card["image"] == {"shape": [1, 8, 8], "range": [-1.0, 1.0]}
    assert card["features"]["count"] == 6 and card["classes"] == {"count": 4}
    assert cli.main(["evaluate", str(tmp_path), "--quiet"]) == 0
    from_checkpoint = capsys.readouterr().out
    assert f"accuracy {card['accuracy']['value']:.4f} " in from_checkpoint
    if worst is None:
        pytest.skip("neither openvino nor onnxruntime is installed")
    assert worst < 1e-4
    graph = evaluate.onnx_runner(tmp_path / "model" / "network.onnx")
    made = graph({"images": images.take([0])[0]})
    assert [list(m.shape) for m in made] == [[1, 6], [1, 4]]


def test_kinds_do_not_mix(make, classifier):
    with pytest.raises(ConfigError, match="not a classifier"):
        features.classifier(Trainer(make()).state())
    with pytest.raises(ConfigError, match="one length"):
        classifier(widths=[8])
