"""Score mosaics with a detector and keep what comes of it: maps, scores, the defects table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.archive import Archive
from pipelines.errors import ModelError

if TYPE_CHECKING:
    from pipelines.defects.found import Found
    from pipelines.defects.known import KnownDefect
    from pipelines.defects.work import Scored
    from pipelines.mosaic.ome_zarr import MosaicInfo
    from services.model_registry import RegisteredModel
    from services.verbs.defects.score import Settings

#: From so many patches on, actors are worth their start.
STREAM_FROM_N_PATCHES = 50_000


@dataclass(frozen=True)
class ScoredMosaic:
    """What a detector said of a mosaic.

    Attributes
    ----------
    info : MosaicInfo
        The mosaic.
    session : str
        Where it is from.
    origins_yx, scores, flagged : (N, 2), (N,), (N,) ndarray
        Of every patch.
    is_defect, is_doubtful, kinds : (N,) ndarray
        What is known of every patch.
    map : Path or None
        The map of scores.
    n_found : int
        Rows of the defects table.
    """

    info: "MosaicInfo"
    session: str
    origins_yx: NDArray[np.int64]
    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    is_defect: NDArray[np.bool_]
    is_doubtful: NDArray[np.bool_]
    kinds: NDArray[np.str_]
    map: Path | None
    n_found: int


def check_fits(model: "RegisteredModel", infos: "Iterable[MosaicInfo]") -> None:
    """Refuse mosaics that are smaller than a patch.

    Raises
    ------
    ModelError
        Naming the mosaic.
    """
    for info in infos:
        if min(info.shape) < model.config["patch_px"]:
            raise ModelError(
                f"mosaic {info.name} is smaller than the model's patches: {info.shape[0]} x "
                f"{info.shape[1]} px against {model.config['patch_px']}"
            )


def score_mosaics(
    archive: Archive,
    settings: "Settings",
    model: "RegisteredModel",
    infos: "Mapping[str, MosaicInfo]",
    keys: Mapping[str, str],
    known: "Mapping[str, list[KnownDefect]]",
    label_digest: str,
) -> dict[str, str]:
    """Score mosaics and keep the results; return those that could not be, with the reason."""
    from pipelines.defects.work import CORE_PX, plan_jobs
    from pipelines.ledger import Entry, ledger_writer
    from pipelines.quarantine import Quarantined, put_in_quarantine, release_from_quarantine
    from services import event_log
    from services.defects.maps import MapWriter, map_path
    from services.progress import Progress
    from services.verbs.defects.score import STAGE
    from services.versions import code_version

    jobs = plan_jobs([archive.mosaic(name) for name in infos])
    left = {name: sum(job.path == str(archive.mosaic(name)) for job in jobs) for name in infos}
    about = {"model": model.uri, "method": model.config["method"]}
    gathered: dict[str, list[Scored]] = {name: [] for name in infos}
    writers = {
        name: MapWriter(
            map_path(archive, model.name, model.version, name), info, shard_px=CORE_PX, about=about
        )
        for name, info in infos.items()
    }
    names = {str(archive.mosaic(name)): name for name in infos}
    reasons: dict[str, str] = {}
    progress = Progress("defects score", len(jobs), unit="windows")
    with ledger_writer(archive) as ledger:
        for scored in _stream(settings, model, jobs, infos):
            name = names[scored.job.path]
            core = scored.job.core
            event_log.write(
                "tile",
                stage="defects",
                mosaic=name,
                tile=f"y{core.y0}-{core.y1}_x{core.x0}-{core.x1}",
                status="failed" if scored.found is None else "done",
                **({"reason": scored.reason} if scored.reason else {}),
            )
            if scored.found is None:
                reasons.setdefault(name, scored.reason)
            elif scored.found.oddness is not None:
                writers[name].add(scored.found.core, scored.found.oddness)
            gathered[name].append(scored)
            left[name] -= 1
            progress.advance()
            if left[name]:
                continue
            results = gathered.pop(name)
            if name in reasons:
                writers[name].discard()
                put_in_quarantine(archive, Quarantined(STAGE, name, name, reasons[name], 1))
                continue
            writers[name].finish()
            _keep(archive, model, infos[name], results, known.get(name, []), label_digest)
            release_from_quarantine(archive, STAGE, name, name)
            ledger.add(Entry(keys[name], STAGE, name, model.uri, code_version=code_version()))
    return reasons


def stored(
    archive: Archive,
    model: "RegisteredModel",
    info: "MosaicInfo",
    session: str,
    known: "list[KnownDefect]",
) -> ScoredMosaic:
    """Read what was kept of a mosaic."""
    from pipelines.defects.known import mark
    from pipelines.tables import read_rows
    from services.defects.maps import map_path

    with scores_path(archive, model, info.name).open("rb") as file:
        table = pq.read_table(file)
    origins = np.stack([table["y0_px"].to_numpy(), table["x0_px"].to_numpy()], axis=1)
    scores = table["score"].to_numpy()
    is_defect, is_doubtful, kinds = mark(origins, model.config["patch_px"], known)
    found = read_rows(
        archive,
        "defects",
        columns=["defect_id"],
        filters=[("mosaic", "=", info.name), ("model_uri", "=", model.uri)],
    )
    path = map_path(archive, model.name, model.version, info.name)
    return ScoredMosaic(
        info=info,
        session=session,
        origins_yx=origins,
        scores=scores,
        flagged=scores >= model.config["threshold"],
        is_defect=is_defect,
        is_doubtful=is_doubtful,
        kinds=kinds,
        map=path if path.is_dir() else None,
        n_found=found.num_rows,
    )


def _stream(
    settings: "Settings",
    model: "RegisteredModel",
    jobs: "list[Any]",
    infos: "Mapping[str, MosaicInfo]",
) -> "Iterator[Scored]":
    """Score here, or on Ray where that is wanted or worth its start."""
    from pipelines.defects.work import score_here

    stride_px = int(model.config["stride_px"])
    n_patches = sum(info.shape[0] * info.shape[1] for info in infos.values()) / stride_px**2
    if not (settings.address or settings.workers or n_patches >= STREAM_FROM_N_PATCHES):
        yield from score_here(model.folder, jobs, stride_px=stride_px)
        return
    from cluster.resources import connected_nodes, plan_pool
    from cluster.session import connect
    from pipelines.defects.flow import score_on_ray

    with connect(settings.address):
        pool = plan_pool(connected_nodes(), settings.wish)
        yield from score_on_ray(model.folder, jobs, stride_px=stride_px, pool=pool)


def _keep(
    archive: Archive,
    model: "RegisteredModel",
    info: "MosaicInfo",
    results: "list[Scored]",
    known: "list[KnownDefect]",
    label_digest: str,
) -> None:
    """Write the scores of a mosaic's patches, and its rows of the defects table."""
    from pipelines.archive import mosaic_key
    from pipelines.defects.found import find_in_map, find_in_patches, kind_at
    from pipelines.tables import replace_rows, to_table

    parts = [each.found for each in results if each.found is not None]
    origins = np.concatenate([part.origins_yx for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    order = np.lexsort((origins[:, 1], origins[:, 0]))
    path = scores_path(archive, model, info.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"y0_px": origins[order, 0], "x0_px": origins[order, 1], "score": scores[order]}
    with path.open("wb") as file:
        pq.write_table(pa.table(columns), file)
    threshold = float(model.config["threshold"])
    found: list[Found] = []
    for part in parts:
        if part.oddness is None:
            found += find_in_patches(
                part.origins_yx, part.scores, threshold, patch_px=model.config["patch_px"]
            )
        else:
            found += find_in_map(part.oddness, threshold, y0=part.core.y0, x0=part.core.x0)
    found.sort(key=lambda place: -place.score)
    nm = info.pixel_size_nm
    rows = [
        {
            "defect_id": f"{mosaic_key(info.name):08x}-{i}",
            "mosaic": info.name,
            "y_px": place.y,
            "x_px": place.x,
            "size_px": place.size_px,
            "size_nm": None if nm is None else place.size_px * nm,
            "kind": kind_at(place, known),
            "score": place.score,
            "threshold": threshold,
            "method": model.config["method"],
            "model_uri": model.uri,
            "mosaic_digest": info.digest,
            "label_digest": label_digest,
            "run_id": model.run_id,
        }
        for i, place in enumerate(found)
    ]
    uri = model.uri.replace("'", "''")
    where = f"model_uri = '{uri}' AND mosaic = '{info.name}'"
    replace_rows(archive, "defects", to_table("defects", rows), where=where)


def scores_path(archive: Archive, model: "RegisteredModel", mosaic: str) -> Path:
    """Tell where the scores of a mosaic's patches lie."""
    return archive.root / "defects" / f"{model.name}-{model.version}" / f"{mosaic}.scores.parquet"
