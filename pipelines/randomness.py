"""One seed, many independent generators, keyed by what they are for and never by order."""

import numpy as np
from numpy.typing import NDArray

from pipelines.digests import digest_bytes


def generator(seed: int, *keys: str | int) -> np.random.Generator:
    """Make the random generator that belongs to ``keys`` under ``seed``.

    The stream depends on the seed and the keys alone, so work that is spread over any number
    of workers, in any order, draws the same numbers.

    Parameters
    ----------
    seed : int
        The run's seed, not negative.
    *keys : str or int
        What the numbers are for, such as ``"particle", 17``.

    Returns
    -------
    rng : numpy.random.Generator
        A counter-based (Philox) generator.

    Examples
    --------
    >>> a = generator(7, "particle", 3).random()
    >>> b = generator(7, "particle", 3).random()
    >>> c = generator(7, "particle", 4).random()
    >>> bool(a == b), bool(a == c)
    (True, False)
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    name = "\x1f".join([str(seed), *(f"{type(key).__name__}:{key}" for key in keys)])
    key = int(digest_bytes(name.encode()), 16)
    return np.random.Generator(np.random.Philox(key=key % 2**128))


def hash_to_unit(ids: NDArray[np.int64], seed: int, *keys: str | int) -> NDArray[np.float64]:
    """Hash ids to evenly spread numbers of at least 0 and below 1, each by its id alone.

    Parameters
    ----------
    ids : (N,) ndarray of int
        Such as particle ids; equal ids get equal numbers.
    seed : int
        The run's seed, not negative.
    *keys : str or int
        What the numbers are for; other keys give numbers that know nothing of these.
    """
    salt = generator(seed, *keys).integers(2**64, dtype=np.uint64)
    return to_unit(mix(ids.astype(np.uint64) ^ salt))


def to_unit(values: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Turn 64 random bits into numbers of at least 0 and below 1."""
    unit: NDArray[np.float64] = (values >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return unit


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers one to one (the finalizer of SplitMix64, Steele et al. 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
