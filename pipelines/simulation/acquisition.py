"""How a mosaic is acquired: directions and per-tile faults, drawn apart from what is imaged.

Nothing here knows of particles, so no fault can tell a hand. All numbers come from generators
of their own, and every direction can be mirrored.
"""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.randomness import generator
from pipelines.records import Window
from pipelines.simulation.presets import Scan


@dataclass(frozen=True)
class TileScan:
    """One tile of the instrument: its place, and the faults of its scan.

    Attributes
    ----------
    key : (int, int)
        Row and column of the tile in the scan; names its noise.
    window : Window
        Its pixels in the mosaic.
    gain, offset_grey : float
        Brightness step against other tiles.
    gradient_yx : (float, float)
        Relative change of brightness from edge to edge.
    stage_yx_px : (float, float)
        How far the stage stopped from where it should.
    shear : float
        Drift: columns that a row is displaced by per row.
    beam_sd_px, astigmatism, stigma_rad : float
        Width of the beam, its elongation, and the elongation's direction (y down).
    framed : bool
        Whether earlier neighbours have darkened its rim by contamination.
    """

    key: tuple[int, int]
    window: Window
    gain: float
    offset_grey: float
    gradient_yx: tuple[float, float]
    stage_yx_px: tuple[float, float]
    shear: float
    beam_sd_px: float
    astigmatism: float
    stigma_rad: float
    framed: bool

    def mirrored(self, width_px: int) -> "TileScan":
        """Reflect the tile's place and all its directions, left to right."""
        y0, x0, y1, x1 = self.window
        return replace(
            self,
            window=Window(y0, width_px - x1, y1, width_px - x0),
            gradient_yx=(self.gradient_yx[0], -self.gradient_yx[1]),
            stage_yx_px=(self.stage_yx_px[0], -self.stage_yx_px[1]),
            shear=-self.shear,
            stigma_rad=-self.stigma_rad,
        )


@dataclass(frozen=True)
class Acquisition:
    """A mosaic's scan: where the detector stands, which way lines run, and every tile.

    ``detector_rad`` is the azimuth of the detector, anticlockwise from the right as the image is
    seen; ``fast_x`` is 1 where lines run to the right and -1 where to the left.
    """

    size_px: int
    seed: int
    detector_rad: float
    fast_x: int
    tiles: tuple[TileScan, ...]

    def mirrored(self) -> "Acquisition":
        """Reflect all places and directions, left to right."""
        return replace(
            self,
            detector_rad=np.pi - self.detector_rad,
            fast_x=-self.fast_x,
            tiles=tuple(tile.mirrored(self.size_px) for tile in self.tiles),
        )


def draw_acquisition(seed: int, size_px: int, scan: Scan) -> Acquisition:
    """Draw a mosaic's acquisition.

    Parameters
    ----------
    seed : int
        The run's seed.
    size_px : int
        Edge of the square mosaic, in pixels. The last row and column of tiles may be smaller.
    scan : Scan
        Sizes of the faults.
    """
    rng = generator(seed, "acquisition")
    starts = range(0, size_px, scan.tile_px)
    tiles = tuple(
        _draw_tile(
            seed,
            (row, column),
            Window(y0, x0, min(y0 + scan.tile_px, size_px), min(x0 + scan.tile_px, size_px)),
            scan,
        )
        for row, y0 in enumerate(starts)
        for column, x0 in enumerate(starts)
    )
    return Acquisition(size_px, seed, float(rng.uniform(0, 2 * np.pi)), 1, tiles)


def _draw_tile(seed: int, key: tuple[int, int], window: Window, scan: Scan) -> TileScan:
    rng = generator(seed, "tile scan", *key)
    gain = np.exp(rng.normal() * scan.tile_gain)
    dark, darkening = rng.random() < scan.dark_tile_share, rng.uniform(0.72, 0.86)
    gradient = rng.normal(size=2) * scan.gradient
    # A stage stops within so much of its place: never many standard deviations off.
    stage = np.clip(rng.normal(size=2), -2, 2) * scan.stage_px
    return TileScan(
        key=key,
        window=window,
        gain=float(gain * (darkening if dark else 1.0)),
        offset_grey=float(rng.normal() * scan.tile_offset_grey),
        gradient_yx=(float(gradient[0]), float(gradient[1])),
        stage_yx_px=(float(stage[0]), float(stage[1])),
        shear=float(np.clip(rng.normal(), -2, 2) * scan.shear),
        beam_sd_px=float(max(scan.beam_sd_px + rng.normal() * scan.defocus_sd_px, 0.4)),
        astigmatism=float(abs(rng.normal()) * scan.astigmatism),
        stigma_rad=float(rng.uniform(0, np.pi)),
        framed=bool(rng.random() < 0.5),
    )
