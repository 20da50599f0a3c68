"""Render one tile of a scene: pieces into heights, heights into yield, yield into grey levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import generator
from pipelines.records import Window
from pipelines.simulation import contrast as yields_of
from pipelines.simulation import scan as scanned
from pipelines.simulation.acquisition import Acquisition, TileScan
from pipelines.simulation.geometry import outline
from pipelines.simulation.particle import Piece
from pipelines.simulation.presets import Contrast, Preset
from pipelines.simulation.scene import Scene

#: Samples per pixel along each axis.
_FINE = 2
#: Facets steeper than this are seen from the side only.
_EDGE_ON = 1e-3


@dataclass(frozen=True)
class RenderedTile:
    """A finished tile: its pixels, and the particles that are seen in it."""

    window: Window
    grey: NDArray[np.uint8]
    instances: NDArray[np.uint32]


@dataclass(frozen=True)
class Relief:
    """What is seen from above at every sample: height in pixels, yield, and which piece."""

    z: NDArray[np.float32]
    yields: NDArray[np.float32]
    pieces: NDArray[np.uint16]


def render_tile(
    scene: Scene, acquisition: Acquisition, tile: TileScan, preset: Preset, pixel_size_nm: float
) -> RenderedTile:
    """Render a tile as the instrument would deliver it.

    Parameters
    ----------
    scene : Scene
        All of the scene, or those pieces of it that are near the tile: the result is the same.
    acquisition : Acquisition
        Directions of detector and scan.
    tile : TileScan
        The tile.
    preset : Preset
        Contrast and noise.
    pixel_size_nm : float
        Edge of a pixel, in nanometres.
    """
    signal, instances = expected_signal(scene, acquisition, tile, preset, pixel_size_nm)
    rng = generator(acquisition.seed, "tile", *tile.key)
    counted = scanned.count_electrons(signal, preset.scan.electrons, rng=rng)
    grey = scanned.digitise(scanned.to_grey(counted, tile, preset.scan), preset.scan, rng=rng)
    return RenderedTile(tile.window, grey, instances)


def expected_signal(
    scene: Scene, acquisition: Acquisition, tile: TileScan, preset: Preset, pixel_size_nm: float
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Compute a tile's yield before any electron is counted, and its instances.

    Returns
    -------
    signal : (H, W) array of float32
        Yield, with all that depends on place and direction: charging, displacement, light.
    instances : (H, W) array of uint32
        Ids of the particles seen; 0 for substrate and debris.
    """
    margin_px = margin(preset, pixel_size_nm)
    window = widened(tile.window, margin_px)
    pieces = [
        piece
        for piece in (*(particle.piece for particle in scene.particles), *scene.debris)
        if reaches(piece, window)
    ]
    texture = yields_of.substrate_texture(
        scene.seed, window, width_px=scene.size_px, flipped=scene.flipped
    )
    ground = preset.contrast.substrate * np.maximum(1 + np.float32(scene.texture) * texture, 0.2)
    relief = draw_relief(
        pieces, window, ground, preset.contrast, detector_rad=acquisition.detector_rad
    )
    signal = yields_of.shade(relief.z, relief.yields, preset.contrast, px_per_nm=1 / pixel_size_nm)
    kernel = yields_of.beam_kernel(
        tile.beam_sd_px, astigmatism=tile.astigmatism, stigma_rad=tile.stigma_rad
    )
    signal = cv2.filter2D(signal, -1, kernel)
    signal = scanned.charge(
        signal, preset.scan, fast_x=acquisition.fast_x, ground=preset.contrast.substrate
    )
    x, y = scanned.displacement(
        tile,
        preset.scan,
        fast_x=acquisition.fast_x,
        margin_px=margin_px,
        rng=generator(acquisition.seed, "lines", *tile.key),
    )
    seen = scanned.resample(_coarse(relief.pieces), x, y, nearest=True)
    ids = np.array([0, *(piece.instance for piece in pieces)], dtype=np.uint32)
    read = scanned.resample(signal, x, y, nearest=False)
    light = scanned.illumination(tile, preset.scan)
    return np.asarray(read * light, dtype=np.float32), ids[seen]


def margin(preset: Preset, pixel_size_nm: float) -> int:
    """Tell how much context a tile needs on each side, in pixels.

    Three times the widest blur, and as far as lines may be displaced.
    """
    scan = preset.scan
    displaced = scan.shear * scan.tile_px + 2 * scan.stage_px + 5 * scan.row_jitter_px
    return int(np.ceil(3 * preset.contrast.shadow_nm / pixel_size_nm + displaced)) + 4


