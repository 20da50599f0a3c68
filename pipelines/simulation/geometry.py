"""Convex solids: twisted bipyramids, cuts through them, and the facets they come to rest on.

Frame: right-handed, lengths in any one unit, z up towards the beam. A twist is positive, and the
solid right-handed, where the upper triangle is turned anticlockwise against the lower one as seen
from above: a right-handed screw.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

Floats = NDArray[np.float64]

#: Planes closer than this, in units of the solid's size, are one facet.
_FLAT = 1e-6


@dataclass(frozen=True)
class Solid:
    """A convex solid: corners, and facet planes ``n . p = d`` with outward unit normals.

    Attributes
    ----------
    corners : (V, 3) array
        The hull's corners.
    planes : (F, 4) array
        A row ``(nx, ny, nz, d)`` per facet; points inside have ``n . p <= d``.
    """

    corners: Floats
    planes: Floats

    def mapped(self, matrix: Floats) -> "Solid":
        """Apply an orthogonal (3, 3) matrix; a negative determinant swaps the hand."""
        planes = np.column_stack([self.planes[:, :3] @ matrix.T, self.planes[:, 3]])
        return Solid(self.corners @ matrix.T, planes)

    def shifted(self, step: Floats) -> "Solid":
        """Move by a vector of three."""
        planes = self.planes.copy()
        planes[:, 3] += planes[:, :3] @ step
        return Solid(self.corners + step, planes)

    def mirrored(self) -> "Solid":
        """Reflect x: the other hand."""
        return self.mapped(np.diag([-1.0, 1.0, 1.0]))

    @property
    def reach(self) -> float:
        """Radius about the z axis that holds the whole solid, seen from above."""
        return float(np.hypot(self.corners[:, 0], self.corners[:, 1]).max())


def twisted_bipyramid(*, radius: float, length: float, waist: float, twist_rad: float) -> Floats:
    """Place the corners of a twisted trigonal bipyramid (point group D3) about the origin.

    Parameters
    ----------
    radius : float
        Circumradius of the two triangles.
    length : float
        Distance between the apices, which lie on the z axis.
    waist : float
        Height of the upper triangle above the middle; the lower one lies as far below.
    twist_rad : float
        Angle between the triangles; positive is right-handed, zero achiral.

    Returns
    -------
    corners : (8, 3) array
        Upper apex, lower apex, upper triangle, lower triangle.
    """
    angles = np.arange(3) * (2 * np.pi / 3)
    triangles = [
        np.column_stack(
            [
                radius * np.cos(angles + side * twist_rad / 2),
                radius * np.sin(angles + side * twist_rad / 2),
                np.full(3, side * waist),
            ]
        )
        for side in (1, -1)
    ]
    apices = np.array([[0.0, 0.0, length / 2], [0.0, 0.0, -length / 2]])
    return np.vstack([apices, *triangles])


def hull_of(points: Floats) -> Solid:
    """Wrap points in their convex hull; triangles of one plane become one facet."""
    hull = ConvexHull(points)
    size = float(np.ptp(points, axis=0).max())
    planes = hull.equations * [1, 1, 1, -1]
    gaps = np.abs(planes[:, None, :] - planes[None, :, :])
    same = (gaps[..., :3].max(axis=-1) < _FLAT) & (gaps[..., 3] < _FLAT * size)
    first = same.argmax(axis=1) == np.arange(len(planes))
    return Solid(points[hull.vertices], planes[first])


def cut(solid: Solid, normal: Floats, offset: float) -> Solid:
    """Remove what lies beyond the plane ``normal . p = offset``.

    A plane that misses the solid, or would leave nothing of it, changes nothing.
    """
    height = solid.corners @ normal - offset
    kept, gone = solid.corners[height <= 0], solid.corners[height > 0]
    if len(kept) == 0 or len(gone) == 0:
        return solid
    # Every segment between a corner kept and one gone lies inside the solid, so the hull of
    # where they meet the plane is the new facet, and no list of edges is needed.
    share = height[height <= 0][:, None] / (height[height <= 0][:, None] - height[height > 0])
    ends = kept[:, None, :] + share[..., None] * (gone[None, :, :] - kept[:, None, :])
    return hull_of(np.vstack([kept, ends.reshape(-1, 3)]))


def resting_facets(solid: Solid) -> tuple[NDArray[np.intp], Floats]:
    """Find the facets on which a solid stays when it is put down, and how likely it lands there.

    It stays where the foot of its centre of mass lies inside the facet. The chance of landing
    there is taken as the solid angle under which the centre of mass sees the facet.

    Returns
    -------
    facets : (K,) array of int
        Indices into ``solid.planes``, K >= 1.
    chances : (K,) array of float
        They sum to 1.
    """
    centre = centre_of_mass(solid)
    corners = solid.corners - centre
    tolerance = 10 * _FLAT * float(np.ptp(corners, axis=0).max())
    facets: list[int] = []
    angles: list[float] = []
    for index, (*normal, offset) in enumerate(solid.planes):
        n = np.asarray(normal)
        height = offset - n @ centre
        ring = _in_order(corners[np.abs(corners @ n - height) < tolerance], n)
        foot = n * height
        after = np.roll(ring, -1, axis=0)
        inside = np.cross(after - ring, foot - ring) @ n
        if len(ring) >= 3 and (inside > 0).all():
            facets.append(index)
            angles.append(_solid_angle(ring))
    if not facets:  # the facet nearest to the centre of mass always holds it, but for rounding
        return np.array([np.argmin(solid.planes[:, 3] - solid.planes[:, :3] @ centre)]), np.ones(1)
    return np.array(facets), np.array(angles) / sum(angles)


def centre_of_mass(solid: Solid) -> Floats:
    """Find the centre of mass of a solid of even density."""
    hull = ConvexHull(solid.corners)
    inner = solid.corners.mean(axis=0)
    a, b, c = (solid.corners[hull.simplices[:, k]] - inner for k in range(3))
    volumes = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c)))
    middle: Floats = inner + (volumes[:, None] * (a + b + c) / 4).sum(axis=0) / volumes.sum()
    return middle


def rotation(axis: Floats, angle_rad: float) -> Floats:
    """Make the matrix that turns about a unit axis, anticlockwise seen against the axis."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross
    return np.asarray(matrix)


