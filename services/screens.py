"""Tables on a screen."""

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
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place < n_text_columns else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
