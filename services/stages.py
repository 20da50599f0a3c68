"""Verbs that run other verbs: one settings file and one command line for all of them."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr

from services.settings import ArchiveSettings, ClusterSettings

StageSettings = dict[str, ArchiveSettings]


class JobSettings(ClusterSettings):
    """What every verb accepts that ingests, segments, labels and trains by other verbs."""

    pixel_size_nm: float | None = Field(
        None, gt=0, description="pixel size in nm, where the files do not say it"
    )
    allow_unknown_pixel_size: bool = Field(
        False, description="take images whose pixel size is not known; results are in px alone"
    )
    segment_method: str | None = Field(None, description="segmentation method (see segment --help)")
    assume: str | None = Field(None, description="class of every particle, from its synthesis")
    rules: Path | None = Field(None, description="TOML file of labelling rules")
    hold_out: tuple[str, ...] = Field(
        (), description="mosaics (GLOB) never labelled nor trained on, only predicted; repeatable"
    )
    train_method: str | None = Field(None, description="training method (see train --help)")
    name: str = Field("classifier", min_length=1, description="name of the registered model")
    epochs: int | None = Field(None, ge=1, description="training epochs (see train --help)")
    tracking_uri: str | None = Field(
        None, description="MLflow server; by default a database in the archive"
    )
    _stages: StageSettings = PrivateAttr(default_factory=dict)

    @property
    def stages(self) -> Mapping[str, Any]:
        """The settings of every stage."""
        return self._stages


def load_stages(
    settings: ArchiveSettings,
    toml: Path | None,
    stages: Sequence[str],
    *,
    renamed: Mapping[str, Mapping[str, str]],
    fixed: Mapping[str, Mapping[str, Any]],
) -> StageSettings:
    """Make the settings of every stage, and refuse wrong ones before anything runs.

    Parameters
    ----------
    settings : ArchiveSettings
        Of the verb that runs the stages: what they have in common goes to each that knows it.
    toml : Path, optional
        The settings file, with a table per stage.
    stages : sequence of str
        Verbs.
    renamed : mapping
        Stage -> its settings that the running verb knows under another name; under none where
        that is empty.
    fixed : mapping
        Stage -> values that nobody else decides.
    """
    loaded = {}
    for stage in stages:
        stage_type = importlib.import_module(f"services.verbs.{stage}").Settings
        names = renamed.get(stage, {})
        given = {
            name: getattr(settings, names.get(name, name), None) for name in stage_type.model_fields
        }
        given |= fixed.get(stage, {})
        given = {name: value for name, value in given.items() if value not in (None, (), False)}
        loaded[stage] = stage_type.load(stage, toml, given)
    return loaded
