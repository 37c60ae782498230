"""Random generators as a function of (seed, purpose, number): nothing to save, nothing to drift."""

import hashlib

import torch


def generator(seed, purpose, number):
    """A CPU generator. Hashed, because torch's generator looks at 32 bits of its seed only."""
    digest = hashlib.sha256(f"{seed} {purpose} {number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))
