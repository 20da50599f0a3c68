"""``tessera versions import``: an edited CSV export as a new label version."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Take the edited labels and states of a CSV export back as a new version.

    A label that was changed becomes accepted, unless its state was changed too. Labels that others
    changed since the export are conflicts: they are shown and nothing is taken, or with
    --on-conflict mine the file's, with theirs the others' stay.
    """

    file: Path = Field(
        description="the edited CSV file",
        json_schema_extra={"argument": True, "metavar": "FILE"},
    )
    on_conflict: Literal["refuse", "mine", "theirs"] = Field(
        "refuse", description="what becomes of labels that others changed since"
    )
    author: str | None = Field(None, description="who stands for it; by default the system's user")


def execute(settings: Settings) -> Outcome:
    """Import."""
    from pipelines.labels.conflicts import LabelConflictError
    from services.author import system_user
    from services.label_import import read_edits
    from services.label_store import commit_labels, current_version
    from services.progress import note
    from services.screens import table_text
    from services.versions import code_version

    archive = open_archive(settings.archive)
    author = settings.author or system_user()
    rows, base = read_edits(archive, settings.file, author=author)
    before = current_version(archive)
    assert before is not None, "the file names a version"
    try:
        made = commit_labels(
            archive,
            rows,
            method="import",
            author=author,
            run_id="",
            code_version=code_version(),
            rules={"file": settings.file.name, "exported_version": base},
            base=base,
            on_conflict=settings.on_conflict,
        )
    except LabelConflictError as conflict:
        shown = conflict.conflicts.drop_columns(["particle_id"])
        lines = [["-" if v is None else str(v) for v in row.values()] for row in shown.to_pylist()]
        head = [name.replace("_", " ") for name in shown.column_names]
        note(table_text(head, lines, n_text_columns=len(head)))
        raise
    return Outcome(
        "imported",
        {
            "edited": rows.num_rows,
            "version": made.version,
            "digest": made.digest,
            "parent": made.parent_version,
            "exported_version": base,
            "unchanged": not made.is_new,
        },
    )
