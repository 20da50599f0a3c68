"""``tessera versions release``: release decided labels."""

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Release labels, as a new version: from then on they change only once somebody flags them.

    Accepted, rejected and undeterminable ones are released, because a person or an audited rule
    stands for them; given ones, which nobody looked at, only with --include-given. Those in doubt
    (flagged, proposed) stay so.
    """

    mosaic: tuple[str, ...] = Field((), description="only these mosaics (GLOB); repeatable")
    include_given: bool = Field(False, description="release weak labels too")
    author: str | None = Field(None, description="who stands for it; by default the system's user")


def execute(settings: Settings) -> Outcome:
    """Release."""
    from services.author import system_user
    from services.label_decisions import release
    from services.label_store import read_labels
    from services.selection import select_mosaics
    from services.versions import code_version

    archive = open_archive(settings.archive)
    mosaics = select_mosaics(archive, settings.mosaic).chosen if settings.mosaic else None
    made = release(
        archive,
        author=settings.author or system_user(),
        code_version=code_version(),
        mosaics=mosaics,
        include_given=settings.include_given,
    )
    states = read_labels(archive, made.version, with_unlabelled=True)["state"].to_pylist()
    return Outcome(
        "released",
        {
            "version": made.version,
            "digest": made.digest,
            "parent": made.parent_version,
            "released": states.count("released"),
            "in_doubt": states.count("flagged") + states.count("proposed"),
            "given": states.count("given"),
        },
    )
