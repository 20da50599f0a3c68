"""``tessera defects score``: a score for every patch, maps, the defects table and a report."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.archive import Archive, open_archive
from services.defects.inputs import PatchSettings
from services.lock import hold
from services.outcome import Outcome

if TYPE_CHECKING:
    from services.defects.scoring import ScoredMosaic
    from services.model_registry import RegisteredModel

STAGE = "defects-score"
#: Raised whenever the same model and mosaic give other scores.
RESULT_VERSION = 1


class Settings(PatchSettings):
    """Score the patches of mosaics with a registered detector.

    Every mosaic gets a map of scores (where the detector draws one) in ARCHIVE/defects, and its
    defects a row each in the table of that name. The report ranks them; with --labels it draws
    the curves too. What is done already is not done again.
    """

    model: str = Field(
        "defects@candidate", description="NAME@ALIAS or NAME/VERSION of a fitted detector"
    )
    report: bool = Field(True, description="write a report")


def execute(settings: Settings) -> Outcome:
    """Score an archive's mosaics."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Score, inside the caller's lock and Ray session if there are."""
    from services.threads import wait_politely

    wait_politely()
    from pipelines.ledger import DONE, read_entries, work_key
    from pipelines.mosaic.ome_zarr import open_mosaic
    from services.defects.inputs import read_labels, read_sessions
    from services.defects.registry import load_detector
    from services.defects.scoring import check_fits, score_mosaics, scores_path, stored
    from services.selection import select_mosaics

    names = select_mosaics(archive, settings.mosaic).chosen
    known, digest = read_labels(archive, settings.labels, names)
    sessions = read_sessions(settings.sessions, names)
    model = load_detector(archive, settings.model, tracking_uri=settings.tracking_uri)
    infos = {name: open_mosaic(archive.mosaic(name)).info for name in names}
    check_fits(model, infos.values())
    keys = {
        name: work_key(
            STAGE,
            RESULT_VERSION,
            info.digest,
            [model.config["weights_digest"], digest],
            [name, model.uri],
        )
        for name, info in infos.items()
    }
    done = read_entries(archive, STAGE, status=DONE)
    new = [
        name
        for name in names
        if keys[name] not in done or not scores_path(archive, model, name).is_file()
    ]
    reasons: dict[str, str] = {}
    if new:
        reasons = score_mosaics(
            archive, settings, model, {name: infos[name] for name in new}, keys, known, digest
        )
    scored = [
        stored(archive, model, infos[name], sessions[name], known.get(name, []))
        for name in names
        if name not in reasons
    ]
    n_found = sum(each.n_found for each in scored)
    values: dict[str, Any] = {
        "mosaics": len(scored),
        "unchanged": len(names) - len(new),
        "patches": sum(len(each.scores) for each in scored),
        "flagged": sum(int(each.flagged.sum()) for each in scored),
        "defects": n_found,
        "model": model.uri,
    }
    if settings.report and scored:
        values["report"] = _report(archive, model, scored)
    return Outcome("scored", values, n_quarantined=len(reasons))


def _report(archive: Archive, model: "RegisteredModel", scored: "list[ScoredMosaic]") -> str:
    from services.report.defect_scores import write_score_report

    path = write_score_report(archive, model, scored)
    return str(path)
