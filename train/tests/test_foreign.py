"""Modules that were not trained here: cards, graphs, open and fixed batches, clear refusals."""

import hashlib
import json

import pytest
import torch
from torch import nn

from driftless_train import cli, foreign, graph
from driftless_train.config import ConfigError

onnx = pytest.importorskip("onnx")
CARD = {
    "name": "toy", "process": {"type": "vp_linear", "beta_min": 0.1, "beta_max": 20.0},
    "prediction_type": "v_prediction", "t_min": 0.01, "t_max": 1.0,
    "time_map": {"type": "linear", "scale": 1000.0, "dtype": "float32", "rank": 1},
    "sample": {"shape": [2, 4, 4], "range": [-1.0, 1.0]}, "classes": {"count": 3, "null": 3}}
MINE = """
from torch import nn


def make():
    return Net()


class Net(nn.Module):
    def forward(self, x, t):
        return x * t[:, None, None, None]


def other():
    return 3
"""
INDICES = {"type": "linear", "scale": 50.0, "offset": -1.0, "dtype": "int64", "rank": 1}


class Toy(nn.Module):
    """Depends on sample, time and class, in a way that a mixed-up input would show."""

    def __init__(self, channels=2, classes=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.label = nn.Embedding(classes, channels)

    def forward(self, sample, timestep, class_labels=None):
        h = self.conv(sample) + torch.sin(timestep.float() / 100)[:, None, None, None]
        return h if class_labels is None else h + self.label(class_labels)[:, :, None, None]


def without(key, **changes):
    return {k: v for k, v in {**CARD, **changes}.items() if k != key}


@pytest.mark.parametrize("batch", [None, 3, 40])
@pytest.mark.parametrize("card", [
    CARD, without("classes"), {**CARD, "time_map": INDICES, "t_min": 0.02},
    without("classes", process={"type": "edm"}, t_min=0.001, time_map={"type": "log_sigma"}),
    without("classes", state_components=2)])
def test_folder_of_a_plain_module(tmp_path, card, batch):
    channels = 2 * card.get("state_components", 1)
    worst = foreign.export(Toy(channels), card, tmp_path, batch)
    made = json.loads((tmp_path / "model.json").read_text())
    network = (tmp_path / made["network"]["file"]).read_bytes()
    assert made["format"] == "driftless-model/1"
    assert {k: made[k] for k in card} == card
    assert made["network"]["sha256"] == hashlib.sha256(network).hexdigest()
    values = [*(model := onnx.load_from_string(network).graph).input, *model.output]
    assert [v.name for v in values] == [*made["network"]["inputs"].values(), "out_sample"]
    assert ("class" in made["network"]["inputs"]) == ("classes" in card)
    for value in values:
        size = value.type.tensor_type.shape.dim[0]
        assert size.dim_value == batch if batch else size.dim_param == "batch"
    assert worst is None or worst < graph.TOLERANCE


def test_a_wrong_graph_is_noticed(tmp_path):
    """The comparison has power: other weights are far away."""
    pytest.importorskip("openvino")
    foreign.export(Toy(), CARD, tmp_path)
    other = Toy()
    other.label.weight.data[3] += 1  # of label 3 alone
    inputs = foreign.inputs(CARD)
    assert graph.difference(other, tmp_path / "network.onnx", inputs) > 0.1
    foreign.export(Toy(), CARD, tmp_path, 40)
    assert graph.difference(other, tmp_path / "network.onnx", inputs, 40) > 0.1


def test_times_are_the_cards():
    assert foreign.times({**CARD, "time_map": INDICES, "t_min": 0.02}, 50).tolist() == [*range(50)]
    sigma = foreign.times({"process": {"type": "edm", "sigma_max": 80.0}, "t_min": 0.5,
                           "t_max": 1.0, "time_map": {"type": "log_sigma"}}, 2)
    assert torch.allclose(sigma, torch.log(torch.tensor([40.0, 80.0])) / 4)


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    card = without("classes", time_map={"type": "linear"})
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert cli.main(["wrap", "mine:make", "card.json", "made"]) == 0
    for wrong in (["mine:other", "card.json"], ["mine", "card.json"], ["absent:f", "card.json"],
                  ["mine:make", "absent.json"]):
        assert cli.main(["wrap", *wrong, "no"]) == 1
    (tmp_path / "card.json").write_text(json.dumps(without("sample")))
    assert cli.main(["wrap", "mine:make", "card.json", "no"]) == 1
    errors = capsys.readouterr().err
    assert "a torch.nn.Module is needed" in errors and "the card needs 'sample'" in errors
    assert not (tmp_path / "no").exists()


NET = {"in_channels": 3, "out_channels": 3, "sample_size": 32, "num_class_embeds": None}


def test_card_of_a_diffusers_pipeline():
    card = foreign.diffusers_card(NET, {"beta_schedule": "scaled_linear", "beta_start": 0.001,
                                        "beta_end": 0.01, "prediction_type": "v_prediction"}, "x")
    assert card["process"] == {"type": "vp_discrete", "num_train_timesteps": 1000,
                               "beta_schedule": "scaled_linear", "beta_start": 0.001,
                               "beta_end": 0.01}
    assert card["prediction_type"] == "v_prediction" and card["t_min"] == 0.001
    assert card["sample"]["shape"] == [3, 32, 32] and "classes" not in card
    cosine = foreign.diffusers_card({**NET, "sample_size": (8, 16), "num_class_embeds": 5},
                                    {"beta_schedule": "squaredcos_cap_v2",
                                     "num_train_timesteps": 50}, "x")
    assert cosine["process"] == {"type": "vp_discrete", "num_train_timesteps": 50,
                                 "beta_schedule": "squaredcos_cap_v2"}
    assert cosine["time_map"] == INDICES and cosine["sample"]["shape"] == [3, 8, 16]
    assert cosine["classes"] == {"count": 5}
    betas = {"trained_betas": [0.1, 0.2], "num_train_timesteps": 2}
    listed = foreign.diffusers_card(NET, betas, "x")
    assert listed["process"]["trained_betas"] == [0.1, 0.2]


@pytest.mark.parametrize("net,scheduler,word", [
    ({"out_channels": 6}, {}, "predict a variance"), ({"sample_size": None}, {}, "sample_size"),
    ({}, {"beta_schedule": "sigmoid"}, "scaled_linear"),
    ({}, {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr")])
def test_what_cannot_be_said_in_a_card_is_refused(net, scheduler, word):
    with pytest.raises(ConfigError, match=word):
        foreign.diffusers_card({**NET, **net}, scheduler, "x")


def test_diffusers_pipeline(tmp_path, capsys):
    """The real thing where diffusers is installed, a sentence where it is not."""
    try:
        from diffusers import DDPMScheduler, UNet2DModel
    except ImportError:
        assert cli.main(["diffusers", str(tmp_path), str(tmp_path / "made")]) == 1
        assert "diffusers is not installed" in capsys.readouterr().err
        return
    torch.manual_seed(0)
    UNet2DModel(sample_size=16, in_channels=1, out_channels=1, layers_per_block=1,
                block_out_channels=(16, 32), norm_num_groups=8, num_class_embeds=4,
                down_block_types=("DownBlock2D", "AttnDownBlock2D"),
                up_block_types=("AttnUpBlock2D", "UpBlock2D")).save_pretrained(tmp_path / "unet")
    DDPMScheduler().save_pretrained(tmp_path / "scheduler")
    assert cli.main(["diffusers", str(tmp_path), str(tmp_path / "made")]) == 0
    assert json.loads((tmp_path / "made" / "model.json").read_text())["classes"] == {"count": 4}
    assert cli.main(["diffusers", str(tmp_path / "unet"), str(tmp_path / "no")]) == 1
