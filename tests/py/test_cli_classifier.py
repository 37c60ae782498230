"""Classifier guidance of model folders: a network and a gradient graph that are a mixture's own, so that the
program's answers for the mixture are the truth."""

import json
import shutil

import numpy as np
import pytest

USAGE, MODEL = 2, 3
MIXTURE = {
    "format": "driftless-mixture/1", "weights": [0.5, 0.3, 0.2],
    "means": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]], "stds": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]],
    "labels": [0, 1, 0]}
CARD = {
    "format": "driftless-model/1", "name": "two-moods", "network": {"file": "noise.onnx"},
    "classifier": {"file": "gradient.onnx", "inputs": {"sample": "x", "time": "timestep", "class": "label"},
                   "output": "gradient", "classes": {"count": 2, "names": ["many", "one"]}},
    "process": "vp_linear", "prediction_type": "epsilon", "time_map": {"type": "linear"},
    "t_min": 0.001, "t_max": 1, "sample": {"shape": [2], "range": [-3, 3]}}
RUN = ["-n", 9, "--solver", "deis:order=2", "--steps", 8, "-s", 5]


@pytest.fixture
def folder(tmp_path, root):
    """folder(card): a model folder of the two graphs with this card."""
    path = tmp_path / "model"
    path.mkdir()
    for name in ("noise", "gradient", "linear", "phase"):
        shutil.copy(root / f"tests/data/networks/{name}.onnx", path)

    def make(card):
        (path / "model.json").write_text(json.dumps(card))
        return path

    return make


@pytest.fixture
def draw(run, tmp_path):
    def call(*arguments):
        run("sample", *arguments, "-o", "x.npy", "-q")
        return np.load(tmp_path / "x.npy")

    return call


@pytest.fixture
def mixture(tmp_path):
    (tmp_path / "mixture.json").write_text(json.dumps(MIXTURE))
    return "mixture:mixture.json"


@pytest.mark.parametrize("label", [0, 1])
def test_a_graph_guides_to_the_class(folder, draw, mixture, label):
    model = folder(CARD)
    truth = draw(mixture, *RUN, "--class", label)
    got = draw(model, *RUN, "--classifier-guidance", 1, "--class", label)
    assert np.abs(got - truth).max() < 2e-4
    assert np.abs(draw(model, *RUN) - truth).max() > 0.1
    more = draw(model, *RUN, "--classifier-guidance", 2.5, "--class", ["many", "one"][label])
    exact = draw(mixture, *RUN, "--guidance", 0, "--classifier-guidance", 2.5, "--class", label)
    assert np.abs(more - exact).max() < 1e-3
    assert np.abs(more - got).max() > 0.01


def test_samples_take_turns_and_do_not_depend_on_their_number(folder, draw):
    model = folder(CARD)
    guided = ["--classifier-guidance", 3]
    whole = draw(model, *RUN, *guided)
    assert np.array_equal(whole[4:7], draw(model, *RUN[2:], *guided, "-n", 3, "--first", 4))
    assert np.array_equal(whole, draw(model, *RUN, *guided, "--batch", 2))
    assert np.allclose(whole[1::2], draw(model, *RUN, *guided, "-c", "one")[1::2], atol=1e-5)


def test_both_kinds_of_guidance(run, draw, mixture):
    guided = [mixture, *RUN, "--class", 1]
    assert np.allclose(draw(*guided, "-g", 0, "--classifier-guidance", 1), draw(*guided), atol=1e-4)
    done = run("sample", *guided, "-g", 2, "--classifier-guidance", 1, "-o", "y.npy")
    assert "8 per sample (24 network calls)" in done.stdout


def test_adaptive_steps(folder, draw, mixture):
    solver = ["-n", 3, "--solver", "ode45", "--class", 0]
    got = draw(folder(CARD), *solver, "--classifier-guidance", 1)
    assert np.abs(got - draw(mixture, *solver)).max() < 1e-3


