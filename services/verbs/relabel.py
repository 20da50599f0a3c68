"""``tessera relabel``: the nightly job; only what is new or changed, and promotion if better."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from pipelines.archive import create_archive
from pipelines.errors import SettingsError
from services.lock import hold
from services.nightly.run_ids import check_run_id
from services.notify import NoticeSettings
from services.outcome import Outcome
from services.stages import JobSettings, load_stages

STAGES = ("ingest", "segment", "label", "clean", "train", "predict")
#: Flags of this verb that a stage knows under another name.
#: Done only where the settings ask for it.
REFIT, DETECT = "segmenter.fit", "defects.score"
RENAMED = {
    "segment": {"method": "segment_method"},
    "train": {"method": "train_method"},
    "clean": {"method": "train_method"},
    # These are the classifier's, or the mosaics'.
    REFIT: {"epochs": "", "pixel_size_nm": "", "name": ""},
}


class Settings(NoticeSettings, JobSettings):
    """Take in what the instrument wrote since the last night, learn from it, and say what changed.

    New images in the watched folders are ingested and segmented, particles labelled weakly,
    wrong labels found, and a candidate is trained. It becomes champion only if it is better, by a
    margin and beyond chance, on labels that people have checked and on the newest mosaics where
    their truth is known. Every night leaves a label version and a report, also of how the
    population drifts. A run that was killed goes on where it was; the same --run-id after its end
    does nothing. Every stage's own settings stand in the --settings file, in the tables
    [ingest], [segment], [label], [clean], [train] and [predict].
    """

    watch_dir: tuple[Path, ...] = Field(
        (), description="folder that the instrument writes images into; repeatable"
    )
    run_id: str | None = Field(
        None, description="name of the scheduled slot, such as 2026-11-25: done once"
    )
    settle_s: float = Field(
        60.0, ge=0, description="seconds that an image must lie unchanged before it is taken"
    )
    warm_start: bool = Field(
        False, description="begin each training from the champion instead of from nothing"
    )
    margin: float = Field(
        0.01, ge=0, lt=1, description="gain in accuracy that a new champion needs, 0 to 1"
    )
    min_judged: int = Field(
        20, ge=2, description="particles of known class without which nothing is promoted"
    )
    refit_segmenter: bool = Field(
        False,
        description="fit the learned segmenter of --segment-method anew when there are new mosaics "
        "or masks, and use it if it finds outlined objects better ([segmenter.fit])",
    )
    segmenter_truth: Path | None = Field(
        None, description="folder of outlined images that new segmenters are judged on"
    )
    defect_model: str | None = Field(
        None,
        description="detector that looks for defects: NAME@champion or NAME/VERSION "
        "([defects.score])",
    )
    drift_nights: int = Field(28, ge=1, description="earlier nights that drift is held against")

    @classmethod
    def load(cls, verb: str, toml: Path | None, flags: Mapping[str, Any]) -> Self:
        """Make the settings of the job and, before anything runs, of each of its stages."""
        settings = super().load(verb, toml, flags)
        if settings.run_id is not None:
            check_run_id(settings.run_id)
        fixed: dict[str, Mapping[str, Any]] = {"predict": {"model": f"{settings.name}@champion"}}
        settings._stages = load_stages(settings, toml, STAGES, renamed=RENAMED, fixed=fixed)
        asked: dict[str, Mapping[str, Any]] = {}
        if settings.refit_segmenter:
            asked[REFIT] = {"name": settings._segmenter_name()}
        if settings.defect_model is not None:
            # A candidate may be another one on any night, without anybody having decided so.
            if not re.fullmatch(r"[^@/]+(@champion|/[0-9]+)", settings.defect_model):
                raise SettingsError(
                    "--defect-model must be NAME@champion or NAME/VERSION, "
                    f"got {settings.defect_model!r}"
                )
            asked[DETECT] = {"model": settings.defect_model}
        settings._stages |= load_stages(settings, toml, tuple(asked), renamed=RENAMED, fixed=asked)
        return settings

    def _segmenter_name(self) -> str:
        """Return the name of the segmenter that is fitted anew.

        Raises
        ------
        SettingsError
            If no segmenter is used, or there is nothing to judge it by.
        """
        from pipelines.mosaic.truth_folder import pair_truth

        method = str(self.stages["segment"].method)
        kind, _, name = method.partition(":")
        if kind != "learned" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise SettingsError(
                f"--refit-segmenter needs --segment-method learned:NAME, got {method!r}"
            )
        if name == self.name:
            raise SettingsError(
                f"--segment-method learned:{name} must not have the classifier's name, {self.name}"
            )
        if self.segmenter_truth is None:
            raise SettingsError("--refit-segmenter needs --segmenter-truth to judge by")
        pair_truth(self.segmenter_truth, "--segmenter-truth")
        return name


def execute(settings: Settings) -> Outcome:
    """Do the night's work on an archive, which is made if it is not there."""
    from services.nightly.night import perform

    archive = create_archive(settings.archive)
    with hold(archive) as run:
        outcome = perform(archive, settings)
        run.conclude(outcome.line())
        return outcome
