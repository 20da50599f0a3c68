"""Tables, lists and shares as people read them on a screen."""

from collections.abc import Sequence


def table_text(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, n_text_columns: int = 1
) -> str:
    """Lay out a table: words to the left, numbers to the right.

    Examples
    --------
    >>> print(table_text(["what", "n"], [["left", "12"], ["undeterminable", "3"]]))
    what             n
    left            12
    undeterminable   3
    """
    return columns([head, *rows], n_text_columns=n_text_columns)


def columns(rows: Sequence[Sequence[str]], *, n_text_columns: int | None = None) -> str:
    """Lay out rows so that columns stand one below the other; all of words, unless said."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    n_left = len(widths) if n_text_columns is None else n_text_columns
    return "\n".join(
        "  ".join(
            text.ljust(width) if place < n_left else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def share(value: float | None, low: float | None, high: float | None) -> str:
    """Write a share of one with its interval, in per cent."""
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
