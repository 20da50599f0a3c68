"""Particles and debris: one solid each, drawn by its own generator, lying on the substrate."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import generator
from pipelines.simulation.geometry import (
    Solid,
    centre_of_mass,
    cut,
    hull_of,
    resting_facets,
    rotation,
    rotation_onto,
    twisted_bipyramid,
)
from pipelines.simulation.presets import Crowding, Shapes

Hand = Literal["right", "left", "none"]
Floats = NDArray[np.float64]

_DOWN = np.array([0.0, 0.0, -1.0])


@dataclass(frozen=True)
class Piece:
    """A solid that lies somewhere in the scene.

    Attributes
    ----------
    instance : int
        The id of a particle, from 1; 0 for debris.
    solid : Solid
        In pixels, about the piece's own origin: x right, y up, z towards the beam, substrate
        at z = 0.
    gains : (F,) array
        Brightness of each facet beside its slope's.
    centre_yx : (float, float)
        Where the origin lies in the mosaic, in pixels; the first pixel's centre is (0.5, 0.5).
    """

    instance: int
    solid: Solid
    gains: Floats
    centre_yx: tuple[float, float] = (0.0, 0.0)

    def mirrored(self, width_px: int) -> "Piece":
        """Reflect it with the whole scene, left to right."""
        y, x = self.centre_yx
        return replace(self, solid=self.solid.mirrored(), centre_yx=(y, width_px - x))


@dataclass(frozen=True)
class Particle:
    """A piece with a hand, and what is known of how it was made."""

    piece: Piece
    hand: Hand
    length_px: float
    radius_px: float
    twist_deg: float
    resting_on: str
    azimuth_deg: float
    tilt_deg: float
    truncation: tuple[float, float]
    chips: int
    leaning: bool = False

    def mirrored(self, width_px: int) -> "Particle":
        """Reflect it with the whole scene: the other hand."""
        other: dict[Hand, Hand] = {"right": "left", "left": "right", "none": "none"}
        return replace(
            self,
            piece=self.piece.mirrored(width_px),
            hand=other[self.hand],
            twist_deg=-self.twist_deg,
            azimuth_deg=(180 - self.azimuth_deg) % 360,
        )


def draw_particle(
    seed: int,
    index: int,
    hand: Hand,
    *,
    shapes: Shapes,
    facet_spread: float,
    particle_spread: float,
    pixel_size_nm: float,
) -> Particle:
    """Draw particle ``index`` of a seed, lying on a facet about the origin.

    All numbers are drawn before the hand is looked at: a left-handed particle is the exact
    mirror image of the right-handed one of the same seed and index, but for the azimuth.

    Parameters
    ----------
    seed, index : int
        Name the generator.
    hand : {"right", "left", "none"}
        Chosen beforehand; "none" makes the same particle without its twist.
    shapes : Shapes
        Ranges of sizes and shapes.
    facet_spread, particle_spread : float
        Relative standard deviation of brightness among facets, and among particles.
    pixel_size_nm : float
        Edge of a pixel, in nanometres.
    """
    rng = generator(seed, "particle", index)
    length = shapes.length_nm / pixel_size_nm * np.exp(_bounded(rng, shapes.length_sigma))
    radius = length / (2 * rng.uniform(*shapes.aspect))
    waist = length * rng.uniform(*shapes.waist)
    twist_deg = rng.uniform(*shapes.twist_deg)
    corners = twisted_bipyramid(
        radius=radius,
        length=length,
        waist=waist,
        twist_rad=0.0 if hand == "none" else np.radians(twist_deg),
    )
    corners = corners + rng.normal(size=corners.shape) * shapes.jitter * radius
    solid = hull_of(corners)
    solid, truncation = _truncate(solid, length, shapes, rng)
    solid, chips = _chip(solid, corners, radius, shapes, rng)
    axis = np.array([0.0, 0.0, 1.0])
    solid, axis, resting_on = _lay(solid, axis, rng)
    gains = np.exp(rng.normal(size=len(solid.planes)) * facet_spread)
    gains *= np.exp(rng.normal() * particle_spread)
    if hand == "left":
        solid, axis = solid.mirrored(), axis * [-1, 1, 1]
    azimuth, tilt_towards = rng.uniform(0, 2 * np.pi, size=2)
    tilt = abs(_bounded(rng, np.radians(shapes.tilt_sd_deg)))
    tilt_axis = np.array([np.cos(tilt_towards), np.sin(tilt_towards), 0.0])
    turn = rotation(tilt_axis, tilt) @ rotation(-_DOWN, azimuth)
    axis = turn @ axis
    return Particle(
        piece=Piece(index + 1, put_down(solid.mapped(turn)), gains),
        hand=hand,
        length_px=float(length),
        radius_px=float(radius),
        twist_deg=float(twist_deg) * {"right": 1, "left": -1, "none": 0}[hand],
        resting_on=resting_on,
        azimuth_deg=float(np.degrees(np.arctan2(axis[1], axis[0])) % 360),
        tilt_deg=float(np.degrees(tilt)),
        truncation=truncation,
        chips=chips,
    )


def draw_debris(seed: int, index: int, crowding: Crowding, *, pixel_size_nm: float) -> Piece:
    """Draw a fragment: a flat, irregular convex lump about the origin."""
    rng = generator(seed, "debris", index)
    low, high = np.log(crowding.debris_nm)
    size_px = np.exp(rng.uniform(low, high)) / pixel_size_nm
    points = rng.normal(size=(int(rng.integers(7, 13)), 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= size_px / 2 * np.array([1.0, rng.uniform(0.5, 1.0), rng.uniform(0.3, 0.8)])
    solid = put_down(hull_of(points).mapped(rotation(-_DOWN, rng.uniform(0, 2 * np.pi))))
    gains = np.exp(rng.normal(size=len(solid.planes)) * 0.08) * rng.uniform(0.55, 1.05)
    return Piece(0, solid, gains)


def put_down(solid: Solid) -> Solid:
    """Move a solid straight down, or up, until its lowest corner touches the substrate."""
    return solid.shifted(np.array([0.0, 0.0, -solid.corners[:, 2].min()]))


def _bounded(rng: np.random.Generator, sd: float) -> float:
    """Draw a normal number within 2.5 standard deviations, so that no particle is a giant."""
    return float(np.clip(rng.normal(), -2.5, 2.5) * sd)


def _truncate(
    solid: Solid, length: float, shapes: Shapes, rng: np.random.Generator
) -> tuple[Solid, tuple[float, float]]:
    """Cut both apices off, a little askew; of a broken particle one of them deeply."""
    shares = rng.uniform(*shapes.truncation, size=2)
    broken, which, depth = rng.random(), int(rng.integers(2)), rng.uniform(0.2, 0.45)
    if broken < shapes.broken_share:
        shares[which] = depth
    for side, share in zip((1.0, -1.0), shares, strict=True):
        normal = np.array([0.0, 0.0, side]) + rng.normal(size=3) * 0.08
        normal /= np.linalg.norm(normal)
        solid = cut(solid, normal, length / 2 * (1 - share) * abs(normal[2]))
    return solid, (float(shares[0]), float(shares[1]))


def _chip(
    solid: Solid, corners: Floats, radius: float, shapes: Shapes, rng: np.random.Generator
) -> tuple[Solid, int]:
    """Cut one or two corners of the waist off, of those particles that are chipped."""
    chosen, count = rng.random(), int(rng.integers(1, 3))
    hits = rng.permutation(6)[:count]
    skews = rng.normal(size=(count, 3)) * 0.25
    depths = rng.uniform(0.15, 0.4, size=count) * radius
    if chosen >= shapes.chipped_share:
        return solid, 0
    for hit, skew, depth in zip(hits, skews, depths, strict=True):
        corner = corners[2 + hit]
        normal = corner / np.linalg.norm(corner) + skew
        normal /= np.linalg.norm(normal)
        # Never near the middle: what is left must still be the particle.
        solid = cut(solid, normal, max(float(normal @ corner - depth), 0.5 * radius))
    return solid, count


def _lay(solid: Solid, axis: Floats, rng: np.random.Generator) -> tuple[Solid, Floats, str]:
    """Lay a solid on one of the facets it can rest on, its centre of mass over the origin."""
    facets, chances = resting_facets(solid)
    normal = solid.planes[rng.choice(facets, p=chances), :3]
    steepness = abs(float(normal @ axis))
    resting_on = "end" if steepness > 0.9 else "waist" if steepness < 0.1 else "flank"
    turn = rotation_onto(normal, _DOWN)
    laid = solid.mapped(turn)
    return laid.shifted(-centre_of_mass(laid)), turn @ axis, resting_on
