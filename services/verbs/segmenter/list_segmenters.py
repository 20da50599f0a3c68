"""``tessera segmenter list``: the registered segmenters, what they are for, how good they were."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import ArchiveSettings

if TYPE_CHECKING:
    from services.segmenter_registry import SegmenterVersion
    from services.segmenting.choice import Choice


class Settings(ArchiveSettings):
    """List segmenters: aliases, pixel sizes and object widths they were fitted on, F1 at IoU 0.5.

    F1 is that on images that were held out when the segmenter was fitted. Below the segmenters
    stands what was found to be best where methods were compared; `tessera segment --method auto`
    takes that.
    """

    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )


def execute(settings: Settings) -> Outcome:
    """List what is registered."""
    from services.segmenter_registry import list_segmenters
    from services.segmenting.choice import recall

    archive = open_archive(settings.archive)
    versions = list_segmenters(archive, tracking_uri=settings.tracking_uri)
    choices = recall(archive)
    return Outcome(
        "listed",
        {
            "segmenters": len({version.name for version in versions}),
            "versions": len(versions),
            "models": [_row(version) for version in versions],
            "best": [{"for": choice.group, "method": choice.method} for choice in choices],
        },
        screen="\n".join([*_table(versions), *_best(choices)]),
    )


def _row(version: "SegmenterVersion") -> dict[str, object]:
    return {
        "model": version.reference,
        "aliases": list(version.aliases),
        "widths_px": version.widths_px,
        "pixel_sizes_nm": version.pixel_sizes_nm,
        "metrics": dict(version.metrics),
        "weights_digest": version.weights_digest,
    }


def _table(versions: "Sequence[SegmenterVersion]") -> list[str]:
    from services.segmenting.columns import lay_out

    head = ("model", "aliases", "object px", "pixel nm", "F1")
    rows = [
        (
            version.reference,
            " ".join(version.aliases) or "-",
            _between(version.widths_px),
            _between(version.pixel_sizes_nm),
            f"{version.metrics['f1_50']:.3f}" if "f1_50" in version.metrics else "-",
        )
        for version in versions
    ]
    if not rows:
        return ["no segmenter is registered; `tessera segmenter fit` makes one"]
    return lay_out(head, rows, n_left=4)


def _best(choices: "Sequence[Choice]") -> list[str]:
    return [
        f"best at {choice.group}: {choice.method} (F1 {choice.f1_50:.3f} on {choice.n_images} "
        "images)"
        for choice in choices
    ]


def _between(values: tuple[float, float] | None) -> str:
    if values is None:
        return "-"
    low, high = (f"{value:.3g}" for value in values)
    return low if low == high else f"{low} to {high}"
