"""The plot: for each rival (a row) and workload (a column) a dot at its margin over a direct connection,
on a logarithmic scale. Written as SVG by hand, so that nothing needs to be installed.
"""

import math
from html import escape

LABELS, COLUMN, ROW, TOP, BOTTOM, PAD = 290, 118, 24, 62, 40, 10
OURS, OTHERS, LINES, INK = "#c2410c", "#475569", "#e2e8f0", "#0f172a"


def text(x, y, words, anchor="start", size=12, weight="normal", fill=INK):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-weight="{weight}" fill="{fill}">{escape(words)}</text>')


def plot(title, columns, rows, unit="thousand guest instructions more than a direct connection"):
    """columns: two lines of text each; rows: a title, whether it is ours, and a value (or None) for each
    column, in `unit`.
    """
    values = [value for _, _, cells in rows for value in cells if value is not None]
    top = math.ceil(math.log10(max(values)))
    width, height = LABELS + COLUMN * len(columns) + PAD, TOP + ROW * len(rows) + BOTTOM
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="white"/>', text(PAD, 20, title, weight="bold", size=14)]
    bottom = TOP + ROW * len(rows)
    for number, heads in enumerate(columns):
        left = LABELS + number * COLUMN
        for line, words in enumerate(heads):
            out.append(text(left, 38 + 14 * line, words, size=11, weight="normal" if line else "bold"))
        for power in range(top + 1):
            x = place(left, power, top)
            out.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{LINES}"/>')
            # Where they stand close, every second one.
            if power < top and (top <= 4 or power % 2 == 0):
                out.append(text(x, bottom + 14, f"{10 ** power}", "middle", 9, fill=OTHERS))
    for number, (words, ours, cells) in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        color = OURS if ours else OTHERS
        out.append(text(LABELS - PAD, y + 4, words, "end", weight="bold" if ours else "normal", fill=color))
        for column, value in enumerate(cells):
            if value is None:
                continue
            x = place(LABELS + column * COLUMN, math.log10(max(value, 1)), top)
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>')
            # Where there is no room to the right, to the left.
            right = x < LABELS + column * COLUMN + COLUMN * 0.62
            out.append(text(x + (8 if right else -8), y + 4, f"{value:.0f}", "start" if right else "end", 10, fill=color))
    out.append(text(PAD, height - 8, f"{unit}; logarithmic", size=11))
    out.append("</svg>")
    return "\n".join(out) + "\n"


def place(left, power, top):
    return left + (COLUMN - 16) * power / top
