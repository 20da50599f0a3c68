"""``tessera trust import``: enter labels that a person checked."""

from pathlib import Path

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Enter the labels of a filled-in sheet; lines without a label are left for later.

    Each particle belongs for good to one of two portions, by its id: labels to learn from, or to
    judge by. Entering it again with another label corrects it.
    """

    file: Path = Field(
        description="the filled-in CSV file",
        json_schema_extra={"argument": True, "metavar": "FILE"},
    )
    author: str | None = Field(None, description="who checked; by default the system's user")


def execute(settings: Settings) -> Outcome:
    """Enter the file's labels."""
    from services.author import system_user
    from services.trust.entry import enter_trusted

    archive = open_archive(settings.archive)
    # Without holding the archive: rows are only ever added, also while a job works on it.
    entered = enter_trusted(archive, settings.file, checked_by=settings.author or system_user())
    return Outcome(
        "entered",
        {
            "new": entered.n_new,
            "changed": entered.n_changed,
            "same": entered.n_same,
            "blank": entered.n_blank,
            "learn": entered.n_learn,
            "judge": entered.n_judge,
        },
    )
