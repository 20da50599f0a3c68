"""``tessera trust sample``: draw particles for a person to check."""

from pathlib import Path

from pydantic import Field

from pipelines.archive import open_archive
from pipelines.errors import SettingsError
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Draw particles to check, evenly over classes, sizes and mosaics, and write a sheet.

    The sheet is a CSV file whose column label is to be filled in: a class, undeterminable, or
    nothing. Its lines are numbered as the crops of the page that is written beside it. Given labels
    are not shown: they would be believed. Take the sheet back with `tessera trust import`.
    """

    out: Path = Field(description="the CSV file to write")
    n: int = Field(100, ge=1, le=100_000, description="particles to draw")
    mosaic: tuple[str, ...] = Field((), description="only these mosaics (GLOB); repeatable")
    force: bool = Field(False, description="write over a sheet that is there")


def execute(settings: Settings) -> Outcome:
    """Draw, and write sheet and page."""
    from services.report.trust import write_trust_page
    from services.selection import select_mosaics
    from services.trust.sampling import draw_sample, write_sheet

    archive = open_archive(settings.archive)
    if settings.out.exists() and not settings.force:
        raise SettingsError(f"--out: {settings.out} exists; --force writes over it")
    mosaics = select_mosaics(archive, settings.mosaic).chosen
    sample = draw_sample(archive, mosaics, settings.n, seed=settings.seed)
    page = write_trust_page(archive, sample, settings.out)
    try:
        write_sheet(sample, settings.out)
    except OSError as error:
        raise SettingsError(f"--out: {settings.out} cannot be written: {error.strerror}") from None
    return Outcome(
        "sampled",
        {
            "particles": sample.rows.num_rows,
            "strata": sample.n_strata,
            "strata_drawn": sample.n_strata_drawn,
            "sheet": str(settings.out),
            "page": str(page),
        },
    )
