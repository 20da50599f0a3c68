"""What a learner sees: a particle, or its mirror image with the mirrored label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Marks a label that is not known.
UNKNOWN = -1


@dataclass(frozen=True)
class Samples:
    """Samples of particles; every array has one entry per sample.

    Attributes
    ----------
    rows : (N,) ndarray of int
        Row of the particle's crop in the crop source.
    particle_ids : (N,) ndarray of int
        The unit of independence: splits, folds and intervals group by it.
    mirrored : (N,) ndarray of bool
        Whether the crop is to be mirrored.
    given_labels : (N,) ndarray of int
        Class indices, perhaps wrong.
    true_labels : (N,) ndarray of int
        Class indices, `UNKNOWN` where nobody knows. Never learnt from: for curves alone.
    trusted : (N,) ndarray of bool
        Whether the given label is known to be right.
    """

    rows: NDArray[np.int64]
    particle_ids: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    given_labels: NDArray[np.int64]
    true_labels: NDArray[np.int64]
    trusted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "Samples":
        """Return some of the samples."""
        return Samples(*(values[which] for values in vars(self).values()))

    @property
    def keys(self) -> NDArray[np.int64]:
        """A number per sample that is the same in every run: particle id and mirrored or not."""
        # Particle ids are below 2**63; as one more bit they wrap, but stay one to one.
        return (self.particle_ids << 1) | self.mirrored


def plain_samples(
    rows: NDArray[np.int64],
    particle_ids: NDArray[np.int64],
    given_labels: NDArray[np.int64],
    true_labels: NDArray[np.int64],
    trusted: NDArray[np.bool_] | None = None,
) -> Samples:
    """Make one unmirrored sample per particle; by default no label is trusted."""
    none = np.zeros(len(rows), dtype=bool)
    trusted = none.copy() if trusted is None else trusted
    return Samples(rows, particle_ids, none, given_labels, true_labels, trusted)


def with_mirror_images(
    samples: Samples,
    mirrored_class: Sequence[int],
    *,
    mirrored_given_labels: NDArray[np.int64] | None = None,
) -> Samples:
    """Add the mirror image of every sample, under the label that a mirror makes of its own.

    Parameters
    ----------
    samples : Samples
        Unmirrored samples.
    mirrored_class : sequence of int
        For each class the one that its mirror image belongs to; itself if it stays.
    mirrored_given_labels : (N,) ndarray of int, optional
        Labels of the mirror images, where they were not made from the samples' own.

    Returns
    -------
    samples : Samples
        Twice as many; ids are shared, so that no split can part a particle from its mirror image.
    """
    swap = np.asarray(mirrored_class, dtype=np.int64)
    if not np.array_equal(swap[swap], np.arange(len(swap))):
        raise ValueError(f"mirrored_class must undo itself, got {list(mirrored_class)}")
    # With UNKNOWN (-1) as the index of a last entry, the unknown stays unknown.
    swap = np.append(swap, UNKNOWN)
    doubled = Samples(*(np.concatenate([values, values]) for values in vars(samples).values()))
    n = len(samples)
    doubled.mirrored[n:] = ~samples.mirrored
    made = swap[samples.given_labels]
    doubled.given_labels[n:] = made if mirrored_given_labels is None else mirrored_given_labels
    doubled.true_labels[n:] = swap[samples.true_labels]
    return doubled
