"""What is asked of the process that converts files."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.archive import MOSAIC_SUFFIX


@dataclass(frozen=True)
class Conversion:
    """What is to be converted, and how; made of plain values, so it travels as JSON."""

    source: str
    kind: str
    name: str
    folder: str
    key: str
    pixel_size_nm: float | None = None
    allow_unknown_pixel_size: bool = False
    truth: str | None = None

    @property
    def mosaic_path(self) -> Path:
        """Where the mosaic is made."""
        return Path(self.folder) / f"{self.name}{MOSAIC_SUFFIX}"

    @property
    def truth_table(self) -> Path:
        """Where the rows of the truth table are left, if there is truth."""
        return Path(self.folder) / f"{self.name}.truth.parquet"
