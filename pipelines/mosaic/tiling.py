"""Cut a mosaic into units of work: cores that partition it, each read with a halo."""

from pipelines.errors import SettingsError
from pipelines.records import Tile, Window


def plan_tiles(shape: tuple[int, int], *, core_px: int, halo_px: int) -> list[Tile]:
    """Partition a mosaic into square cores, each read with a halo.

    Parameters
    ----------
    shape : (int, int)
        Mosaic height and width, in pixels.
    core_px : int
        Edge of a core, in pixels. The last row and column may be smaller.
    halo_px : int
        Context read beyond the core on each side, in pixels, clipped to the mosaic.

    Returns
    -------
    tiles : list of Tile
        In row-major order; ``tiles[i].index == i``.

    Raises
    ------
    SettingsError
        If ``core_px`` or a side of the mosaic is not positive, or ``halo_px`` is negative.

    Examples
    --------
    >>> [tuple(tile.window) for tile in plan_tiles((4, 6), core_px=4, halo_px=1)]
    [(0, 0, 4, 5), (0, 3, 4, 6)]
    """
    if core_px <= 0:
        raise SettingsError(f"core_px must be positive, got {core_px}")
    if halo_px < 0:
        raise SettingsError(f"halo_px must not be negative, got {halo_px}")
    windows = blocks(shape, core_px)
    return [Tile(i, core, core.grown(halo_px, shape)) for i, core in enumerate(windows)]


def blocks(shape: tuple[int, int], edge_px: int) -> list[Window]:
    """Partition an image into squares in row-major order; those at the far edges may be smaller."""
    return [block(shape, edge_px, index) for index in range(n_blocks(shape, edge_px))]


def n_blocks(shape: tuple[int, int], edge_px: int) -> int:
    """Return how many squares `blocks` gives."""
    height, width = shape
    if height <= 0 or width <= 0:
        raise SettingsError(f"an image must have at least one pixel, got shape {shape}")
    return -(-height // edge_px) * -(-width // edge_px)


def block(shape: tuple[int, int], edge_px: int, index: int) -> Window:
    """Return one of the squares that `blocks` gives, without the others."""
    row, column = divmod(index, -(-shape[1] // edge_px))
    y, x = row * edge_px, column * edge_px
    return Window(y, x, min(y + edge_px, shape[0]), min(x + edge_px, shape[1]))
