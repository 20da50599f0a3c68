"""Honeycomb lattices of atoms, and what can be wrong with them; lengths in pixels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pipelines.errors import SettingsError

Floats = NDArray[np.float64]

#: Defects that sit on one site, on one bond, or lie over the lattice.
KINDS = ("vacancy", "divacancy", "stone-wales", "substitution", "adatom", "contamination")
#: The bond that Stone and Wales turned is a little shorter than the others.
_TURNED_BOND = 0.93
#: How far the four neighbours of a turned bond give way, in bonds.
_GIVE_WAY = 0.08


@dataclass(frozen=True)
class TrueDefect:
    """A defect that was put in: its kind, its centre, and how far it reaches, in pixels."""

    kind: str
    y: float
    x: float
    radius_px: float


@dataclass(frozen=True)
class Lattice:
    """Atoms and blobs of contamination.

    Attributes
    ----------
    positions_yx : (N, 2) ndarray
        Centres of atoms, some beyond the image's edge.
    heights : (N,) ndarray
        Brightness, 1 for an atom of the perfect lattice.
    blobs : (M, 4) ndarray
        Centre y and x, sd and height of contamination.
    bond_px : float
        Distance of neighbours.
    """

    positions_yx: Floats
    heights: Floats
    blobs: Floats
    bond_px: float


def honeycomb(
    shape: tuple[int, int], *, bond_px: float, angle_rad: float, shift_yx: tuple[float, float]
) -> Lattice:
    """Lay a perfect honeycomb lattice over an image, and a little beyond it.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    bond_px : float
        Distance of neighbours.
    angle_rad : float
        How the lattice is turned.
    shift_yx : (float, float)
        Where one hexagon's centre lies, relative to the image's.
    """
    reach = 0.5 * float(np.hypot(*shape)) + 4 * bond_px
    a = np.sqrt(3) * bond_px
    first = np.array([0.0, a])
    second = np.array([a * np.sqrt(3) / 2, a / 2])
    n = int(np.ceil(2 * reach / a)) + 2
    i, j = np.mgrid[-n : n + 1, -n : n + 1].reshape(2, -1)
    cells = i[:, None] * first + j[:, None] * second
    third = (first + second) / 3
    atoms = np.concatenate([cells + third, cells + 2 * third])
    atoms = atoms[np.abs(atoms).max(axis=1) <= reach]
    turn = np.array(
        [[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]]
    )
    centre = (np.array(shape) - 1) / 2 + np.array(shift_yx)
    positions = atoms @ turn.T + centre
    inside = _within(positions, shape, margin_px=4 * bond_px)
    positions = positions[inside]
    return Lattice(positions, np.ones(len(positions)), np.empty((0, 4)), bond_px)


def join_grains(first: Lattice, second: Lattice, *, point_yx: Floats, normal_yx: Floats) -> Lattice:
    """Put two lattices together along a line; of atoms that come too close one is left out."""
    side_a = (first.positions_yx - point_yx) @ normal_yx <= 0
    side_b = (second.positions_yx - point_yx) @ normal_yx > 0
    kept, added = first.positions_yx[side_a], second.positions_yx[side_b]
    distance, _ = cKDTree(kept).query(added)
    positions = np.concatenate([kept, added[distance > 0.65 * first.bond_px]])
    return Lattice(positions, np.ones(len(positions)), first.blobs, first.bond_px)


def insert_defects(
    lattice: Lattice,
    shape: tuple[int, int],
    counts: Mapping[str, int],
    *,
    substitute_height: float = 1.3,
    rng: np.random.Generator,
) -> tuple[Lattice, list[TrueDefect]]:
    """Put defects into a lattice, anywhere in the image, none within five bonds of another.

    Parameters
    ----------
    lattice : Lattice
        What they are put into.
    shape : (int, int)
        The image; the centres of defects lie in it.
    counts : mapping of str to int
        How many of each of `KINDS`.
    substitute_height : float
        Brightness of a foreign atom, 1 for a host.
    rng : numpy.random.Generator
        Where they go.

    Returns
    -------
    lattice : Lattice
        With the defects.
    defects : list of TrueDefect
        The truth.

    Raises
    ------
    SettingsError
        If a kind is not known, or they do not fit.
    """
    if unknown := sorted(set(counts) - set(KINDS)):
        raise SettingsError(f"kind must be one of {', '.join(KINDS)}, got {unknown[0]!r}")
    places = _Places(lattice, shape, rng)
    positions, heights = lattice.positions_yx.copy(), lattice.heights.copy()
    blobs = list(lattice.blobs)
    gone = np.zeros(len(positions), bool)
    added: list[Floats] = []
    defects: list[TrueDefect] = []
    bond = lattice.bond_px
    for kind in [kind for kind, n in counts.items() for _ in range(n)]:
        atom, neighbour = places.draw()
        here, middle = positions[atom], (positions[atom] + positions[neighbour]) / 2
        centre, radius = here, bond
        if kind == "vacancy":
            gone[atom] = True
        elif kind == "divacancy":
            gone[[atom, neighbour]] = True
            centre, radius = middle, 1.5 * bond
        elif kind == "stone-wales":
            _turn_bond(positions, places.tree, atom, neighbour, bond)
            centre, radius = middle, 1.5 * bond
        elif kind == "substitution":
            heights[atom] *= substitute_height
        elif kind == "adatom":
            # On top of the bond, as carbon sits on graphene.
            added.append(middle)
            centre = middle
        else:
            radius = float(rng.uniform(1.5, 3.0)) * bond
            blobs.append(np.array([*here, radius / 2, rng.uniform(0.5, 1.0)]))
        defects.append(TrueDefect(kind, float(centre[0]), float(centre[1]), radius))
    positions = np.concatenate([positions[~gone], np.reshape(added, (-1, 2))])
    heights = np.concatenate([heights[~gone], np.ones(len(added))])
    return Lattice(positions, heights, np.reshape(blobs, (-1, 4)), bond), defects


class _Places:
    """Draws places for defects that keep their distance."""

    def __init__(self, lattice: Lattice, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.tree = cKDTree(lattice.positions_yx)
        self._positions, self._bond = lattice.positions_yx, lattice.bond_px
        # A pixel inside, so that a centre that drifts is still there.
        inside = np.flatnonzero(_within(self._positions, shape, margin_px=-1.0))
        self._waiting = rng.permutation(inside).tolist()
        self._rng, self._shape = rng, shape
        self._taken: list[Floats] = []

    def draw(self) -> tuple[int, int]:
        """Return an atom and one of its neighbours, both in the image."""
        while self._waiting:
            atom = self._waiting.pop()
            here = self._positions[atom]
            near = [n for n in self.tree.query_ball_point(here, 1.2 * self._bond) if n != atom]
            near = [n for n in near if _within(self._positions[[n]], self._shape, margin_px=0)[0]]
            free = all(np.hypot(*(here - other)) > 5 * self._bond for other in self._taken)
            if near and free:
                self._taken.append(here)
                return atom, int(self._rng.choice(near))
        raise SettingsError(f"--defects: more than {len(self._taken)} do not fit into an image")


def _turn_bond(positions: Floats, tree: cKDTree, atom: int, neighbour: int, bond: float) -> None:
    """Turn a bond by 90 degrees about its middle; the neighbours that it nears give way."""
    middle = (positions[atom] + positions[neighbour]) / 2
    half = (positions[atom] - positions[neighbour]) / 2
    turned = _TURNED_BOND * np.array([-half[1], half[0]])
    along = turned / np.hypot(*turned)
    for other in tree.query_ball_point(middle, 1.6 * bond):
        if other not in (atom, neighbour):
            side = np.sign((positions[other] - middle) @ along)
            positions[other] += _GIVE_WAY * bond * side * along
    positions[atom], positions[neighbour] = middle + turned, middle - turned


def _within(positions: Floats, shape: tuple[int, int], *, margin_px: float) -> NDArray[np.bool_]:
    """Tell which positions lie in an image that is grown by a margin."""
    high = np.array(shape) - 1 + margin_px
    inside = (positions >= -margin_px) & (positions <= high)
    return np.asarray(inside.all(axis=1))
