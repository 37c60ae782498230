"""Exports: the graph agrees with PyTorch for every prediction type, and the card describes it."""

import hashlib
import json

import pytest
import torch

from driftless_train import cli, evaluate, export
from driftless_train.loop import Limits, Trainer, run
from test_process import PAIRS

onnx = pytest.importorskip("onnx")
SHAPE = (1, 8, 8)


def state(config):
    """A checkpoint dictionary with random, not zero, output layers."""
    trainer = Trainer(config)
    with torch.no_grad():
        for p in trainer.ema.values():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    return trainer.state()


PSLD = ("epsilon", {"type": "psld", "beta_min": 8.0, "beta_max": 8.0, "t_min": 1e-3})


@pytest.mark.parametrize("prediction,process", [*PAIRS, PSLD])
@pytest.mark.parametrize("classes", [0, 4])
def test_round_trip(make, tmp_path, prediction, process, classes):
    worst = export.export(state(make(prediction, process, {"classes": classes})), tmp_path, SHAPE)
    if worst is None:
        pytest.skip("neither openvino nor onnxruntime is installed")
    assert worst < export.TOLERANCE


def test_card_and_graph_agree(make, tmp_path):
    export.export(state(make()), tmp_path, SHAPE, check=False)
    card = json.loads((tmp_path / "model.json").read_text())
    network = (tmp_path / card["network"]["file"]).read_bytes()
    graph = onnx.load_from_string(network).graph
    assert card["network"]["sha256"] == hashlib.sha256(network).hexdigest()
    assert [i.name for i in graph.input] == list(card["network"]["inputs"].values())
    assert [o.name for o in graph.output] == [card["network"]["output"]]
    for value in [*graph.input, *graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert card["sample"] == {"shape": [1, 8, 8], "range": [-1.0, 1.0]}
    assert card["classes"] == {"count": 4, "null": 4}


def test_a_card_keeps_its_classifier_while_the_process_stays(make, tmp_path):
    path = tmp_path / "model.json"
    export.export(state(make()), tmp_path, SHAPE, check=False, moments=(0.25, 0.5))
    card = json.loads(path.read_text())
    assert card["moments"] == {"mean": 0.25, "std": 0.5}
    path.write_text(json.dumps({**card, "classifier": {"file": "classifier.onnx"}}))
    export.export(state(make()), tmp_path, SHAPE, check=False)
    assert json.loads(path.read_text())["classifier"] == {"file": "classifier.onnx"}
    export.export(state(make("flow_prediction", {"type": "rectified_flow", "t_min": 1e-3})), tmp_path, SHAPE, check=False)
    assert "classifier" not in json.loads(path.read_text())


def test_card_of_phase_space(make, tmp_path):
    """The shape is that of a position; the network's input has twice its channels."""
    export.export(state(make(*PSLD)), tmp_path, SHAPE, check=False)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["sample"]["shape"] == list(SHAPE) and card["state_components"] == 2
    graph = onnx.load(tmp_path / "network.onnx").graph
    assert graph.input[0].type.tensor_type.shape.dim[1].dim_value == 2 * SHAPE[0]


@pytest.mark.parametrize("prediction,process,entry", [
    ("epsilon", {"type": "vp_discrete", "beta_min": 1e-4, "beta_max": 0.02, "t_min": 0.0},
     {"type": "linear", "scale": 1000.0, "offset": -1.0, "dtype": "int64", "rank": 1}),
    ("edm", {"type": "edm", "t_min": 0.002, "t_max": 80.0},
     {"type": "log_sigma", "dtype": "float32", "rank": 1})])
def test_time_maps(make, tmp_path, prediction, process, entry):
    export.export(state(make(prediction, process)), tmp_path, SHAPE, check=False)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["time_map"] == entry
    assert 0 < card["t_min"] < card["t_max"] <= 1


def test_half_weights_are_smaller_and_close(make, tmp_path):
    made = state(make())
    export.export(made, tmp_path / "full", SHAPE, check=False)
    worst = export.export(made, tmp_path / "half", SHAPE, half=True)
    sizes = [(tmp_path / d / "network.onnx").stat().st_size for d in ("full", "half")]
    assert sizes[1] < sizes[0]
    assert worst is None or worst < export.TOLERANCE_HALF


def test_held_out_loss_is_the_same_for_graph_and_checkpoint(make, tmp_path, capsys):
    pytest.importorskip("openvino")
    trainer = Trainer(make())
    run(trainer, tmp_path, Limits(steps=5, quiet=True))
    assert cli.main(["evaluate", str(tmp_path), "--quiet"]) == 0
    from_checkpoint = capsys.readouterr().out
    export.export(trainer.state(), tmp_path / "model", SHAPE)
    from driftless_train import data
    predict = evaluate.onnx_predictor(tmp_path / "model" / "network.onnx")
    images = data.load(trainer.config.data, train=False)
    mean = evaluate.held_out(predict, trainer.config, images, quiet=True).mean
    assert float(from_checkpoint.split()[3]) == pytest.approx(mean, abs=2e-6)
