"""``tessera predict``: calibrated class probabilities of every particle."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.archive import Archive, open_archive
from services.lock import hold
from services.outcome import Outcome
from services.settings import ClusterSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from services.model_registry import RegisteredModel

STAGE = "predict"
#: From so many particles on, actors are worth their start.
STREAM_FROM_N_PARTICLES = 50_000


class Settings(ClusterSettings):
    """Classify every particle with a registered model: calibrated probabilities in a table."""

    model: str = Field(description="NAME@ALIAS or NAME/VERSION, such as particles@candidate")
    mosaic: tuple[str, ...] = Field((), description="only these mosaics (GLOB); repeatable")
    force: bool = Field(
        False, description="also where pixel sizes or classes do not fit the model; it is said"
    )
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )


def execute(settings: Settings) -> Outcome:
    """Classify the archive's particles."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Classify, inside the caller's lock and Ray session if there are."""
    from services.threads import wait_politely

    wait_politely()
    import pyarrow as pa

    from pipelines.ledger import DONE, Entry, append_entries, read_entries
    from pipelines.mosaic.ome_zarr import open_mosaic
    from pipelines.tables import read_rows
    from services.model_fit import check_fit
    from services.model_registry import load_model
    from services.selection import select_mosaics
    from services.versions import code_version

    names = select_mosaics(archive, settings.mosaic).chosen
    model = load_model(archive, settings.model, tracking_uri=settings.tracking_uri)
    infos = [open_mosaic(archive.mosaic(name)).info for name in names]
    check_fit(archive, model, infos, force=settings.force)
    parts, keys = plan_particles(archive, model, names)
    done = read_entries(archive, STAGE, status=DONE)
    new = [name for name in names if keys[name] not in done]
    started = time.monotonic()
    n_workers = 1
    if new:
        rows = pa.concat_tables(parts[name] for name in new)
        n_workers = _classify(archive, settings, model, rows, new)
    # A worker's seconds, by particles, for plans of later work.
    per_particle_s = n_workers * (time.monotonic() - started)
    per_particle_s /= max(1, sum(parts[name].num_rows for name in new))
    append_entries(
        archive,
        [
            Entry(
                keys[name],
                STAGE,
                name,
                model.uri,
                seconds=per_particle_s * parts[name].num_rows,
                result=json.dumps({"particles": parts[name].num_rows}),
                code_version=code_version(),
            )
            for name in new
        ],
    )
    said = read_rows(
        archive,
        "predictions",
        columns=["label"],
        filters=[("model_uri", "=", model.uri), ("mosaic", "in", list(names))],
    )
    counts = Counter(said["label"].to_pylist())
    return Outcome(
        "predicted",
        {
            "mosaics": len(names),
            "unchanged": len(names) - len(new),
            "particles": said.num_rows,
            "model": model.uri,
            **{name: counts[name] for name in model.config["classes"]},
        },
    )


def plan_particles(
    archive: Archive, model: "RegisteredModel", names: Sequence[str]
) -> "tuple[dict[str, pa.Table], dict[str, str]]":
    """Return the particles of each mosaic, and the key of its predictions in the ledger.

    Raises
    ------
    LabelError
        If there are no particles.
    """
    import pyarrow.compute as pc

    from pipelines.digests import digest_rows
    from pipelines.errors import LabelError
    from pipelines.ledger import work_key
    from pipelines.tables import read_rows
    from services import result_versions

    rows = read_rows(
        archive,
        "particles",
        columns=["particle_id", "mosaic", "instance", "segmentation", "centroid_y_px",
                 "centroid_x_px", "orientation_rad"],
        filters=[("mosaic", "in", list(names))],
    ).sort_by("particle_id")  # fmt: skip
    if not rows.num_rows:
        raise LabelError(f"archive {archive.root} has no particles: run tessera segment first")
    parts = {name: rows.filter(pc.equal(rows["mosaic"], name)) for name in names}
    keys = {
        name: work_key(
            STAGE,
            result_versions.PREDICT,
            digest_rows(part, part.column_names),
            model.config["weights_digest"],
            [name, model.uri],
        )
        for name, part in parts.items()
    }
    return parts, keys


def wants_ray(settings: Settings, n_particles: int) -> bool:
    """Tell whether actors classify, and not this process."""
    asked = bool(settings.address or settings.workers)
    return (asked and n_particles > 0) or n_particles >= STREAM_FROM_N_PARTICLES


def _classify(
    archive: Archive,
    settings: Settings,
    model: "RegisteredModel",
    rows: "pa.Table",
    names: Sequence[str],
) -> int:
    """Predict, and replace what the same model said of these mosaics before.

    Returns
    -------
    n_workers : int
        How many worked on it.
    """
    import numpy as np

    from pipelines.classifiers.flow import predict_here
    from pipelines.classifiers.model import load_classifier
    from pipelines.mosaic.ome_zarr import open_mosaic
    from pipelines.tables import replace_rows, to_table
    from services.learning_set import to_particles
    from services.progress import Progress

    classifier = load_classifier(model.folder)
    crops = classifier.view.crops(
        [archive.mosaic(name) for name in names],
        [open_mosaic(archive.mosaic(name)).info.pixel_size_nm for name in names],
        to_particles(rows, names),
    )
    progress = Progress("predict", rows.num_rows, unit="particles")
    probabilities = np.zeros((rows.num_rows, len(classifier.classes)))
    n_workers = 1
    if wants_ray(settings, rows.num_rows):
        from cluster.resources import connected_nodes
        from cluster.session import connect
        from pipelines.classifiers.flow import classifier_pool, predict_on_ray

        with connect(settings.address):
            pool = classifier_pool(connected_nodes(), settings.wish)
            n_workers = pool.size
            for where, found in predict_on_ray(model.folder, crops, pool=pool):
                probabilities[where] = found
                progress.advance(len(where))
    else:
        for where, found in predict_here(classifier, crops):
            probabilities[where] = found
            progress.advance(len(where))
    best = probabilities.argmax(axis=1)
    table = to_table(
        "predictions",
        {
            "particle_id": rows["particle_id"],
            "mosaic": rows["mosaic"],
            "instance": rows["instance"],
            "label": [classifier.classes[i] for i in best],
            "confidence": probabilities.max(axis=1),
            "classes": [classifier.classes] * rows.num_rows,
            "probabilities": probabilities.tolist(),
            "model_uri": [model.uri] * rows.num_rows,
            "label_version": [model.card["label_version"]] * rows.num_rows,
        },
    )
    quoted = ", ".join(f"'{name}'" for name in names)
    uri = model.uri.replace("'", "''")
    replace_rows(
        archive,
        "predictions",
        table,
        where=f"model_uri = '{uri}' AND mosaic IN ({quoted})",
    )
    return n_workers
