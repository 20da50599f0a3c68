"""``tessera run``: the main job, stage after stage in one Ray session under one lock."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr

from pipelines.archive import Archive, create_archive
from pipelines.errors import SettingsError
from services.lock import hold
from services.outcome import Outcome
from services.progress import note
from services.settings import ArchiveSettings, ClusterSettings

STAGES = ("ingest", "segment", "label", "train", "predict")
#: Flags of this verb that a stage knows under another name.
RENAMED = {"segment": {"method": "segment_method"}, "train": {"method": "train_method"}}


class Settings(ClusterSettings):
    """Run the main job: ingest, segment, label weakly, train, predict and report.

    Every stage's own settings can be given in the --settings file, in the tables [ingest],
    [segment], [label], [train] and [predict]. What an earlier run finished is not done again.
    """

    sources: tuple[Path, ...] = Field(
        (),
        description="images, or folders of images",
        json_schema_extra={"argument": True, "metavar": "SOURCE"},
    )
    pixel_size_nm: float | None = Field(
        None, gt=0, description="pixel size in nm, where the files do not say it"
    )
    allow_unknown_pixel_size: bool = Field(
        False, description="take images whose pixel size is not known; results are in px alone"
    )
    truth: Path | None = Field(
        None, description="folder of instance maps named like the images, to score against"
    )
    segment_method: str | None = Field(None, description="segmentation method (see segment --help)")
    assume: str | None = Field(None, description="class of every particle, from its synthesis")
    rules: Path | None = Field(None, description="TOML file of labelling rules")
    hold_out: tuple[str, ...] = Field(
        (), description="mosaics (GLOB) never labelled nor trained on, only predicted; repeatable"
    )
    train_method: Literal["ce"] = Field("ce", description="training method")
    epochs: int | None = Field(None, ge=1, description="training epochs (see train --help)")
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )
    _stages: dict[str, ArchiveSettings] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, verb: str, toml: Path | None, flags: Mapping[str, Any]) -> Self:
        """Make the settings of the job and, before anything runs, of each of its stages."""
        settings = super().load(verb, toml, flags)
        for stage in STAGES:
            stage_type = importlib.import_module(f"services.verbs.{stage}").Settings
            settings._stages[stage] = stage_type.load(stage, toml, settings._for_stage(stage))
        return settings

    def _for_stage(self, stage: str) -> dict[str, Any]:
        """Return the values of this verb's flags that the stage knows too."""
        known = importlib.import_module(f"services.verbs.{stage}").Settings.model_fields
        renamed = RENAMED.get(stage, {})
        values = {name: getattr(self, renamed.get(name, name), None) for name in known}
        return {name: value for name, value in values.items() if value not in (None, (), False)}


def execute(settings: Settings) -> Outcome:
    """Run the main job on an archive, which is made if it is not there."""
    if not settings.sources and not settings.archive.exists():
        raise SettingsError("SOURCE: at least one image or folder is needed for a new archive")
    for source in settings.sources:
        if not source.exists():
            raise SettingsError(f"SOURCE {source} does not exist")
    archive = create_archive(settings.archive)
    with hold(archive):
        return perform(archive, settings)


def perform(archive: Archive, settings: Settings) -> Outcome:
    """Run every stage, then score what can be scored and write the report."""
    from cluster.session import one_session

    n_quarantined = 0
    with one_session():
        for stage in STAGES:
            note(f"== {stage}")
            module = importlib.import_module(f"services.verbs.{stage}")
            outcome: Outcome = module.perform(archive, settings._stages[stage])
            n_quarantined += outcome.n_quarantined
            note(outcome.line())
    return Outcome("ran", {}, n_quarantined)
