"""Images of honeycomb lattices: contrast, drift, tilt, uneven brightness, dose; known truth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import generator
from pipelines.simulation.honeycomb import (
    Lattice,
    TrueDefect,
    honeycomb,
    insert_defects,
    join_grains,
)

Floats = NDArray[np.float64]
#: Grey levels of an atom's height, and of the darkest place, in a 16-bit image.
ATOM_GREY, FLOOR_GREY = 1000.0, 12000.0
_STAMP_SD = 4.0


@dataclass(frozen=True)
class Imaging:
    """How lattices are imaged.

    Attributes
    ----------
    pixel_size_nm : float
        Edge of a pixel.
    bond_nm : float
        Distance of neighbours: graphene's by default.
    probe_fwhm_nm : float
        Width of an atom in the image: a corrected 60 kV probe by default.
    contrast : {"stem", "phase"}
        Bright atoms; or dark ones in a bright ring, as in phase contrast.
    snr : float
        Height of an atom over the sd of a pixel's noise.
    shot_share : float
        Share of the noise's variance that follows the local brightness, 0 to 1.
    tilt_rad : float
        Largest tilt of the specimen.
    drift_share : float
        Largest shear and bending by drift, as a share of the distance.
    jitter_px : float
        Sd of the shift between lines of the scan.
    gradient_share : float
        Largest change of brightness and contrast across the image, as a share.
    """

    pixel_size_nm: float = 0.02
    bond_nm: float = 0.142
    probe_fwhm_nm: float = 0.11
    contrast: Literal["stem", "phase"] = "stem"
    snr: float = 3.0
    shot_share: float = 0.3
    tilt_rad: float = 0.15
    drift_share: float = 0.01
    jitter_px: float = 0.1
    gradient_share: float = 0.2

    @property
    def bond_px(self) -> float:
        """Distance of neighbours, in pixels."""
        return self.bond_nm / self.pixel_size_nm

    @property
    def atom_sd_px(self) -> float:
        """Sd of an atom's profile, in pixels."""
        return self.probe_fwhm_nm / (2 * math.sqrt(2 * math.log(2))) / self.pixel_size_nm


@dataclass(frozen=True)
class LatticeImage:
    """An image and what is wrong in it."""

    grey: NDArray[np.uint16]
    defects: list[TrueDefect] = field(default_factory=list)


def simulate_lattice(
    shape: tuple[int, int],
    counts: Mapping[str, int],
    imaging: Imaging,
    *,
    brightness: float = 1.0,
    grain_boundary: bool = False,
    substitute_height: float = 1.3,
    seed: int,
    index: int,
) -> LatticeImage:
    """Simulate an image of a honeycomb lattice with defects.

    Parameters
    ----------
    shape : (int, int)
        Height and width, in pixels.
    counts : mapping of str to int
        Defects of each kind.
    imaging : Imaging
        How it is imaged.
    brightness : float
        A factor on all grey levels above the floor, such as a session's.
    grain_boundary : bool
        Whether a second grain, turned against the first, begins somewhere in the image.
    substitute_height : float
        Brightness of foreign atoms.
    seed, index : int
        The same seed and index give the same image.
    """
    rng = generator(seed, "lattice", index)
    lattice = _draw_lattice(shape, imaging.bond_px, rng)
    boundary: list[TrueDefect] = []
    if grain_boundary:
        lattice, boundary = _with_second_grain(lattice, shape, rng)
    lattice, defects = insert_defects(
        lattice, shape, counts, substitute_height=substitute_height, rng=rng
    )
    move = _Distortion(shape, imaging, rng)
    lattice = replace(
        lattice,
        positions_yx=move(lattice.positions_yx),
        blobs=np.column_stack([move(lattice.blobs[:, :2]), lattice.blobs[:, 2:]]),
    )
    seen = []
    for defect in [*boundary, *defects]:
        y, x = move(np.array([[defect.y, defect.x]]))[0]
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            seen.append(replace(defect, y=float(y), x=float(x)))
    signal = _jitter(render_lattice(lattice, shape, imaging), imaging.jitter_px, rng)
    image = _expose(signal, imaging, brightness, rng)
    return LatticeImage(image, seen)


def render_lattice(lattice: Lattice, shape: tuple[int, int], imaging: Imaging) -> Floats:
    """Draw a lattice without noise, in units of an atom's height."""
    sd = imaging.atom_sd_px
    signal = np.zeros(shape)
    if imaging.contrast == "stem":
        _stamp(signal, lattice.positions_yx, lattice.heights, sd)
    else:
        # A dark atom in a bright ring, whose height below its surroundings is 1.
        _stamp(signal, lattice.positions_yx, -1.4 * lattice.heights, sd)
        _stamp(signal, lattice.positions_yx, 0.4 * lattice.heights, 1.8 * sd)
    for y, x, blob_sd, height in lattice.blobs:
        _stamp(signal, np.array([[y, x]]), np.array([height]), blob_sd)
    return signal


