"""``tessera versions rollback``: an earlier version's labels as a new version."""

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Bring back the labels of an earlier version, as a new version of the same digest.

    The versions in between stay, and can be gone back to in the same way.
    """

    version: int = Field(
        ge=0,
        description="the version to go back to",
        json_schema_extra={"argument": True, "metavar": "VERSION"},
    )
    author: str | None = Field(None, description="who stands for it; by default the system's user")


def execute(settings: Settings) -> Outcome:
    """Go back."""
    from services.author import system_user
    from services.label_carrying import count_stale
    from services.label_store import rollback
    from services.progress import note
    from services.versions import code_version

    archive = open_archive(settings.archive)
    made = rollback(
        archive,
        settings.version,
        author=settings.author or system_user(),
        code_version=code_version(),
    )
    if not made.is_new:
        note(f"labels are those of version {settings.version} already: nothing was written")
    if n_stale := count_stale(archive):
        note(
            f"{n_stale} of these labels belong to an earlier segmentation; `tessera segment` "
            "carries them over"
        )
    return Outcome(
        "restored",
        {
            "to": settings.version,
            "version": made.version,
            "digest": made.digest,
            "parent": made.parent_version,
            "unchanged": not made.is_new,
        },
    )