def test_record_and_card_tell_of_the_classifier(folder, run, tmp_path):
    model = folder(CARD)
    run("sample", model, *RUN, "--classifier-guidance", 2, "-o", "x.npz", "--json", "r.json", "-q")
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["run"]["network_calls_per_sample"] == 2 * record["run"]["nfe"] == 16
    assert record["model"]["info"]["runtime"]["classifier_guidance"] == 2
    assert record["model"]["info"]["calls"] == 2
    assert len(record["model"]["classifier_sha256"]) == 64
    assert np.load(tmp_path / "x.npz")["arr_1"].tolist() == [i % 2 for i in range(9)]
    card = json.loads(run("info", model, "--json").stdout)["classifier"]
    assert card["file"] == "gradient.onnx" and card["classes"] == CARD["classifier"]["classes"]
    again = dict(CARD, classifier=card)
    assert json.loads(run("info", folder(again), "--json").stdout)["classifier"] == card


def test_statistics_and_tuning_know_the_scale(folder, run, tmp_path):
    model = folder(CARD)
    some = ["-n", 4, "--nfe", 20]
    run("stats", model, *some, "--classifier-guidance", 2, "-o", "s.json", "-q")
    settings = json.loads((tmp_path / "s.json").read_text())["settings"]
    assert settings["guidance"] == "1 and classifier 2"
    done = run("stats", model, "-n", 8, "--nfe", 20, "-o", "s.json", "-q", ok=False)
    assert "guidance differs" in done.stderr
    tune = ["--solver", "deis", "--nfe", 5, "-n", 8, "-o", "t.json", "-q"]
    run("tune", model, *tune, "--classifier-guidance", 2)
    done = run("sample", model, *RUN[:4], "--nfe", 5, "--grid", "auto", "--tuned", "t.json", "-o", "x.npy", ok=False)
    assert "another guidance" in done.stderr


def changed(**members):
    """The card with a changed classifier; None takes a member away."""
    members = {**CARD["classifier"], **members}
    return dict(CARD, classifier={k: v for k, v in members.items() if v is not None})


CLASSES = {"count": 2, "null": 2}
CONDITIONAL = {"network": {"file": "linear.onnx"}, "classes": CLASSES, "sample": {"shape": [1, 2, 2]}}
ON_OPENING = [
    (changed(classes=None), "neither it nor the card"),
    (changed(classes=CLASSES), "null class"),
    (changed(file="../gradient.onnx"), "classifier"),
    (changed(file=None), "file"),
    (changed(sha256="0"), "64 hexadecimal digits"),
    (dict(CARD, classifier=7), "classifier"),
    (dict(CARD, **CONDITIONAL), "the card's hold here"),
]
ON_GUIDING = [
    (changed(file="none.onnx"), MODEL, "none.onnx"),
    (changed(sha256="0" * 64), MODEL, "sha256"),
    (changed(file="phase.onnx", inputs=None, output=None), MODEL, "input"),
    (changed(file="noise.onnx", inputs=None, output=None), MODEL, "inputs"),
    (changed(output="nothing"), MODEL, "nothing"),
    ({k: v for k, v in CARD.items() if k != "classifier"}, USAGE, "needs a classifier"),
]


@pytest.mark.parametrize("card, word", ON_OPENING, ids=[w for _, w in ON_OPENING])
def test_refused_cards(folder, run, card, word):
    done = run("info", folder(card), ok=False)
    assert done.returncode == MODEL and word in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("card, code, word", ON_GUIDING, ids=[w for _, _, w in ON_GUIDING])
def test_refused_classifiers(folder, run, card, code, word):
    done = run("sample", folder(card), *RUN, "--classifier-guidance", 1, "-o", "x.npy", ok=False)
    assert done.returncode == code and word in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_refused_without_guidance(folder, run):
    done = run("sample", folder(CARD), *RUN, "--class", 1, "-o", "x.npy", ok=False)
    assert done.returncode == USAGE and "no classes" in done.stderr
    done = run("sample", "mixture:none.json", "--classifier-guidance", "nan", "-o", "x.npy", ok=False)
    assert done.returncode == USAGE and "number" in done.stderr


def test_warns_of_unknown_keys(folder, run):
    done = run("info", folder(changed(clases=1)))
    assert "classes" in done.stderr and "warning" in done.stderr
