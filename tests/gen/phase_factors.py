"""Writes tests/data/phase-factors.json: covariances and triangular factors of phase space in 100 digits.

    phase_factors.py DATA_FOLDER

Not by the closed form that the library uses, but from the differential equation
    dS/dD = F1 S + S F1^T + G1,   F1 = [[-Gamma, 1/M], [-1, -nu]]/2,   G1 = diag(Gamma, M nu),
whose solution at D = int beta is in the exponential of a 4x4 matrix (Van Loan, IEEE Trans. Automat. Contr.
23 (1978) 395): with X = exp([[-F1, G1], [0, F1^T]] D), S = X11^T X01 from S = 0, and Psi = X11^T.
Given x_0 and m_0 ("dsm") S starts from 0, given x_0 alone ("hsm") from diag(0, kappa M). Python's decimal
only."""

import json
import sys
from decimal import Decimal, getcontext
from pathlib import Path

getcontext().prec = 100
ONE, ZERO, HALF = Decimal(1), Decimal(0), Decimal("0.5")
TIMES = [1e-9, 1e-7, 1e-5, 1e-3, 0.01, 0.1, 0.5, 1.0]
SETTINGS = [{}, {"Gamma": 0.0, "nu": 4.0}, {"Gamma": 0.02, "nu": 4.02}, {"Gamma": 0.25, "nu": 4.25},
            {"Gamma": 4.0, "nu": 0.0}, {"Gamma": 4.5, "nu": 0.5}, {"beta_0": 0.1, "beta_1": 20.0},
            {"Gamma": 0.0, "nu": 4.0, "beta_0": 0.1, "beta_1": 20.0}, {"kappa": 1.0}]
DEFAULTS = {"beta_0": 8.0, "beta_1": 8.0, "Gamma": 0.01, "nu": 4.01, "kappa": 0.04}


def product(a, b):
    return [[sum((x * b[k][j] for k, x in enumerate(row)), ZERO) for j in range(len(b[0]))] for row in a]


def exponential(a):
    """By Taylor's series of a / 2^k, squared k times."""
    halvings, n = 12, len(a)
    a = [[x / 2**halvings for x in row] for row in a]
    term = [[ONE if i == j else ZERO for j in range(n)] for i in range(n)]
    total = [row[:] for row in term]
    for k in range(1, 80):
        term = [[x / k for x in row] for row in product(term, a)]
        total = [[x + y for x, y in zip(*rows)] for rows in zip(total, term)]
    for _ in range(halvings):
        total = product(total, total)
    return total


def covariances(par, t):
    """Psi, and S given x_0 and m_0, and given x_0."""
    value = {key: Decimal(number) for key, number in par.items()}
    Gamma, nu, time = value["Gamma"], value["nu"], Decimal(t)
    inverse = (Gamma - nu) ** 2 / 4
    D = value["beta_0"] * time + (value["beta_1"] - value["beta_0"]) * time**2 / 2
    F = [[-Gamma / 2, inverse / 2], [-HALF, -nu / 2]]
    big = [[-F[0][0], -F[0][1], Gamma, ZERO], [-F[1][0], -F[1][1], ZERO, nu / inverse],
           [ZERO, ZERO, F[0][0], F[1][0]], [ZERO, ZERO, F[0][1], F[1][1]]]
    X = exponential([[x * D for x in row] for row in big])
    psi = [[X[2][2], X[3][2]], [X[2][3], X[3][3]]]
    dsm = product(psi, [X[0][2:], X[1][2:]])
    v = value["kappa"] / inverse
    hsm = [[dsm[i][j] + v * psi[i][1] * psi[j][1] for j in range(2)] for i in range(2)]
    return psi, dsm, hsm


def factor(S, upper):
    a, b = (1, 0) if upper else (0, 1)
    first = S[a][a].sqrt()
    rest = (S[a][a] * S[b][b] - S[0][1] ** 2) / S[a][a]
    return [first, S[0][1] / first, rest.sqrt()]


def entry(par, t):
    psi, dsm, hsm = covariances(par, t)
    row = {"t": t, "psi": [float(x) for line in psi for x in line]}
    for name, S in (("dsm", dsm), ("hsm", hsm)):
        row[name] = [float(S[0][0]), float(S[0][1]), float(S[1][1])]
        for upper in (False, True):
            row[f"{name}_{'upper' if upper else 'lower'}"] = [float(x) for x in factor(S, upper)]
    return row


def main():
    lines = []
    for own in SETTINGS:
        par = {**DEFAULTS, **own}
        lines.append(json.dumps({**par, "rows": [entry(par, t) for t in TIMES]}))
    text = ('{"provenance": "tests/gen/phase_factors.py, 100 digits. psi row by row; covariances xx, xm, mm '
            'without numerical_eps; factors: diagonal entry of the full column, off-diagonal, the other '
            'diagonal entry",\n"settings": [\n' + ",\n".join(lines) + "\n]}\n")
    (Path(sys.argv[1]) / "phase-factors.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
