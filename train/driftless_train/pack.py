"""Packed checkpoints: small enough to keep in version control between machines.

What is kept, per parameter, and what it costs:

    body        float32 without its lowest 8 bits   relative error 2^-17
    ema         float16 of (ema - body)             error 2^-11 of a small difference
    adam second bfloat16                            relative error 2^-9
    adam first  not kept: starts again from zero, and is whole again after some 20 steps

So a run continues smoothly from a packed checkpoint, but not bit for bit; only a plain
checkpoint.pt gives exact resume. Bytes of equal significance lie together, which xz likes.
"""

import io
import lzma

import numpy as np
import torch

from .config import ConfigError

FORMAT = "driftless-train-packed/1"


def pack(state, path):
    """Write a checkpoint dictionary as path (*.pt.xz); returns its size in bytes."""
    names = list(state["body"])
    flat = {key: torch.cat([group[k].reshape(-1) for k in names]).float()
            for key, group in (("body", state["body"]), ("ema", state["ema"]),
                               ("second", state["adam"]["second"]))}
    words = (flat["body"].numpy().view(np.uint32).astype(np.uint64) + 0x80) >> 8
    body = (words.astype(np.uint32) << 8).view(np.float32)
    difference = flat["ema"] - torch.from_numpy(body.copy())
    kept = {
        "format": FORMAT, "names": names,
        "shapes": [list(state["body"][k].shape) for k in names],
        "plain": {k: v for k, v in state.items() if k not in ("body", "ema", "adam")},
        "body": planes(body.view(np.uint8).reshape(-1, 4)[:, 1:]),
        "ema": planes(difference.half().numpy().view(np.uint8).reshape(-1, 2)),
        "second": planes(flat["second"].bfloat16().view(torch.uint8).numpy().reshape(-1, 2)),
    }
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    data = lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)


def unpack(path):
    """The checkpoint dictionary in a packed file."""
    try:
        kept = torch.load(io.BytesIO(lzma.decompress(path.read_bytes())), weights_only=True)
    except lzma.LZMAError as error:
        raise ConfigError(f"{path}: not a packed checkpoint ({error})") from error
    if kept.get("format") != FORMAT:
        raise ConfigError(f"{path}: not a packed checkpoint of format {FORMAT}")
    sizes = [int(np.prod(shape)) for shape in kept["shapes"]]
    total = sum(sizes)
    raw = np.zeros((total, 4), np.uint8)
    raw[:, 1:] = kept["body"].numpy().reshape(3, total).T
    body = torch.from_numpy(raw.reshape(-1).view(np.float32))
    ema = body + torch.from_numpy(interleave(kept["ema"], total).view(np.float16)).float()
    second = torch.from_numpy(interleave(kept["second"], total)).view(torch.bfloat16).float()

    def named(flat):
        parts = flat.split(sizes)
        return {k: p.reshape(s).clone() for k, s, p in zip(kept["names"], kept["shapes"], parts)}

    zeros = named(torch.zeros(total))
    return {**kept["plain"], "body": named(body), "ema": named(ema),
            "adam": {"first": zeros, "second": named(second)}}


def planes(words):
    """Bytes [n, k] -> uint8 tensor [k * n], one plane per significance."""
    return torch.from_numpy(np.ascontiguousarray(words.T).reshape(-1).copy())


def interleave(plane, total):
    """The inverse of planes for two-byte words -> uint8 array [2 * total]."""
    return np.ascontiguousarray(plane.numpy().reshape(2, total).T).reshape(-1)