def widened(window: Window, margin_px: int) -> Window:
    """Grow a window on every side, beyond the mosaic's border too: the specimen goes on there."""
    y0, x0, y1, x1 = window
    return Window(y0 - margin_px, x0 - margin_px, y1 + margin_px, x1 + margin_px)


def draw_relief(
    pieces: Sequence[Piece],
    window: Window,
    ground: NDArray[np.float32],
    contrast: Contrast,
    *,
    detector_rad: float,
) -> Relief:
    """Draw pieces into a window, the tallest in front.

    Parameters
    ----------
    pieces : sequence of Piece
        At most 65535.
    window : Window
        Pixels of the mosaic.
    ground : (H, W) array of float32
        The substrate's yield.
    contrast : Contrast
        Yield by slope.
    detector_rad : float
        Azimuth of the detector.

    Returns
    -------
    relief : Relief
        With two samples per pixel along each axis; ``pieces`` counts from 1, 0 is substrate.
    """
    height, width = (edge * _FINE for edge in window.shape)
    relief = Relief(
        z=np.zeros((height, width), dtype=np.float32),
        yields=cv2.resize(ground, (width, height), interpolation=cv2.INTER_LINEAR),
        pieces=np.zeros((height, width), dtype=np.uint16),
    )
    for number, piece in enumerate(pieces, start=1):
        _draw_piece(relief, piece, number, window, contrast, detector_rad)
    return relief


def reaches(piece: Piece, window: Window) -> bool:
    """Tell whether a piece may show in a window."""
    (y, x), reach = piece.centre_yx, piece.solid.reach
    return bool(
        window.y0 < y + reach
        and y - reach < window.y1
        and window.x0 < x + reach
        and x - reach < window.x1
    )


def _draw_piece(
    relief: Relief,
    piece: Piece,
    number: int,
    window: Window,
    contrast: Contrast,
    detector_rad: float,
) -> None:
    """Draw one piece over what is lower than it."""
    y, x = piece.centre_yx[0] - window.y0, piece.centre_yx[1] - window.x0
    rows = _samples(y, piece.solid.reach, relief.z.shape[0])
    columns = _samples(x, piece.solid.reach, relief.z.shape[1])
    if len(rows) == 0 or len(columns) == 0:
        return
    # The solid's frame has y up; rows count down.
    up = (y - (rows + 0.5) / _FINE).astype(np.float32)[:, None]
    right = ((columns + 0.5) / _FINE - x).astype(np.float32)[None, :]
    facing = piece.solid.planes[:, 2] > _EDGE_ON
    planes = piece.solid.planes[facing]
    shown = yields_of.facet_yields(planes[:, :3], contrast, detector_rad) * piece.gains[facing]
    slopes = (planes / planes[:, 2:3]).astype(np.float32)
    z = np.full((len(rows), len(columns)), np.inf, dtype=np.float32)
    brightness = np.zeros_like(z)
    for (sx, sy, _, level), grey in zip(slopes, shown.astype(np.float32), strict=True):
        plane = (level - sy * up) - sx * right
        lower = plane < z
        np.copyto(z, plane, where=lower)
        np.copyto(brightness, grey, where=lower)
    here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    front = _inside(piece, right, up) & (z > relief.z[here])
    np.copyto(relief.z[here], z, where=front)
    np.copyto(relief.yields[here], brightness, where=front)
    np.copyto(relief.pieces[here], np.uint16(number), where=front)


def _inside(piece: Piece, right: NDArray[np.float32], up: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the samples inside a piece's outline."""
    corners = outline(piece.solid)
    edges = np.roll(corners, -1, axis=0) - corners
    inside = np.ones((up.shape[0], right.shape[1]), dtype=bool)
    for (cx, cy), (ex, ey) in zip(
        corners.astype(np.float32), edges.astype(np.float32), strict=True
    ):
        inside &= ex * (up - cy) >= ey * (right - cx)
    return inside


def _samples(centre_px: float, reach_px: float, n_samples: int) -> NDArray[np.intp]:
    """List the samples along one axis that a piece may cover."""
    first = max(int(np.floor((centre_px - reach_px) * _FINE)), 0)
    last = min(int(np.ceil((centre_px + reach_px) * _FINE)), n_samples)
    return np.arange(first, max(last, first))


def _coarse(pieces: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Give a pixel to a piece where at least half of its samples show one."""
    height, width = pieces.shape
    blocks = pieces.reshape(height // _FINE, _FINE, width // _FINE, _FINE)
    covered = (blocks > 0).sum(axis=(1, 3)) * 2 >= _FINE**2
    return np.where(covered, blocks.max(axis=(1, 3)), 0).astype(np.uint16)
