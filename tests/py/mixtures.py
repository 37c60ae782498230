"""Analytic mixtures that several tests take."""

# Three components in two dimensions, no two of their numbers alike.
THREE = {
    "format": "driftless-mixture/1",
    "weights": [0.5, 0.3, 0.2],
    "means": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]],
    "stds": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]],
}
