"""Forward derivatives without autograd: pairs (value, tangent) that pass through a module.

The operations on them are ordinary ones, so that they can be traced into an ONNX graph, which
autograd's cannot: a Jacobian-vector product becomes a graph with one more input and output. Only
the sample carries a tangent; times, labels and parameters are constants.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .config import ConfigError

LINEAR = ("flatten", "reshape", "view", "transpose", "permute", "unflatten", "unsqueeze", "squeeze",
          "float", "contiguous", "__getitem__", "interpolate", "avg_pool2d", "pad", "mean", "sum",
          "neg")  # of the first argument
PARTS = ("chunk", "unbind", "split")  # linear, with several results


class Dual:
    """A tensor and its tangent, of the same shape."""

    def __init__(self, value, tangent):
        self.value, self.tangent = value, tangent

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    dtype = property(lambda self: self.value.dtype)
    device = property(lambda self: self.value.device)

    def size(self, *axis):
        """As of a tensor."""
        return self.value.size(*axis)

    def dim(self):
        """As of a tensor."""
        return self.value.dim()

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return apply(function.__name__, function, args, kwargs or {})

    def __getattr__(self, name):
        if name.startswith("__") or not hasattr(torch.Tensor, name):
            raise AttributeError(name)
        method = getattr(torch.Tensor, name)
        return lambda *args, **kwargs: apply(name, method, (self, *args), kwargs)


def _operator(name):
    def method(self, *args):
        return apply(name, getattr(torch.Tensor, name), (self, *args), {})
    return method


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "matmul", "rmatmul", "neg",
              "getitem"):
    setattr(Dual, f"__{_name}__", _operator(f"__{_name}__"))


def value_of(x):
    """The value of a pair, or what is no pair."""
    return x.value if isinstance(x, Dual) else x


def apply(name, function, args, kwargs):
    """One operation on arguments of which some are pairs."""
    short = name.strip("_")
    if name in LINEAR or short == "neg":
        return Dual(*(function(x, *args[1:], **kwargs) for x in (args[0].value, args[0].tangent)))
    if name in PARTS:
        parts = [function(x, *args[1:], **kwargs) for x in (args[0].value, args[0].tangent)]
        return tuple(Dual(*pair) for pair in zip(*parts))
    if short not in RULES:
        raise ConfigError(f"no rule for the derivative of {name}: known are"
                          f" {', '.join(sorted({*LINEAR, *PARTS, *RULES}))}")
    return RULES[short](*args, **kwargs)


def total(a, b, sign=1):
    """a + sign b; the tangent takes the shape of the value."""
    value = value_of(a) + sign * value_of(b)
    tangents = [x.tangent if i == 0 else sign * x.tangent
                for i, x in enumerate((a, b)) if isinstance(x, Dual)]
    tangent = tangents[0] + tangents[1] if len(tangents) == 2 else tangents[0]
    return Dual(value, tangent.expand_as(value))


def product(by):
    """The rule of a bilinear operation."""
    def rule(a, b):
        tangents = []
        if isinstance(a, Dual):
            tangents.append(by(a.tangent, value_of(b)))
        if isinstance(b, Dual):
            tangents.append(by(value_of(a), b.tangent))
        return Dual(by(value_of(a), value_of(b)), sum(tangents[1:], tangents[0]))
    return rule


def layer(by):
    """The rule of a convolution or dense layer with constant weights: the tangent meets no bias."""
    def rule(x, weight, bias=None, *args, **kwargs):
        return Dual(by(x.value, weight, bias, *args, **kwargs),
                    by(x.tangent, weight, None, *args, **kwargs))
    return rule


def silu_slope(x):
    """d/dx of x sigmoid(x)."""
    gate = torch.sigmoid(x)
    return gate * (1 + x * (1 - gate))


def normalised(x, groups, eps):
    """Group normalisation [n, c, ...] without weight and bias: result [n, groups, -1], scale."""
    flat = x.reshape(x.shape[0], groups, -1)
    centred = flat - flat.mean(2, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(2, keepdim=True) + eps)
    return centred * scale, scale


def normalised_slope(result, scale, h):
    """Jacobian of `normalised` (symmetric) times h [n, groups, -1], given its results."""
    along = (h * result).mean(2, keepdim=True)
    return (h - h.mean(2, keepdim=True) - result * along) * scale


def channels(values, x):
    """A parameter [c] beside x [n, c, ...]."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    """The rule of group normalisation."""
    result, scale = normalised(x.value, groups, eps)
    h = x.tangent.reshape(result.shape)
    tangent = normalised_slope(result, scale, h).reshape(x.shape)
    if weight is not None:
        tangent = tangent * channels(weight, x)
    return Dual(F.group_norm(x.value, groups, weight, bias, eps), tangent)


def softmax(x, dim=None, **kwargs):
    """The rule of softmax."""
    p = torch.softmax(x.value, dim)
    return Dual(p, p * (x.tangent - (p * x.tangent).sum(dim, keepdim=True)))


def cat(pairs, dim=0):
    """The rule of concatenation; constants have no tangent."""
    pairs = [x if isinstance(x, Dual) else Dual(x, torch.zeros_like(x)) for x in pairs]
    values, tangents = ([getattr(x, key) for x in pairs] for key in ("value", "tangent"))
    return Dual(torch.cat(values, dim), torch.cat(tangents, dim))


def through(function, slope):
    """The rule of a function of each element."""
    return lambda x, **kwargs: Dual(function(x.value), slope(x.value) * x.tangent)


def divide(a, b):
    """a / b with a constant b."""
    if isinstance(b, Dual):
        raise ConfigError("no rule for the derivative of a division by what depends on the sample")
    return Dual(a.value / b, a.tangent / b)


RULES = {
    "add": total, "radd": total, "sub": lambda a, b: total(a, b, -1),
    "rsub": lambda a, b: total(b, a, -1), "truediv": divide, "div": divide, "true_divide": divide,
    "mul": product(torch.mul), "rmul": product(torch.mul),
    "matmul": product(torch.matmul), "rmatmul": lambda a, b: product(torch.matmul)(b, a),
    "conv2d": layer(F.conv2d), "linear": layer(F.linear),
    "conv_transpose2d": layer(F.conv_transpose2d),
    "group_norm": group_norm, "softmax": softmax, "cat": cat,
    "silu": through(F.silu, silu_slope),
    "relu": through(torch.relu, lambda x: (x > 0).to(x.dtype)),
    "tanh": through(torch.tanh, lambda x: 1 - torch.tanh(x).square()),
    "sigmoid": through(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x)),
    "exp": through(torch.exp, torch.exp), "square": through(torch.square, lambda x: 2 * x),
}


class Jvp(nn.Module):
    """(sample, timestep, [class_labels], tangent) -> (out_sample, its derivative along tangent)."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, sample, *others):
        *constants, tangent = others
        out = self.model(Dual(sample, tangent), *constants)
        return out.value, out.tangent
