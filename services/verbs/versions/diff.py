"""``tessera versions diff``: what differs between two label versions."""

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Compare two label versions: transitions, populations, and the particles that changed.

    Writes a page with their crops to the archive's reports.
    """

    before: int = Field(
        ge=0,
        description="the earlier version",
        json_schema_extra={"argument": True, "metavar": "BEFORE"},
    )
    after: int | None = Field(
        None,
        ge=0,
        description="the later one; the newest by default",
        json_schema_extra={"argument": True, "metavar": "AFTER"},
    )
    page: bool = Field(True, description="write the page with crops")


def execute(settings: Settings) -> Outcome:
    """Compare."""
    from pipelines.labels.diff import diff_labels
    from services.label_store import read_labels
    from services.report.label_diff import ratio_text, side, write_diff_page
    from services.screens import table_text
    from services.versions_text import resolve

    archive = open_archive(settings.archive)
    before, after = resolve(archive, settings.before), resolve(archive, settings.after)
    found = diff_labels(
        *(
            read_labels(archive, version.version, with_unlabelled=True)
            for version in (before, after)
        )
    )
    values: dict[str, object] = {
        "before": before.version,
        "after": after.version,
        "changed": found.changed.num_rows,
        "same": found.n_same,
        "touched": found.n_touched,
        "transitions": found.transitions.to_pylist(),
        "populations": [
            {"label": one.label, "before": vars(one.before), "after": vars(one.after)}
            for one in found.populations
        ],
    }
    if settings.page:
        values["page"] = str(write_diff_page(archive, before, after, found))
    lines = [
        [
            side(row["label_before"], row["state_before"]),
            side(row["label_after"], row["state_after"]),
            str(row["n"]),
        ]
        for row in found.transitions.to_pylist()
    ]
    ratios = [
        [one.label, ratio_text(one.before), ratio_text(one.after)] for one in found.populations
    ]
    screen = "\n".join(
        [
            table_text(["before", "after", "particles"], lines, n_text_columns=2),
            "",
            table_text(
                ["class", f"in version {before.version}", f"in version {after.version}"], ratios
            ),
        ]
    )
    return Outcome("compared", values, screen=screen)
