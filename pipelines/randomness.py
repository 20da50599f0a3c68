"""One seed, many independent generators, keyed by what they are for and never by order."""

import numpy as np

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
