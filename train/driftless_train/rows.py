"""Group normalisations over rows of places: the same numbers from a graph that runs faster.

PyTorch's exporter writes the scale and shift of a group normalisation, and what follows element by
element (modulation, SiLU), for [n, c, h, w]. OpenVINO 2026.4 then works line by line, w numbers at a
time: at 7x7 this took seven times as long as over [n, c, h w], which the rewritten graph has.
"""

import os

from .config import ConfigError

ELEMENTWISE = {"Mul", "Add", "Sigmoid"}
KEPT_SIZES = {"Slice", "Split"}  # along the channels: what has one number a channel keeps it


def rewrite(path, output=None):
    """Rewrite an ONNX file, in place or to `output`; returns how many normalisations changed.

    If there are none, nothing is written. ConfigError for a file that is no ONNX network.
    """
    import onnx
    from google.protobuf.message import DecodeError

    output = output or path
    try:
        model = onnx.load(path)
        count = _Rows(model).rewrite()
        if count:
            onnx.checker.check_model(model)
            onnx.save(model, f"{output}.part")
            os.replace(f"{output}.part", output)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError,
            onnx.shape_inference.InferenceError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return count


class _Rows:
    """A graph that is being rewritten."""

    def __init__(self, model):
        import onnx

        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self.graph = model.graph
        self.made = set()  # names of new tensors
        self.before = {}  # new nodes by the output of the node that they stand before
        self.sizes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
                      for value in (*inferred.value_info, *inferred.input)}
        self.sizes.update((tensor.name, list(tensor.dims)) for tensor in self.graph.initializer)
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.fixed = {value.name for value in self.graph.output}

    def rewrite(self):
        if any(a.HasField("g") or a.graphs for node in self.graph.node for a in node.attribute):
            return 0  # what a branch or loop takes from outside is not an input of its node
        count = sum(self._normalisation(node) for node in list(self.graph.node)
                    if node.op_type == "InstanceNormalization")
        nodes = [n for node in self.graph.node for n in (*self.before.get(node.output[0], ()), node)]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        return count

    def _normalisation(self, node):
        """Rewrite what follows one instance normalisation; whether there is something."""
        users = [user for user in self.graph.node if node.output[0] in user.input]
        if len(users) != 1 or users[0].op_type != "Reshape":
            return False
        (back,) = users
        (places,) = back.output
        size = self.sizes.get(places, [])
        if places in self.fixed or len(size) != 4 or size[1] == 0:
            return False
        rows, followers = {places}, []
        for user in self.graph.node:
            if self._follows(user, rows):
                rows.update(user.output)
                followers.append(user)
        if not followers:
            return False
        shape, back.input[1] = back.input[1], self._constant([0, size[1], -1])
        for user in self.graph.node:
            inside = user in followers
            for i, name in enumerate(user.input):
                if name in rows and not inside:
                    user.input[i] = self._reshaped(name, shape, user)
                elif inside and name not in rows and len(self.sizes[name]) > 1:
                    flat = [0] * (len(self.sizes[name]) - 2) + [-1]
                    user.input[i] = self._reshaped(name, self._constant(flat), user)
        return True

    def _follows(self, node, rows):
        """Element by element, from rows and what has one number a row."""
        return (node.op_type in ELEMENTWISE and any(name in rows for name in node.input)
                and not any(name in self.fixed for name in node.output)
                and all(name in rows or self._one_a_row(name) for name in node.input))

    def _one_a_row(self, name):
        size, maker = self.sizes.get(name), self.maker.get(name)
        if size is None:
            return False
        if len(size) < 2 and size != [0]:
            return size in ([], [1])
        if size[-2:] == [1, 1]:
            return len(size) > 2
        if maker is None or any(size):  # known, and something else
            return False
        return (maker.op_type in KEPT_SIZES and self._one_a_row(maker.input[0])
                or maker.op_type in ELEMENTWISE and all(map(self._one_a_row, maker.input)))

    def _constant(self, values):
        from onnx import TensorProto, helper

        name = "rows.shape." + ".".join(map(str, values))
        if name not in self.made:
            self.made.add(name)
            self.graph.initializer.append(
                helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def _reshaped(self, name, shape, user):
        """Name of a tensor in another shape; its node stands before the first user."""
        from onnx import helper

        made = f"{name}.as.{shape}"
        if made not in self.made:
            self.made.add(made)
            self.before.setdefault(user.output[0], []).append(
                helper.make_node("Reshape", [name, shape], [made], name=made))
        return made
