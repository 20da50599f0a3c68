"""Presets: what is on the substrate, and how the microscope sees it. Ranges are (low, high)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

Range = tuple[float, float]


@dataclass(frozen=True)
class Shapes:
    """The particles. Sizes are shares of the circumradius or of the length."""

    length_nm: float = 150.0
    length_sigma: float = 0.10
    aspect: Range = (1.15, 1.6)
    waist: Range = (0.08, 0.16)
    twist_deg: Range = (16.0, 26.0)
    truncation: Range = (0.02, 0.12)
    broken_share: float = 0.10
    chipped_share: float = 0.15
    jitter: float = 0.02
    tilt_sd_deg: float = 2.0


@dataclass(frozen=True)
class Crowding:
    """How particles lie, and what lies between them."""

    particles_per_um2: float = 14.9
    pair_share: float = 0.16
    cluster_share: float = 0.08
    leaning_share: float = 0.4
    gap_nm: float = 12.0
    debris_per_um2: float = 10.0
    debris_nm: Range = (8.0, 36.0)
    texture: float = 0.06


@dataclass(frozen=True)
class Contrast:
    """Secondary-electron yields, relative to a flat facet of a particle."""

    substrate: float = 0.42
    slope_exponent: float = 0.5
    slope_limit: float = 1.8
    edge_strength: float = 0.8
    edge_nm: float = 3.6
    edge_step_nm: float = 3.2
    rounding_nm: float = 1.6
    shadow: float = 0.45
    shadow_nm: float = 18.0
    side_light: float = 0.18
    facet_spread: float = 0.04
    particle_spread: float = 0.05


@dataclass(frozen=True)
class Scan:
    """The beam, its scan, the noise and the tiles. Spreads are standard deviations."""

    tile_px: int = 1024
    electrons: float = 300.0
    grey_per_yield: float = 88.0
    black_grey: float = 14.0
    read_sd_grey: float = 1.5
    beam_sd_px: float = 0.9
    defocus_sd_px: float = 0.12
    astigmatism: float = 0.06
    charging: float = 0.05
    charging_px: float = 18.0
    row_jitter_px: float = 0.12
    row_offset_grey: float = 0.8
    shear: float = 0.003
    stage_px: float = 0.7
    tile_gain: float = 0.05
    tile_offset_grey: float = 4.0
    dark_tile_share: float = 0.08
    gradient: float = 0.05
    vignetting: float = 0.05
    frame: float = 0.05


@dataclass(frozen=True)
class Preset:
    """Everything a scene is drawn from, but for the seed."""

    name: str
    left_fraction: float
    shapes: Shapes
    crowding: Crowding
    contrast: Contrast
    scan: Scan


_PAPER = Preset(
    name="paper",
    # A synthesis steered to one hand: a count by eye gave 6 left among 389.
    left_fraction=0.02,
    shapes=Shapes(),
    crowding=Crowding(),
    contrast=Contrast(),
    scan=Scan(),
)

_EASY = Preset(
    name="easy",
    left_fraction=0.02,
    shapes=replace(
        _PAPER.shapes,
        length_nm=160.0,
        length_sigma=0.06,
        twist_deg=(19.0, 27.0),
        broken_share=0.0,
        chipped_share=0.0,
        jitter=0.012,
        tilt_sd_deg=1.0,
    ),
    crowding=replace(
        _PAPER.crowding,
        pair_share=0.0,
        cluster_share=0.0,
        gap_nm=28.0,
        debris_per_um2=0.0,
        texture=0.03,
    ),
    contrast=replace(_PAPER.contrast, side_light=0.08),
    scan=replace(
        _PAPER.scan,
        electrons=1500.0,
        read_sd_grey=0.8,
        defocus_sd_px=0.0,
        astigmatism=0.0,
        charging=0.0,
        row_jitter_px=0.0,
        row_offset_grey=0.0,
        shear=0.0,
        stage_px=0.0,
        tile_gain=0.01,
        tile_offset_grey=1.0,
        dark_tile_share=0.0,
        gradient=0.01,
        vignetting=0.01,
        frame=0.0,
    ),
)

_HARD = Preset(
    name="hard",
    left_fraction=0.02,
    shapes=replace(
        _PAPER.shapes,
        length_nm=125.0,
        length_sigma=0.18,
        twist_deg=(11.0, 23.0),
        broken_share=0.2,
        chipped_share=0.3,
        jitter=0.04,
        tilt_sd_deg=5.0,
    ),
    crowding=replace(
        _PAPER.crowding,
        pair_share=0.25,
        cluster_share=0.15,
        leaning_share=0.5,
        gap_nm=6.0,
        debris_per_um2=35.0,
        debris_nm=(8.0, 60.0),
        texture=0.10,
    ),
    contrast=replace(_PAPER.contrast, side_light=0.3),
    scan=replace(
        _PAPER.scan,
        electrons=90.0,
        read_sd_grey=2.5,
        beam_sd_px=1.2,
        defocus_sd_px=0.3,
        astigmatism=0.15,
        charging=0.10,
        charging_px=30.0,
        row_jitter_px=0.3,
        row_offset_grey=2.0,
        shear=0.006,
        stage_px=1.5,
        tile_gain=0.09,
        tile_offset_grey=7.0,
        dark_tile_share=0.15,
        gradient=0.10,
        vignetting=0.10,
        frame=0.10,
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for preset in (_EASY, _PAPER, _HARD)}
)
