"""Who may be used for what: every particle has one role, and its mirrored copies share it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import SettingsError
from pipelines.randomness import hash_to_unit

#: The roles, as indices into this tuple: noisy labels to learn from; noisy labels to choose by;
#: trusted labels, for methods that spend some; truth, touched once per reported number.
ROLES = ("train", "select", "clean_small", "test")
TRAIN, SELECT, CLEAN_SMALL, TEST = range(4)


@dataclass(frozen=True)
class SplitFractions:
    """Shares of the particles, 0 to 1; the rest is for training."""

    select: float = 0.15
    clean_small: float = 0.0
    test: float = 0.1

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share < 1:
                raise SettingsError(f"{name} share must be at least 0 and below 1, got {share}")
        if (total := self.select + self.clean_small + self.test) >= 1:
            raise SettingsError(f"select, clean_small and test must leave some, got {total:g}")


def split_roles(
    particle_ids: ArrayLike, *, fractions: SplitFractions, seed: int
) -> NDArray[np.int64]:
    """Give every particle a role by its id alone, not by its place or its company.

    The same particle keeps its role when others come or go, and when a share after its own in
    the order test, clean_small, select, train is changed.

    Parameters
    ----------
    particle_ids : (N,) array_like of int
        Ids; equal ids get equal roles.
    fractions : SplitFractions
        Expected shares.
    seed : int
        Another seed draws another split.

    Returns
    -------
    roles : (N,) ndarray of int
        Indices into `ROLES`.
    """
    places = hash_to_unit(np.asarray(particle_ids, dtype=np.int64), seed, "split")
    ends = np.cumsum([fractions.test, fractions.clean_small, fractions.select])
    order = np.array([TEST, CLEAN_SMALL, SELECT, TRAIN])
    return order[np.searchsorted(ends, places, side="right")]
