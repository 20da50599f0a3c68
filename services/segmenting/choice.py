"""Which method was found to be best for images of some pixel size: remembered in the ledger."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from pipelines.archive import Archive
from pipelines.digests import digest_json
from pipelines.errors import SettingsError
from pipelines.ledger import DONE, Entry, append_entries, read_entries

STAGE = "segmenter-best"
#: A choice counts for pixel sizes up to so much smaller or larger than those it was made on.
SIZE_FACTOR = 1.5


@dataclass(frozen=True)
class Choice:
    """The best of some methods for images of some pixel sizes.

    Attributes
    ----------
    method : str
        What `tessera segment --method` takes.
    pixel_sizes_nm : (float, float) or None
        Smallest and largest pixel size of the images; None if they are not known.
    widths_px : (float, float)
        Smallest and largest typical diameter of the objects of an image.
    f1_50, f1_75, pq : float
        Its scores on these images.
    n_images : int
        How many they were.
    among : tuple of str
        The methods that were compared.
    report : str
        The report's file.
    """

    method: str
    pixel_sizes_nm: tuple[float, float] | None
    widths_px: tuple[float, float]
    f1_50: float
    f1_75: float
    pq: float
    n_images: int
    among: tuple[str, ...]
    report: str = ""

    @property
    def group(self) -> str:
        """What of images it is for, in words."""
        return group_name(self.pixel_sizes_nm)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Make a choice of what the ledger holds."""
        sizes, widths = values["pixel_sizes_nm"], values["widths_px"]
        fixed = {
            "pixel_sizes_nm": None if sizes is None else (sizes[0], sizes[1]),
            "widths_px": (widths[0], widths[1]),
            "among": tuple(values["among"]),
        }
        return cls(**{**values, **fixed})


def group_name(pixel_sizes_nm: tuple[float, float] | None) -> str:
    """Say of which pixel size images are.

    Examples
    --------
    >>> group_name((2.0, 2.0)), group_name((1.5, 2.0)), group_name(None)
    ('2 nm', '1.5 to 2 nm', 'unknown pixel size')
    """
    if pixel_sizes_nm is None:
        return "unknown pixel size"
    low, high = pixel_sizes_nm
    return f"{low:.4g} nm" if math.isclose(low, high) else f"{low:.4g} to {high:.4g} nm"


def remember(
    archive: Archive, choices: Sequence[Choice], *, run_id: str, code_version: str
) -> None:
    """Write choices into the ledger; a later one for the same pixel sizes takes the place."""
    append_entries(
        archive,
        [
            Entry(
                key=digest_json([STAGE, choice.group]),
                stage=STAGE,
                mosaic="",
                unit=choice.group,
                result=json.dumps(asdict(choice)),
                run_id=run_id,
                code_version=code_version,
            )
            for choice in choices
        ],
    )


def recall(archive: Archive) -> list[Choice]:
    """Read what was chosen so far."""
    entries = read_entries(archive, STAGE, status=DONE).values()
    return [Choice.from_json(json.loads(entry.result)) for entry in entries]


def choose(archive: Archive, mosaic: str, pixel_size_nm: float | None) -> Choice:
    """Return the choice for images of a pixel size: the nearest, if it is near enough.

    Raises
    ------
    SettingsError
        If methods were not compared on images like these.
    """
    choices = recall(archive)
    if not choices:
        raise SettingsError(
            f"--method auto: nothing was compared in archive {archive.root} so far; "
            "`tessera segmenter evaluate --truth DIR` does that"
        )
    near = [(distance(choice, pixel_size_nm), i) for i, choice in enumerate(choices)]
    least, nearest = min(near)
    if least > math.log(SIZE_FACTOR) + 1e-9:
        size = "unknown" if pixel_size_nm is None else f"{pixel_size_nm:g} nm"
        known = "; ".join(sorted(choice.group for choice in choices))
        raise SettingsError(
            f"--method auto: the pixel size of mosaic {mosaic} is {size}, and methods were "
            f"compared at {known}; evaluate with images like it, or name a method"
        )
    return choices[nearest]


def distance(choice: Choice, pixel_size_nm: float | None) -> float:
    """Return how far a pixel size lies from a choice's, as the logarithm of a factor."""
    if choice.pixel_sizes_nm is None or pixel_size_nm is None:
        same = choice.pixel_sizes_nm is None and pixel_size_nm is None
        return 0.0 if same else math.inf
    low, high = (math.log(size) for size in choice.pixel_sizes_nm)
    return max(low - math.log(pixel_size_nm), math.log(pixel_size_nm) - high, 0.0)
