"""Folders as diffusers and optimum write them, around small networks that answer from a table."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "int32": TensorProto.INT32,
         "int64": TensorProto.INT64}


def gaussian(abar, std=0.5, kind="epsilon"):
    """What a network for data N(0, std^2) multiplies its input with, for each index of a table: its
    noise prediction, v or x_0 is proportional to x = a x_0 + b n."""
    a, b = np.sqrt(abar), np.sqrt(1 - abar)
    x0, noise = a * std**2, b
    gain = {"epsilon": noise, "sample": x0, "v_prediction": a * noise - b * x0}[kind]
    return gain / (a**2 * std**2 + b**2)


def network(path, table, dtype="int64", rank=0, sample=(1, 4, 4), classes=0, extra=None, output="out_sample",
            external=False, centred=False, deaf=False):
    """y = table[timestep] sample (+ class_labels/100, or if deaf, + 0 times it): timestep a scalar, or one
    per sample. `extra` names one more input; external keeps the table in model.onnx_data; centred takes
    the mean of the batch away first."""
    shape = ["batch", *sample]
    time = helper.make_tensor_value_info("timestep", TYPES[dtype], [] if rank == 0 else ["batch"])
    inputs = [helper.make_tensor_value_info("sample", TensorProto.FLOAT, shape), time]
    constants = [numpy_helper.from_array(np.asarray(table, np.float32), "table"),
                 numpy_helper.from_array(np.arange(1, len(sample) + 1), "axes"),
                 numpy_helper.from_array(np.float32(0 if deaf else 0.01), "hundredth")]
    nodes = [helper.make_node("Cast", ["timestep"], ["index"], to=TensorProto.INT64),
             helper.make_node("Gather", ["table", "index"], ["gain"])]
    gain = "gain"
    if rank:
        nodes.append(helper.make_node("Unsqueeze", ["gain", "axes"], ["tall"]))
        gain = "tall"
    source = "sample"
    if centred:
        nodes += [helper.make_node("ReduceMean", ["sample"], ["mean"], axes=[0], keepdims=1),
                  helper.make_node("Sub", ["sample", "mean"], ["rest"])]
        source = "rest"
    nodes.append(helper.make_node("Mul", [source, gain], ["plain" if classes else output]))
    if classes:
        inputs.append(helper.make_tensor_value_info("class_labels", TensorProto.INT64, ["batch"]))
        nodes += [helper.make_node("Cast", ["class_labels"], ["c"], to=TensorProto.FLOAT),
                  helper.make_node("Mul", ["c", "hundredth"], ["small"]),
                  helper.make_node("Unsqueeze", ["small", "axes"], ["shift"]),
                  helper.make_node("Add", ["plain", "shift"], [output])]
    if extra:
        inputs.append(helper.make_tensor_value_info(extra, TensorProto.FLOAT, ["batch", 77, 8]))
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "unet", inputs, [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if external:
        onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}_data", size_threshold=16)
    else:
        onnx.save_model(model, path)


def folder(path, scheduler, table=None, unet=None, index=None, **net):
    """A folder with scheduler/, unet/ and perhaps model_index.json; returns its path as text."""
    table = np.zeros(1000) if table is None else table
    network(path / "unet/model.onnx", table, **net)
    (path / "scheduler").mkdir()
    (path / "scheduler/scheduler_config.json").write_text(json.dumps(scheduler))
    sample = net.get("sample", (1, 4, 4))
    config = {"_class_name": "UNet2DModel", "in_channels": sample[0], "sample_size": sample[-1],
              "num_class_embeds": net.get("classes") or None, **(unet or {})}
    (path / "unet/config.json").write_text(json.dumps(config))
    if index is not None:
        (path / "model_index.json").write_text(json.dumps(index))
    return str(path)


def edm_network(path, std, sigma_data, sample=(1, 4, 4)):
    """F of EDM's preconditioning for data N(0, std^2), time log(sigma)/4, one per sample:
    F = (std^2/(std^2 + sigma^2) - c_skip) x/c_out with x = u/c_in of the input u."""
    number = {"four": 4.0, "std2": std**2, "data2": sigma_data**2, "data": sigma_data}
    constants = [numpy_helper.from_array(np.float32(v), k) for k, v in number.items()]
    constants.append(numpy_helper.from_array(np.arange(1, len(sample) + 1), "axes"))
    nodes = [helper.make_node(op, inputs.split(), [output]) for op, inputs, output in (
        ("Unsqueeze", "timestep axes", "tau"), ("Mul", "tau four", "log"), ("Exp", "log", "sigma"),
        ("Mul", "sigma sigma", "sigma2"), ("Add", "sigma2 data2", "sum"), ("Sqrt", "sum", "root"),
        ("Div", "data2 sum", "skip"), ("Add", "sigma2 std2", "all"), ("Div", "std2 all", "keep"),
        ("Sub", "keep skip", "rest"), ("Mul", "sigma data", "product"), ("Div", "product root", "out"),
        ("Div", "rest out", "ratio"), ("Mul", "ratio root", "gain"), ("Mul", "sample gain", "out_sample"))]
    shape = ["batch", *sample]
    graph = helper.make_graph(
        nodes, "edm", [helper.make_tensor_value_info("sample", TensorProto.FLOAT, shape),
                       helper.make_tensor_value_info("timestep", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor_value_info("out_sample", TensorProto.FLOAT, shape)], constants)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
