"""``tessera models promote``: make a model version the champion."""

import math

from pydantic import Field

from pipelines.archive import open_archive
from pipelines.errors import SettingsError
from services.lock import hold
from services.outcome import Outcome
from services.settings import RegistrySettings


class Settings(RegistrySettings):
    """Make a model version the champion; the champion so far becomes `previous`.

    Who, when and why is kept with the model. The weights are read and their digest checked first.
    """

    name: str = Field(
        description="the registered model", json_schema_extra={"argument": True, "metavar": "NAME"}
    )
    which: str = Field(
        description="version or @alias, such as 3 or @candidate",
        json_schema_extra={"argument": True, "metavar": "VERSION|@ALIAS"},
    )
    reason: str = Field("", description="why, in a line")
    metrics: tuple[str, ...] = Field(
        (), description="a number it was decided by (NAME=NUMBER); repeatable"
    )
    author: str | None = Field(None, description="who decides; the system's user by default")
    force: bool = Field(False, description="also where classes of the champion would be lost")

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of --metrics.

        Raises
        ------
        SettingsError
            If one is not NAME=NUMBER.
        """
        values = {}
        for text in self.metrics:
            name, _, number = text.partition("=")
            try:
                values[name] = float(number)
            except ValueError:
                values[name] = math.nan
            if not name or not math.isfinite(values[name]):
                raise SettingsError(f"--metrics must be NAME=NUMBER, got {text!r}")
        return values


def execute(settings: Settings) -> Outcome:
    """Promote a model version."""
    metrics = settings.numbers
    archive = open_archive(settings.archive)
    with hold(archive) as run:
        from services.author import system_user
        from services.model_promotion import promote_model

        done = promote_model(
            archive,
            settings.name,
            settings.which,
            author=settings.author or system_user(),
            reason=settings.reason,
            metrics=metrics,
            force=settings.force,
            tracking_uri=settings.tracking_uri,
        )
        run.conclude(f"{settings.name}/{done.version} is champion")
    return Outcome(
        "promoted",
        {
            "model": f"models:/{settings.name}/{done.version}",
            "champion": done.version,
            "previous": done.previous or "none",
            "since": done.at or "unknown",
            **({} if done.is_new else {"unchanged": True}),
        },
    )
