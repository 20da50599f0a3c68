"""Verbs that run other verbs: one settings file and one command line for all of them."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.settings import ArchiveSettings

StageSettings = dict[str, ArchiveSettings]


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
        Stage -> its settings that the running verb knows under another name.
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
