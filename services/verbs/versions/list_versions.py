"""``tessera versions list``: all label versions, the newest first."""

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """List the label versions, the newest first: when, who, how, and how many labels."""

    limit: int = Field(20, ge=0, description="versions to list; 0 for all")


def execute(settings: Settings) -> Outcome:
    """List."""
    from services.label_versions import list_versions
    from services.screens import table_text
    from services.versions_text import describe

    archive = open_archive(settings.archive)
    everything = list_versions(archive)
    shown = everything[::-1][: settings.limit or None]
    head = ["version", "when (UTC)", "author", "method", "labels", "parent", "digest"]
    rows = [
        [
            str(version.version),
            version.at.strftime("%Y-%m-%d %H:%M"),
            version.author,
            version.method,
            str(version.n_labelled),
            "" if version.parent_version is None else str(version.parent_version),
            version.digest[:12],
        ]
        for version in shown
    ]
    newest = everything[-1] if everything else None
    return Outcome(
        "listed",
        {
            "versions": len(everything),
            **({} if newest is None else {"newest": newest.version, "digest": newest.digest}),
            "list": [describe(version) for version in shown],
        },
        screen=table_text(head, rows, n_text_columns=4) if rows else "",
    )
