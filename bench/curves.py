"""Plots of curves: panels side by side, in each a line for every rival. SVG by hand, as in plot.py."""

import math

from plot import INK, LINES, OTHERS, OURS, text

WIDTH, HEIGHT, LEFT, TOP, PANEL = 250, 230, 52, 66, 400
# Lines of rivals, in their order.
COLORS = ("#475569", "#2563eb", "#059669", "#7c3aed", "#0891b2", "#be123c")


def ceiling(value):
    """A round number not below it."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)


def panel(left, heads, series, colors):
    """heads: title, and what x and y are. series: of each rival the points, at x of equal distance."""
    title, words_x, words_y = heads
    places = sorted({x for points in series.values() for x, _ in points})
    top = ceiling(max(y for points in series.values() for _, y in points))
    base = TOP + HEIGHT

    def at(x, y):
        step = WIDTH / max(len(places) - 1, 1)
        return f"{left + places.index(x) * step:.1f} {base - HEIGHT * y / top:.1f}"

    out = [text(left, 38, title, size=12, weight="bold"), text(left, 54, words_y, size=10),
           text(left + WIDTH / 2, base + 32, words_x, "middle", 10)]
    for part in range(5):
        y = base - HEIGHT * part / 4
        out.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="{LINES}"/>')
        out.append(text(left - 6, y + 3, f"{top * part / 4:g}", "end", 9, fill=OTHERS))
    for x in places:
        out.append(text(float(at(x, 0).split()[0]), base + 15, f"{x:,}", "middle", 9, fill=OTHERS))
    # Names stand at the ends of the lines, one above the other where they would cover each other.
    lowest = base + 10
    for name, points in sorted(series.items(), key=lambda item: item[1][-1][1]):
        color = colors[name]
        out.append(f'<path d="M{"L".join(at(*point) for point in points)}" fill="none" stroke="{color}" '
                   f'stroke-width="{2.5 if color == OURS else 1.5}"/>')
        x, y = (float(value) for value in at(*points[-1]).split())
        lowest = min(y + 4, lowest - 12)
        out.append(text(x + 6, lowest, name, size=10, weight="bold" if color == OURS else "normal", fill=color))
    return out


def curves(title, panels, ours):
    """panels: as panel() takes them."""
    names = [name for name in dict.fromkeys(n for _, series in panels for n in series) if name not in ours]
    colors = {**dict.fromkeys(ours, OURS), **dict(zip(names, COLORS * len(names)))}
    width, height = PANEL * len(panels), TOP + HEIGHT + 44
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           text(10, 18, title, size=14, weight="bold", fill=INK)]
    for number, (heads, series) in enumerate(panels):
        out += panel(LEFT + PANEL * number, heads, series, colors)
    return "\n".join([*out, "</svg>"]) + "\n"
