"""Look at an archive, its settings and the watched folders, without reading a pixel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.archive import Archive
from pipelines.digests import digest_file, digest_json, digest_rows
from pipelines.ledger import read_entries
from pipelines.mosaic.sources import source_stamp
from pipelines.segmentation.settings import RESULT_VERSION as SEGMENT
from pipelines.tables import read_rows
from services import result_versions
from services.champions import read_champions
from services.label_store import current_version
from services.nightly.changes import Snapshot
from services.settings import CLUSTER_KEYS, ArchiveSettings
from services.trust.portions import read_trusted

#: Settings that say where and how fast work is done, not what comes of it.
_INDECISIVE = CLUSTER_KEYS | {
    "archive", "tracking_uri", "author", "cache_mb",
    "core_px", "halo_px", "retry_quarantined", "check_truth", "model", "network_workers",
}  # fmt: skip
#: Stages of the ledger that tell of learned segmenters: fitted, and found to be the best.
_OF_SEGMENTERS = ("segmenter-fit", "segmenter-best")
#: What is done where the settings ask for it: fitting the segmenter anew, looking for defects.
REFIT, DETECT = "segmenter.fit", "defects.score"
OPTIONAL = (REFIT, DETECT)
#: Stages whose settings decide what a night does. Those of ingest hold for new images alone.
STAGES = ("segment", "label", "clean", "train")


def take_snapshot(
    archive: Archive,
    *,
    sources: Mapping[str, str],
    stages: Mapping[str, ArchiveSettings],
    gate: Mapping[str, Any],
    champion: str,
) -> Snapshot:
    """Gather all that decides what a night has to do.

    Parameters
    ----------
    archive : Archive
        The archive.
    sources : mapping of str to str
        Images in the watched folders: path -> stamp.
    stages : mapping of str to ArchiveSettings
        The settings of every stage.
    gate : mapping
        What candidates are judged by, JSON-like.
    champion : str
        Address of the model in use; empty where there is none.
    """
    version = current_version(archive)
    return Snapshot(
        sources=sources,
        mosaics=segmentations(archive),
        settings={
            **{stage: digest_json(decisive(stages[stage])) for stage in STAGES},
            "segmenter": digest_segmenters(archive, getattr(stages["segment"], "method", "")),
            "gate": digest_json(gate),
            **{each: digest_json(decisive(stages[each])) for each in OPTIONAL if each in stages},
            "detector": _detector(archive, stages),
        },
        results={
            "segment": SEGMENT,
            "label": result_versions.LABEL,
            "clean": result_versions.CLEAN,
            "train": result_versions.TRAIN,
            "predict": result_versions.PREDICT,
        },
        labels=version.digest if version else "",
        trust=trust_digest(archive),
        champion=champion,
    )


def segmentations(archive: Archive) -> dict[str, str]:
    """Return the segmentation of every mosaic, empty where it has no particles."""
    rows = read_rows(archive, "particles", columns=["mosaic", "segmentation"])
    newest = rows.group_by("mosaic").aggregate([("segmentation", "max")]).to_pylist()
    found = {row["mosaic"]: row["segmentation_max"] for row in newest}
    return {name: found.get(name, "") for name in archive.mosaic_names()}


def digest_segmenters(archive: Archive, method: str) -> str:
    """Digest what decides which learned segmenter a method's name means.

    Told from ledger and champions: the registry itself would have to be asked through MLflow.
    """
    kind, _, reference = method.partition(":")
    if kind not in ("learned", "auto"):
        return digest_json(None)
    fitted = [sorted(read_entries(archive, stage)) for stage in _OF_SEGMENTERS]
    # Of champions that one alone: the classifier's own changes nothing about particles.
    champion = read_champions(archive).get(reference.partition("@")[0].partition("/")[0])
    return digest_json([fitted, champion.version if champion else None])


def _detector(archive: Archive, stages: Mapping[str, ArchiveSettings]) -> str:
    """Digest which detector of defects is meant; that none is, counts too: one may be asked for."""
    reference = str(getattr(stages.get(DETECT), "model", ""))
    champion = read_champions(archive).get(reference.partition("@")[0])
    return digest_json([reference, champion.version if champion else None])


def decisive(settings: ArchiveSettings) -> dict[str, Any]:
    """Return the settings that decide a result; files stand there with their content.

    Folders stand there with size and newest change of what is in them.
    """
    values = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name in _INDECISIVE:
            continue
        if isinstance(value, Path):
            value = _path(value)
        values[name] = value
    return values


def _path(path: Path) -> Any:
    if path.is_file():
        return digest_file(path)
    return [str(path), *source_stamp(path)] if path.is_dir() else str(path)


def trust_digest(archive: Archive) -> str:
    """Digest the labels that are trusted to judge by; empty where there are none."""
    rows = read_trusted(archive, "judge")
    return digest_rows(rows, ["particle_id", "segmentation", "label"]) if rows.num_rows else ""
