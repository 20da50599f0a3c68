"""Where particles and debris lie: alone, touching in pairs and clusters, leaning on each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingsError
from pipelines.simulation.geometry import outline, rotation
from pipelines.simulation.particle import Particle, Piece, put_down
from pipelines.simulation.presets import Crowding

Floats = NDArray[np.float64]

#: Share of the mosaic that circles about the particles may cover: random placing jams at 0.55.
FULL = 0.42
_TRIES = 400
#: A particle that leans more shows another side than one that lies, and none of its hand.
_LEAN_RAD = 0.25


@dataclass(frozen=True)
class Scene:
    """Everything on the substrate. ``debris`` has no instance; ``flipped`` turns the texture."""

    size_px: int
    seed: int
    particles: tuple[Particle, ...]
    debris: tuple[Piece, ...]
    texture: float
    flipped: bool = False

    def mirrored(self) -> "Scene":
        """Reflect the whole scene, left to right: every particle becomes its enantiomer."""
        return replace(
            self,
            particles=tuple(particle.mirrored(self.size_px) for particle in self.particles),
            debris=tuple(piece.mirrored(self.size_px) for piece in self.debris),
            flipped=not self.flipped,
        )


def place(
    particles: Sequence[Particle],
    size_px: int,
    crowding: Crowding,
    *,
    pixel_size_nm: float,
    rng: np.random.Generator,
) -> tuple[Particle, ...]:
    """Spread particles over a square mosaic, some of them in touching groups.

    Parameters
    ----------
    particles : sequence of Particle
        About the origin.
    size_px : int
        Edge of the mosaic, in pixels.
    crowding : Crowding
        Shares of pairs and clusters, and the gap between groups.
    pixel_size_nm : float
        Edge of a pixel, in nanometres.
    rng : numpy.random.Generator
        Draws groups, contacts and places.

    Returns
    -------
    particles : tuple of Particle
        In the order given; centres lie inside the mosaic, rims may reach over its border.

    Raises
    ------
    SettingsError
        If the particles do not fit.
    """
    reaches = np.array([particle.piece.solid.reach for particle in particles])
    if np.pi * (reaches**2).sum() > FULL * size_px**2:
        raise too_many(len(particles), size_px)
    groups = [_group(list(members), crowding, rng) for members in _deal(particles, crowding, rng)]
    # Large groups first: they would find no room among what is already there.
    order = sorted(range(len(groups)), key=lambda k: -len(groups[k]))
    gap_px = crowding.gap_nm / pixel_size_nm
    board = _Board(2 * float(reaches.max()) + gap_px)
    placed: list[Particle] = []
    for k in order:
        group = groups[k]
        offsets = np.array([particle.piece.centre_yx for particle in group])
        radii = np.array([particle.piece.solid.reach for particle in group])
        for _ in range(_TRIES):
            centres = offsets + rng.uniform(0, size_px, size=2)
            inside = (centres > 1).all() and (centres < size_px - 1).all()
            if inside and board.has_room(centres, radii + gap_px):
                break
        else:
            raise too_many(len(particles), size_px)
        board.add(centres, radii)
        for particle, (y, x) in zip(group, centres, strict=True):
            piece = replace(particle.piece, centre_yx=(float(y), float(x)))
            placed.append(replace(particle, piece=piece))
    return tuple(sorted(placed, key=lambda particle: particle.piece.instance))


def scatter(
    pieces: Sequence[Piece], size_px: int, *, rng: np.random.Generator
) -> tuple[Piece, ...]:
    """Spread debris evenly; whatever falls on a particle lies beneath or beside it."""
    centres = rng.uniform(0, size_px, size=(len(pieces), 2))
    return tuple(
        replace(piece, centre_yx=(float(y), float(x)))
        for piece, (y, x) in zip(pieces, centres, strict=True)
    )


def _deal(
    particles: Sequence[Particle], crowding: Crowding, rng: np.random.Generator
) -> Iterator[Sequence[Particle]]:
    """Cut the particles into groups of one, two, or three to six."""
    # Shares are of particles; a cluster of 4.5 on average is drawn that much more rarely.
    single = 1 - crowding.pair_share - crowding.cluster_share
    weights = np.array([single, crowding.pair_share / 2, crowding.cluster_share / 4.5])
    start = 0
    while start < len(particles):
        kind = int(rng.choice(3, p=weights / weights.sum()))
        count = (1, 2, int(rng.integers(3, 7)))[kind]
        yield particles[start : start + count]
        start += count


def _group(members: list[Particle], crowding: Crowding, rng: np.random.Generator) -> list[Particle]:
    """Push each next member against those before it; some climb onto the one they meet."""
    placed = members[:1]
    for member in members[1:]:
        target = placed[int(rng.integers(len(placed)))]
        angle = rng.uniform(0, 2 * np.pi)
        leaning, depth = rng.random() < crowding.leaning_share, rng.uniform(0.1, 0.45)
        towards = np.array([np.sin(angle), np.cos(angle)])
        start = np.array(target.piece.centre_yx)
        if leaning:
            rise = depth * _height(target.piece) / member.piece.solid.reach
            member = _lean(member, towards, min(float(np.arctan(rise)), _LEAN_RAD))
        distance = _contact_px(member.piece, [p.piece for p in placed], start, towards)
        if leaning:
            distance *= 1 - depth
        # Half a pixel closer than contact: their outlines share a border in the image.
        y, x = start + towards * max(distance - 0.5, 0.0)
        piece = replace(member.piece, centre_yx=(float(y), float(x)))
        placed.append(replace(member, piece=piece))
    return placed


def _lean(member: Particle, towards: Floats, angle_rad: float) -> Particle:
    """Raise the side of a particle that lies on another; ``towards`` points away from that one."""
    back_y, back_x = towards[0], -towards[1]  # y up, as in the solid's frame
    turn = rotation(np.array([back_y, -back_x, 0.0]), angle_rad)
    solid = put_down(member.piece.solid.mapped(turn))
    tilt = float(np.degrees(angle_rad))
    return replace(member, piece=replace(member.piece, solid=solid), tilt_deg=tilt, leaning=True)


def _contact_px(piece: Piece, placed: Sequence[Piece], start: Floats, towards: Floats) -> float:
    """Find how far from ``start`` a piece meets the others when it comes in along a ray."""
    own = _outline_px(piece)
    others = [_outline_px(other) + np.array(other.centre_yx)[::-1] for other in placed]
    far = max(float(np.hypot(*(np.array(p.centre_yx) - start))) + p.solid.reach for p in placed)
    near, far = 0.0, far + piece.solid.reach
    for _ in range(12):
        middle = (near + far) / 2
        moved = (own + (start + towards * middle)[::-1]).astype(np.float32)
        meets = any(
            cv2.intersectConvexConvex(moved, other.astype(np.float32))[0] > 0 for other in others
        )
        near, far = (middle, far) if meets else (near, middle)
    return far


def _outline_px(piece: Piece) -> Floats:
    """Trace a piece about its origin: (P, 2) corners (x, y), y down as in the image."""
    return outline(piece.solid) * [1.0, -1.0]


def _height(piece: Piece) -> float:
    return float(piece.solid.corners[:, 2].max())


def too_many(count: int, size_px: int) -> SettingsError:
    """Make the error that says that so many particles do not fit."""
    return SettingsError(f"--particles: too many for {size_px} x {size_px} px, got {count}")


class _Board:
    """Circles on a grid of cells as wide as the widest pair, so that only neighbours are asked."""

    def __init__(self, cell_px: float) -> None:
        self._cell_px = cell_px
        self._cells: dict[tuple[int, int], list[tuple[float, float, float]]] = {}

    def has_room(self, centres: Floats, radii: Floats) -> bool:
        return not any(
            np.hypot(y - other_y, x - other_x) < radius + other_radius
            for (y, x), radius in zip(centres, radii, strict=True)
            for other_y, other_x, other_radius in self._around(y, x)
        )

    def add(self, centres: Floats, radii: Floats) -> None:
        for (y, x), radius in zip(centres, radii, strict=True):
            cell = int(y // self._cell_px), int(x // self._cell_px)
            self._cells.setdefault(cell, []).append((float(y), float(x), float(radius)))

    def _around(self, y: float, x: float) -> Iterator[tuple[float, float, float]]:
        row, column = int(y // self._cell_px), int(x // self._cell_px)
        for r in (row - 1, row, row + 1):
            for c in (column - 1, column, column + 1):
                yield from self._cells.get((r, c), ())
