"""``tessera trust show``: how many labels are trusted, of which classes and mosaics."""

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings


class Settings(ArchiveSettings):
    """Count the trusted labels by class, portion and mosaic.

    Waiting ones belong to an earlier segmentation and to no particle of the present one: they were
    split, merged or lost, and count no more; what lies in their place keeps their portion.
    """


def execute(settings: Settings) -> Outcome:
    """Count."""
    from services.screens import table_text
    from services.trust.portions import JUDGE, LEARN, read_all_trusted, read_trusted

    archive = open_archive(settings.archive)
    rows = read_trusted(archive)
    origins = set(rows["origin"].to_pylist())
    waiting = set(read_all_trusted(archive)["origin"].to_pylist()) - origins
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows.select(["mosaic", "label", "portion"]).to_pylist():
        key = row["mosaic"], row["label"] or "undeterminable"
        of_kind = counts.setdefault(key, {LEARN: 0, JUDGE: 0})
        of_kind[row["portion"]] += 1
    kinds = [
        {"mosaic": mosaic, "label": label, **of_kind}
        for (mosaic, label), of_kind in sorted(counts.items())
    ]
    head = ["mosaic", "label", LEARN, JUDGE]
    lines = [[str(kind[name]) for name in head] for kind in kinds]
    return Outcome(
        "shown",
        {
            "trusted": rows.num_rows,
            LEARN: sum(of_kind[LEARN] for of_kind in counts.values()),
            JUDGE: sum(of_kind[JUDGE] for of_kind in counts.values()),
            "waiting": len(waiting),
            "kinds": kinds,
        },
        screen=table_text(head, lines, n_text_columns=2) if lines else "",
    )
