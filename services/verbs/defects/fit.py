"""``tessera defects fit``: learn what is normal, choose a threshold on unseen images, register."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.archive import Archive, open_archive
from pipelines.errors import SettingsError
from services.defects.inputs import GridSettings
from services.lock import hold
from services.outcome import Outcome
from services.progress import note

if TYPE_CHECKING:
    import numpy as np

    from pipelines.defects.patches import Patches
    from services.defects.inputs import DefectData
    from services.tracking import TrackedRun

STAGE = "defects-fit"


class Settings(GridSettings):
    """Fit a detector of defects on patches without any, and register it.

    Known defects (--labels) are kept out of what is learnt. A quarter of the images (or sessions)
    is set aside: on their patches the threshold is chosen, so that a clean image has at most
    --false-alarms of them. The model becomes NAME@candidate.
    """

    method: str = Field("lattice", description="name of the detector")
    name: str = Field(
        "defects",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="name of the registered model",
    )
    hold_out: tuple[str, ...] = Field(
        (), description="mosaics that are neither learnt from nor calibrated on (GLOB); repeatable"
    )
    features: Path | None = Field(
        None,
        description="weights of the features (safetensors) for patch-core and padim; learnt from "
        "the normal patches by default",
    )
    most_patches: int = Field(20000, ge=1, description="patches that are read at most")


def execute(settings: Settings) -> Outcome:
    """Fit on an archive."""
    archive = open_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Fit, calibrate and register, inside the caller's lock."""
    from services.threads import wait_politely

    wait_politely()
    from pipelines.defects.catalogue import get_detector
    from services import tracking
    from services.defects.inputs import read_data
    from services.selection import select_mosaics

    detector = _with_features(get_detector(settings.method), settings)
    names = select_mosaics(archive, settings.mosaic, settings.hold_out).chosen
    if len(names) < 2:
        raise SettingsError(
            f"--mosaic: at least 2 images are needed, one to learn from and one to choose the "
            f"threshold on; got {len(names)}"
        )
    tracking.warm()
    stride_px = settings.stride_px or settings.patch_px
    data = read_data(
        archive,
        names,
        settings,
        patch_px=settings.patch_px,
        stride_px=stride_px,
        most_patches=settings.most_patches,
    )
    learn = _to_learn_from(data, settings.seed)
    with tracking.track_run(
        archive, STAGE, settings.model_dump(mode="json"), tracking_uri=settings.tracking_uri
    ) as run:
        values = _fit_and_register(archive, settings, detector, data, learn, stride_px, run)
    return Outcome("fitted", values)


def _with_features(detector: Any, settings: Settings) -> Any:
    """Let a detector use weights from a file, and try now whether it can."""
    if settings.features is None:
        return detector
    from dataclasses import replace

    if not hasattr(detector, "features"):
        raise SettingsError(f"--features is for patch-core and padim, not {settings.method}")
    from pipelines.defects.features import read_encoder

    read_encoder(settings.features)
    return replace(detector, features=str(settings.features))


def _to_learn_from(data: "DefectData", seed: int) -> "np.ndarray":
    """Choose whole images (sessions, if there are several) to learn from; the rest calibrates."""
    import numpy as np

    from pipelines.defects.protocol import SHARE_TO_CALIBRATE
    from pipelines.randomness import generator

    patches = data.patches
    several = len(np.unique(patches.sessions)) > 1
    groups = patches.sessions if several else patches.images
    # Without a normal patch a group can neither teach nor calibrate.
    usable = np.unique(groups[patches.is_clean])
    if len(usable) < 2:
        raise SettingsError(
            "--mosaic: at least 2 images with normal patches are needed, one to learn from and "
            f"one to choose the threshold on; got {len(usable)}"
        )
    order = generator(seed, "calibrate").permutation(usable)
    n = max(1, round(SHARE_TO_CALIBRATE * len(order)))
    learn: np.ndarray = ~np.isin(groups, order[:n])
    return learn


def _fit_and_register(
    archive: Archive, settings: Settings, detector: Any, data: "DefectData", learn: "np.ndarray",
    stride_px: int, run: "TrackedRun",
) -> dict[str, Any]:  # fmt: skip
    import shutil

    from pipelines.defects.model import fit_detector
    from pipelines.defects.protocol import feed, judge
    from pipelines.digests import digest_file
    from pipelines.evaluation.anomaly import threshold_at
    from services.defects.registry import make_card, register_detector

    given = feed(detector, data.patches.take(learn))
    note(f"defects fit: {settings.method} on {len(given)} patches")
    model = fit_detector(detector, given, seed=settings.seed)
    rest: Patches = data.patches.take(~learn)
    scores = judge(detector, model, rest)[rest.is_clean]
    n_images = len(set(rest.images[rest.is_clean].tolist()))
    rate = min(settings.false_alarms * n_images / len(scores), 0.5)
    threshold = threshold_at(scores, rate)
    card = make_card(
        {**settings.model_dump(mode="json")},
        data.infos,
        labels=settings.labels,
        digest=data.label_digest,
    )
    if settings.features is not None:
        card["features_digest"] = digest_file(settings.features)
    folder: Path = archive.scratch / STAGE / run.run_id
    try:
        registered = register_detector(
            run,
            folder,
            model,
            name=settings.name,
            card=card,
            threshold=threshold,
            stride_px=stride_px,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    run.tags({name: value for name, value in card.items() if name != "settings"})
    values = {"threshold": threshold, "false_positive_rate": rate}
    run.metrics(values)
    return {
        "method": settings.method,
        "run": run.run_id,
        "model": settings.name,
        "version": registered.version,
        "uri": registered.uri,
        "patches": len(given),
        "calibrated_on": len(scores),
        **values,
    }
