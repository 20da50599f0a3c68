"""Rows of text laid out in columns, for a terminal."""

from collections.abc import Sequence


def lay_out(head: Sequence[str], rows: Sequence[Sequence[str]], *, n_left: int = 1) -> list[str]:
    """Lay rows out below their head; ``n_left`` columns at the left hold words, others numbers.

    Examples
    --------
    >>> lay_out(("method", "F1"), [("otsu", "0.5"), ("a-long-name", "0.75")])
    ['method         F1', 'otsu          0.5', 'a-long-name  0.75']
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
