"""What decides a segmentation, and how large a halo it needs."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipelines.errors import SettingsError
from pipelines.segmentation.masks import UNITS_PER_PX
from pipelines.segmentation.persistence import SplitRule

Polarity = Literal["auto", "bright", "dark"]
#: Smoothing to choose from where none is wanted by name, in pixels.
AUTO_SMOOTH_PX = (1.0, 1.5, 2.0, 3.0)
#: Raised whenever equal settings give other particles than before.
RESULT_VERSION = 1


@dataclass(frozen=True)
class SegmentationSettings:
    """What decides which pixels belong to which particle, and which particles stay.

    Lengths are in pixels of level 0, grey levels in the mosaic's own units.

    Attributes
    ----------
    method : str
        A name in `pipelines.segmentation.methods`, ``learned:path/to/folder``, or
        ``path/to/file.py:NAME``.
    polarity : {"auto", "bright", "dark"}
        Whether particles are brighter or darker than what surrounds them.
    threshold : float or None
        Grey levels between background and particle; by default the method finds it.
    smooth_px : float or None
        Standard deviation of the Gaussian before thresholding; 0 for none; by default as little
        as the noise allows.
    flatten_px : int
        Scale at which the background may vary; 0 for one background everywhere. Several times
        the largest particle.
    fill_holes_px : int
        Holes no wider and no higher than this are filled.
    max_radius_px : int
        Distances from the background count up to here; particles joined by a neck more than
        twice as thick stay one.
    split_px, split_fraction : float
        Two peaks stay apart if the lower one rises above their saddle by at least ``split_px``,
        and by at least this fraction of its height; otherwise they are one particle.
    min_diameter_px, max_diameter_px, min_diameter_nm, max_diameter_nm : float or None
        Limits of the diameter of the disc of equal area.
    min_relative_diameter : float
        The least diameter as a share of the typical one, by which debris is told from particles;
        0 where small particles count.
    clear_border : bool
        Whether to drop particles that touch the mosaic's edge.
    object_px : float or None
        Width of the typical object, for methods that look at objects at one size; estimated from
        the mosaic by default.
    """

    method: str = "otsu"
    polarity: Polarity = "auto"
    threshold: float | None = None
    smooth_px: float | None = None
    flatten_px: int = 512
    fill_holes_px: int = 32
    max_radius_px: int = 64
    split_px: float = 1.0
    split_fraction: float = 0.1
    min_diameter_px: float | None = 6.0
    max_diameter_px: float | None = None
    min_diameter_nm: float | None = None
    max_diameter_nm: float | None = None
    min_relative_diameter: float = 0.3
    clear_border: bool = False
    object_px: float | None = None

    def __post_init__(self) -> None:
        for name in ("smooth_px", "flatten_px", "fill_holes_px", "split_px"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise SettingsError(f"{name} must not be negative, got {value}")
        if not 1 <= self.max_radius_px <= 255:
            raise SettingsError(f"max_radius_px must be 1 to 255, got {self.max_radius_px}")
        for name in ("split_fraction", "min_relative_diameter"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} must be 0 to 1, got {getattr(self, name)}")
        if self.threshold is not None and self.threshold <= 0:
            raise SettingsError(f"threshold must be positive, got {self.threshold}")
        if self.object_px is not None and not 2 <= self.object_px <= 512:
            raise SettingsError(f"object_px must be 2 to 512, got {self.object_px}")
        for unit in ("px", "nm"):
            low, high = getattr(self, f"min_diameter_{unit}"), getattr(self, f"max_diameter_{unit}")
            if low is not None and high is not None and low > high:
                raise SettingsError(
                    f"min_diameter_{unit} must not exceed max_diameter_{unit}, got {low} and {high}"
                )

    @property
    def split_rule(self) -> SplitRule:
        """When two peaks stay apart."""
        return SplitRule(self.split_px * UNITS_PER_PX, self.split_fraction)

    def to_json(self) -> dict[str, Any]:
        """Return everything that decides the result, as JSON-like values."""
        plain = asdict(self)
        if self.object_px is None:
            # What was segmented before there was this setting stays what it is.
            del plain["object_px"]
        return plain


def check_tiling(core_px: int, halo_px: int | None, *, support_px: int) -> int:
    """Return the halo to read, in pixels.

    Parameters
    ----------
    core_px : int
        Edge of the cores.
    halo_px : int or None
        The halo that was asked for; what is needed, by default.
    support_px : int
        How far the method's answer at a pixel depends on others.

    Raises
    ------
    SettingsError
        If the halo is too small for an answer that does not depend on the tiles, or the core's
        edge is not a power of two from 64 to 16384.
    """
    if not 64 <= core_px <= 16384 or core_px & (core_px - 1):
        raise SettingsError(f"core_px must be a power of two from 64 to 16384, got {core_px}")
    if halo_px is None:
        return support_px
    if halo_px < support_px:
        raise SettingsError(
            f"halo_px must be at least {support_px} with these settings (smoothing, holes and "
            f"max_radius_px), got {halo_px}"
        )
    return halo_px
