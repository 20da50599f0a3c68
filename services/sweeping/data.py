"""The particles of a sweep: from the archive, simulated first where it has none, or digits."""

import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import torch

from pipelines.archive import Archive
from pipelines.classifiers.networks import build_network
from pipelines.classifiers.plan import describe_network
from pipelines.errors import SettingsError
from pipelines.sweeps.digits import study_digits
from pipelines.sweeps.plan import Trial
from pipelines.sweeps.study_set import StudySet
from services.progress import note
from services.settings import ClusterSettings, cluster_keys
from services.sweeping.study import study_archive

if TYPE_CHECKING:
    from services.sweeping.preset import Data, SimulatedMosaic
    from services.verbs.sweep import Settings

#: Steps of a network that are timed, after one that is not.
_TIMED_STEPS = 2


def prepare_study(archive: Archive, data: "Data", settings: "Settings") -> StudySet:
    """Gather a sweep's particles.

    Raises
    ------
    SettingsError
        If the archive has mosaics, but none that the preset names.
    LabelError
        If their truth is not known.
    """
    if data.kind == "digits":
        assert settings.data is not None, "the verb refuses digits without a folder"
        return study_digits(settings.data, archive.scratch / "study")
    names = archive.mosaic_names()
    wanted = [mosaic for mosaic in data.simulate if mosaic.name not in names]
    if wanted and (not names or len(wanted) < len(data.simulate)):
        _simulate(archive, wanted, settings)
    else:
        _segment(archive, settings)
    names = archive.mosaic_names()
    parts = [
        [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
        for patterns in (data.learn, data.test, data.control)
    ]
    for what, patterns, found in zip(
        ("learn from", "test on"), (data.learn, data.test), parts, strict=False
    ):
        if not found:
            raise SettingsError(
                f"archive {archive.root} has no mosaic to {what}: none is called "
                f"{' or '.join(patterns)}; its mosaics are {', '.join(names[:5])}"
            )
    pairs = [tuple(pair.split(":", 1)) for pair in data.mirror_pairs]
    return study_archive(
        archive,
        learn=parts[0],
        test=parts[1],
        control=parts[2],
        mirror_pairs=[(one, other) for one, other in pairs],
        input_px=data.input_px,
    )


def estimate_seconds(study: StudySet, trials: Sequence[Trial]) -> float:
    """Estimate how long trials take one after another, by a few steps of their networks."""
    total = 0.0
    per_image: dict[object, float] = {}
    for trial in trials:
        known = (trial.network.architecture, trial.network.width, trial.network.antisymmetric)
        if known not in per_image:
            per_image[known] = _seconds_per_image(study, trial)
        n_images = trial.n_train
        if study.has_mirror and not trial.network.antisymmetric:
            n_images *= 2
        # A fifth more for augmentation, curves and the test.
        total += 1.2 * trial.cost * n_images * per_image[known]
    return total


def _seconds_per_image(study: StudySet, trial: Trial) -> float:
    network = build_network(
        describe_network(
            trial.network.architecture,
            trial.network.width,
            mirrored_class=study.mirrored_class,
            antisymmetric=trial.network.antisymmetric and study.has_mirror,
            dropout=0.0,
            n_networks=1,
        )
    )
    images = torch.zeros(trial.loop.batch_size, 1, study.view.input_px, study.view.input_px)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for step in range(_TIMED_STEPS + 1):
            if step == 1:
                started = time.perf_counter()
            network(images).sum().backward()
    finally:
        torch.set_num_threads(threads)
    return (time.perf_counter() - started) / _TIMED_STEPS / len(images)


def _simulate(archive: Archive, mosaics: Sequence["SimulatedMosaic"], settings: "Settings") -> None:
    """Simulate, ingest and segment the mosaics of a preset that the archive lacks."""
    from services.verbs import ingest, simulate

    folder = archive.scratch / "simulated"
    for mosaic in mosaics:
        out = folder / mosaic.name
        if not out.exists():
            note(f"simulating {mosaic.name}")
            values = mosaic.model_dump(exclude={"name"}, exclude_none=True)
            simulate.execute(simulate.Settings(out=out, workers=settings.workers, **values))
    sources = tuple(folder / mosaic.name for mosaic in mosaics)
    given = {"archive": archive.root, "sources": sources}
    ingest.perform(archive, ingest.Settings.load("ingest", None, given))
    _segment(archive, settings)


def _segment(archive: Archive, settings: "Settings") -> None:
    """Segment what is not segmented yet."""
    from services.verbs import segment

    names = cluster_keys(ClusterSettings.model_fields).values()
    given = {"archive": archive.root} | {name: getattr(settings, name) for name in names}
    segment.perform(archive, segment.Settings.load("segment", None, given))