class _Distortion:
    """Moves positions as tilt and drift do: an affine map about the centre, and a bend."""

    def __init__(self, shape: tuple[int, int], imaging: Imaging, rng: np.random.Generator) -> None:
        tilt, axis = rng.uniform(0, imaging.tilt_rad), rng.uniform(0, np.pi)
        along = np.array([np.cos(axis), np.sin(axis)])
        self._matrix = np.eye(2) - (1 - np.cos(tilt)) * np.outer(along, along)
        # Drift moves what is scanned later: it depends on y alone.
        self._matrix[:, 0] += rng.uniform(-1, 1, 2) * imaging.drift_share
        self._bend = rng.uniform(-1, 1, 2) * imaging.drift_share * shape[0] / (2 * np.pi)
        self._phase = rng.uniform(0, 2 * np.pi)
        self._shape = shape

    def __call__(self, positions_yx: Floats) -> Floats:
        centre = (np.array(self._shape) - 1) / 2
        wave = np.sin(2 * np.pi * positions_yx[:, :1] / self._shape[0] + self._phase)
        moved: Floats = (positions_yx - centre) @ self._matrix.T + centre + wave * self._bend
        return moved


def _draw_lattice(shape: tuple[int, int], bond_px: float, rng: np.random.Generator) -> Lattice:
    # Drift may carry in what lay beyond the edge.
    margin = 8 * int(np.ceil(bond_px))
    grown = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    shift = rng.uniform(-bond_px, bond_px, 2)
    lattice = honeycomb(
        grown,
        bond_px=bond_px,
        angle_rad=rng.uniform(0, np.pi / 3),
        shift_yx=(float(shift[0]), float(shift[1])),
    )
    return replace(lattice, positions_yx=lattice.positions_yx - margin)


def _with_second_grain(
    lattice: Lattice, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Lattice, list[TrueDefect]]:
    """Let another grain begin at a line, and list the line as defects one after another."""
    bond = lattice.bond_px
    other = _draw_lattice(shape, bond, rng)
    angle = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(angle), np.sin(angle)])
    point = np.array(shape) * rng.uniform(0.3, 0.7, 2)
    joined = join_grains(lattice, other, point_yx=point, normal_yx=normal)
    steps = np.arange(-max(shape), max(shape), 2 * bond)[:, None]
    line = point + steps * np.array([-normal[1], normal[0]])
    return joined, [TrueDefect("grain-boundary", float(y), float(x), bond) for y, x in line]


def _stamp(image: Floats, centres_yx: Floats, heights: Floats, sd: float) -> None:
    """Add round Gaussians to an image, in place."""
    reach = int(np.ceil(_STAMP_SD * sd))
    offsets = np.arange(-reach, reach + 1)
    whole = np.round(centres_yx).astype(int)
    rest = centres_yx - whole
    along_y = np.exp(-((offsets - rest[:, :1]) ** 2) / (2 * sd**2))
    along_x = np.exp(-((offsets - rest[:, 1:]) ** 2) / (2 * sd**2))
    stamps = heights[:, None, None] * along_y[:, :, None] * along_x[:, None, :]
    ys = (whole[:, :1] + offsets)[:, :, None] + np.zeros_like(offsets)
    xs = (whole[:, 1:] + offsets)[:, None, :] + np.zeros_like(offsets)[:, None]
    inside = (ys >= 0) & (ys < image.shape[0]) & (xs >= 0) & (xs < image.shape[1])
    np.add.at(image, (ys[inside], xs[inside]), stamps[inside])


def _jitter(signal: Floats, jitter_px: float, rng: np.random.Generator) -> Floats:
    """Shift every line of the scan a little."""
    if jitter_px == 0:
        return signal
    columns = np.arange(signal.shape[1])
    shifts = np.asarray(rng.normal(0, jitter_px, signal.shape[:1]))
    return np.array(
        [np.interp(columns + float(shifts[y]), columns, row) for y, row in enumerate(signal)]
    )


def _expose(
    signal: Floats, imaging: Imaging, brightness: float, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Light the specimen unevenly, add noise, and count grey levels."""
    height, width = signal.shape
    ramp_y = np.linspace(-0.5, 0.5, height)[:, None] * rng.uniform(-1, 1)
    ramp_x = np.linspace(-0.5, 0.5, width) * rng.uniform(-1, 1)
    light = brightness * (1 + imaging.gradient_share * (ramp_y + ramp_x))
    # Two heights of ground, so that more light is also seen between the atoms.
    clean = light * (signal + 2.0)
    local = imaging.shot_share * np.clip(clean / clean.mean(), 0, None)
    noise = brightness / imaging.snr * np.sqrt(1 - imaging.shot_share + local)
    grey = FLOOR_GREY + ATOM_GREY * (clean + noise * rng.standard_normal(signal.shape))
    counted: NDArray[np.uint16] = np.clip(np.round(grey), 0, 65535).astype(np.uint16)
    return counted
