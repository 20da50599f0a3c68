"""Lists and shares as people read them on a screen."""

from collections.abc import Sequence


def share(value: float | None, low: float | None, high: float | None) -> str:
    """Write a share of one with its interval, in per cent."""
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows so that columns stand one below the other."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
