"""A second reader of plans: runs the JSON of docs/plan-format.md with NumPy, sharing nothing with the
library. Written from the format's description: plain loops, matrices and eigenvalues where the
library has closed forms."""

import numpy as np


class Mixture:
    """The exact answer of a perfect network for data from a Gaussian mixture, by general linear
    algebra: x_0 and n given u = a x_0 + B n, for any number of components."""

    def __init__(self, weights, means, stds):
        self.weights = np.asarray(weights, float) / np.sum(weights)
        self.means, self.stds = np.asarray(means, float), np.asarray(stds, float)

    def posterior(self, u, a, B):
        """u [n][components][d] -> E[x_0|u] [n][d] and E[n|u] [n][components][d]."""
        count, _, dim = u.shape
        logs = np.tile(np.log(self.weights), (count, 1))
        clean, noise = [], []
        for k in range(len(self.weights)):
            x0, eps = np.empty((count, dim)), np.empty_like(u)
            for d in range(dim):
                m, s = self.means[k, d], self.stds[k, d]
                cov = s * s * np.outer(a, a) + B @ B.T
                e = u[:, :, d] - a * m
                w = np.linalg.solve(cov, e.T).T
                logs[:, k] -= 0.5 * (np.sum(e * w, axis=1) + np.linalg.slogdet(cov)[1])
                x0[:, d] = m + s * s * (w @ a)
                eps[:, :, d] = w @ B
            clean.append(x0)
            noise.append(eps)
        r = np.exp(logs - logs.max(axis=1, keepdims=True))
        r /= r.sum(axis=1, keepdims=True)
        return (np.einsum("nk,knd->nd", r, np.array(clean)),
                np.einsum("nk,kncd->ncd", r, np.array(noise)))

    def __call__(self, u, row):
        a, B = label(row["at"])
        cx, cn = label(row["gives"])
        x0, n = self.posterior(u, a, B)
        return cx[None, :, None] * x0[:, None, :] + np.einsum("oc,ncd->nod", cn, n)


def label(pair):
    """["at"] or ["gives"] as a vector and a matrix, whatever the number of components."""
    return np.atleast_1d(np.array(pair[0], float)), np.atleast_2d(np.array(pair[1], float))


def unit_offsets(kernel, shape, table):
    """Unit offsets [K][numbers of a state]; `table` holds the normals that a law starts from."""
    pi = np.array(kernel["pi"])
    size = int(np.prod(shape))
    if kernel["offsets"] == "data":
        return np.array(kernel["data"]).reshape(len(pi), size)
    o = np.array(table, float)[:len(pi) * size].reshape(len(pi), size)
    if kernel["offsets"] == "ortho":
        o = gram_schmidt(o)
        return o - pi @ o
    o = o - pi @ o
    length = np.linalg.norm(o, axis=1)
    return o / (length[:, None] if kernel["offsets"] == "rand" else np.sqrt(pi @ length**2))


def gram_schmidt(o):
    """Rows made orthonormal from the first to the last, with the direction of each kept."""
    q, r = np.linalg.qr(o.T)
    return (q * np.sign(np.diag(r))).T


def kernel_factor(kernel, units, k):
    """A_k, symmetric, with A_k A_k = sigma^2 I - Delta_k, variances below zero cut to zero."""
    pi, s, sigma = np.array(kernel["pi"]), kernel["s"], kernel["sigma"]
    K, size = units.shape
    share = s * s / (K * pi[k])
    if kernel["covariance"] == "vub":
        removed = np.diag((np.pad(np.sort(pi), (0, max(0, size - K)))[:size]) * share * (K > 1))
    elif kernel["covariance"] == "rank1":
        removed = s * s * np.outer(units[k], units[k])
    else:
        removed = share * (units.T * pi) @ units
        if kernel["covariance"] == "diag":
            removed = np.diag(np.diag(removed))
    variance, vectors = np.linalg.eigh(sigma**2 * np.eye(size) - removed)
    variance[variance <= 1e-12 * sigma**2] = 0
    return (vectors * np.sqrt(variance)) @ vectors.T


def mix(row, plan, noise, source):
    kernel = plan["kernels"][row["kernel"]]
    picks = noise["picks"][row["draw"]]
    shape = source.shape[1:]
    units = unit_offsets(kernel, shape, noise["tables"][kernel["table"]] if "table" in kernel else None)
    pick = np.searchsorted(np.cumsum(kernel["pi"])[:-1], picks, side="right")
    out = np.empty_like(source)
    for k in set(pick):
        here = pick == k
        z = source[here].reshape(here.sum(), -1)
        factor = kernel_factor(kernel, units, k) if kernel["sigma"] > 0 else np.zeros(2 * z.shape[1:])
        out[here] = (kernel["s"] * units[k] + z @ factor).reshape(-1, *shape)
    return out


def combine(row, value):
    """Sum of c_i v_i; a coefficient is a number or a block that acts on the components."""
    total = 0
    for c, source in zip(row["c"], row["src"]):
        block = np.array(c, float)
        total = total + (block * value[source] if block.ndim == 0
                         else np.einsum("oc,ncd->nod", block, value[source]))
    return total


def limit(row, x):
    s = np.quantile(np.abs(x.reshape(len(x), -1)), row["quantile"], axis=1)
    s = np.maximum(row["floor"], s)[:, None, None]
    return np.clip(x, -s, s) / s


def execute(plan, network, start, noise, given=None):
    """Runs a plan from start [n][components][d]. `noise`: arrays noise, picks, tables by draw number,
    as in noise files. Returns the output and the states at STEP rows."""
    assert plan["format"] == "driftless-plan/1"
    value, states = {plan["inputs"][0]["id"]: start}, [start]
    for row in plan["rows"]:
        op, source = row["op"], row.get("src")
        if op == "EVAL":
            value[row["dst"]] = network(value[source], row)
        elif op == "LIN":
            value[row["dst"]] = combine(row, value)
        elif op == "NOISE":
            value[row["dst"]] = np.array(noise["noise"][row["draw"]]).reshape(start.shape)
        elif op == "STEP":
            states.append(value[source])
        elif op == "MIX":
            z = value[source] if source is not None else np.zeros_like(start)
            value[row["dst"]] = mix(row, plan, noise, z)
        elif op == "CLIP":
            value[row["dst"]] = np.clip(value[source], row["lo"], row["hi"])
        elif op == "LIMIT":
            value[row["dst"]] = limit(row, value[source])
        elif op == "GIVEN":
            value[row["dst"]] = np.broadcast_to(given[row["name"]], start.shape)
        elif op == "SELECT":
            one, other, mask = (value[v] for v in source)
            value[row["dst"]] = mask * one + (1 - mask) * other
        else:
            raise ValueError(op)
    return value[plan["outputs"][0]], states
