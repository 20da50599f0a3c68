from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

# A letter R and a bent arrow: no rotation turns it into its mirror image.
DRAWN = """
................
.#####....#.....
.#....#..###....
.#....#.#.#.#...
.#####....#.....
.#..#.....#.....
.#...#....#####.
.#....#.........
................
..=.............
.===............
................
"""


@pytest.fixture
def glyph() -> NDArray[np.uint8]:
    """A chiral picture, 12 rows high and 16 wide, as a viewer must show it."""
    grey = {".": 10, "#": 200, "=": 90}
    return np.array([[grey[c] for c in row] for row in DRAWN.split()], dtype=np.uint8)


@pytest.fixture
def stored() -> Callable[[NDArray[Any], int], NDArray[Any]]:
    """Turn what a viewer must show into what a file of this orientation stores."""
    ways: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
        1: lambda shown: shown,
        2: np.fliplr,
        3: lambda shown: np.rot90(shown, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda shown: np.rot90(shown, 1),
        7: lambda shown: np.rot90(np.transpose(shown), 2),
        8: lambda shown: np.rot90(shown, -1),
    }

    def turn(shown: NDArray[Any], orientation: int) -> NDArray[Any]:
        if shown.ndim == 3:
            return np.stack([ways[orientation](shown[..., i]) for i in range(3)], axis=-1)
        return np.ascontiguousarray(ways[orientation](shown))

    return turn
