"""``tessera versions show``: what one label version holds, and who and what made it."""

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Show one label version: counts by label and state, its parent, who and what made it."""

    version: int | None = Field(
        None,
        ge=0,
        description="the version; the newest by default",
        json_schema_extra={"argument": True, "metavar": "VERSION"},
    )


def execute(settings: Settings) -> Outcome:
    """Show."""
    from services.label_store import read_labels
    from services.screens import table_text
    from services.versions_text import describe, resolve

    archive = open_archive(settings.archive)
    version = resolve(archive, settings.version)
    rows = read_labels(archive, version.version, with_unlabelled=True)
    counts = rows.group_by(["label", "state"]).aggregate([("particle_id", "count")])
    kinds = [
        {"label": row["label"], "state": row["state"], "n": row["particle_id_count"]}
        for row in counts.sort_by([("label", "ascending"), ("state", "ascending")]).to_pylist()
    ]
    said = describe(version)
    facts = [
        [name, str(value)]
        for name, value in said.items()
        if name not in ("rules", "mosaics") and value not in (None, "")
    ]
    facts.append(["mosaics", ", ".join(version.mosaics)])
    lines = [[kind["label"] or "-", kind["state"], str(kind["n"])] for kind in kinds]
    screen = "\n".join(
        [
            table_text(["what", "value"], facts, n_text_columns=2),
            "",
            table_text(["label", "state", "particles"], lines, n_text_columns=2),
        ]
    )
    return Outcome(
        "shown",
        {
            "version": version.version,
            "digest": version.digest,
            "labels": version.n_labelled,
            "counts": kinds,
            "about": said,
        },
        screen=screen,
    )
