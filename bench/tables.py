"""Markdown tables, and numbers in them."""


def table(heads, rows):
    """A Markdown table, its columns aligned."""
    rows = [heads, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]

    def line(cells):
        left, *others = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths)))
        return "| " + " | ".join([left, *others]) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(heads), rule, *(line(row) for row in rows[1:])])


def number(value):
    return f"{value:.0f}" if abs(value) >= 99.5 else f"{value:.1f}"
