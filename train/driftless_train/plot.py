"""A line plot as SVG, without a plotting library. The value axis is logarithmic, unless a value is
not above 0."""

import math
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, PAD = 720, 400, 64, 44, 16


def write(path, points, xlabel, ylabel):
    """points: [(x, y), ...] in order of x. Nothing is written for fewer than two."""
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if len(points) < 2:
        return
    x0, x1 = points[0][0], points[-1][0]
    positive = all(y > 0 for _, y in points)
    value = math.log10 if positive else float
    low, high = min(value(y) for _, y in points), max(value(y) for _, y in points)
    margin = 0.02 if positive else 0.02 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def place(x, y):
        return (LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - PAD),
                HEIGHT - BOTTOM - (value(y) - low) / (high - low) * (HEIGHT - BOTTOM - PAD))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
             ' font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for y in ticks(low, high) if positive else even_ticks(low, high):
        _, v = place(x0, y)
        parts.append(f'<path d="M{LEFT} {v:.1f}H{WIDTH - PAD}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{v + 4:.1f}" text-anchor="end">{y:g}</text>')
    for i in range(5):
        x = x0 + (x1 - x0) * i / 4
        u, _ = place(x, points[0][1])
        parts.append(f'<text x="{u:.1f}" y="{HEIGHT - 26}" text-anchor="middle">{x:.0f}</text>')
    line = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#1f6fb4" stroke-width="1.5"/>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
                 f'{xlabel}</text><text x="14" y="{HEIGHT / 2}" text-anchor="middle"'
                 f' transform="rotate(-90 14 {HEIGHT / 2})">{ylabel}</text></svg>')
    Path(path).write_text("\n".join(parts) + "\n")


def ticks(low, high):
    """Round values (1, 1.5, 2, 3, 5, 7 times powers of ten) between 10^low and 10^high."""
    steps = (1, 1.5, 2, 3, 5, 7)
    values = [m * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for m in steps]
    return [v for v in values if low <= math.log10(v) <= high]


def even_ticks(low, high):
    """Some four to ten multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = max(m * power for m in (1, 2, 5) if m * power <= (high - low) / 4)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