def rotation_onto(source: Floats, target: Floats) -> Floats:
    """Make the shortest rotation that takes one unit vector to another."""
    axis = np.cross(source, target)
    sine = float(np.linalg.norm(axis))
    cosine = float(source @ target)
    if sine < 1e-12:
        if cosine > 0:
            return np.eye(3)
        other = np.eye(3)[np.argmin(np.abs(source))]
        axis = np.cross(source, other)
        return rotation(axis / np.linalg.norm(axis), np.pi)
    return rotation(axis / sine, float(np.arctan2(sine, cosine)))


def outline(solid: Solid) -> Floats:
    """Trace the solid as seen from above: (P, 2) corners (x, y), anticlockwise."""
    flat = solid.corners[:, :2]
    return np.asarray(flat[ConvexHull(flat).vertices])


def _in_order(ring: Floats, normal: Floats) -> Floats:
    """Sort a facet's corners anticlockwise about its normal."""
    if len(ring) < 3:
        return ring
    middle = ring.mean(axis=0)
    u = ring[0] - middle
    v = np.cross(normal, u)
    order = np.argsort(np.arctan2((ring - middle) @ v, (ring - middle) @ u))
    return np.asarray(ring[order])


def _solid_angle(ring: Floats) -> float:
    """Sum the solid angles of a facet's triangles seen from the origin (Van Oosterom 1983)."""
    unit = ring / np.linalg.norm(ring, axis=1, keepdims=True)
    a, b, c = unit[0], unit[1:-1], unit[2:]
    triple = np.cross(b, c) @ a
    scale = 1 + b @ a + c @ a + np.einsum("ij,ij->i", b, c)
    return float(np.abs(2 * np.arctan2(triple, scale)).sum())
