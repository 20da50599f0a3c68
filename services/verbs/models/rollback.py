"""``tessera models rollback``: make the previous champion the champion again."""

from pydantic import Field

from pipelines.archive import open_archive
from services.lock import hold
from services.outcome import Outcome
from services.settings import RegistrySettings


class Settings(RegistrySettings):
    """Make the previous champion the champion again; once more goes one further back."""

    name: str = Field(
        description="the registered model", json_schema_extra={"argument": True, "metavar": "NAME"}
    )
    reason: str = Field("", description="why, in a line")
    author: str | None = Field(None, description="who decides; the system's user by default")


def execute(settings: Settings) -> Outcome:
    """Go back to the previous champion."""
    archive = open_archive(settings.archive)
    with hold(archive) as run:
        from services.author import system_user
        from services.model_promotion import rollback_model

        done = rollback_model(
            archive,
            settings.name,
            author=settings.author or system_user(),
            reason=settings.reason,
            tracking_uri=settings.tracking_uri,
        )
        run.conclude(f"{settings.name}/{done.version} is champion again")
    return Outcome(
        "rolled_back",
        {
            "model": f"models:/{settings.name}/{done.version}",
            "champion": done.version,
            "from": done.before,
            "previous": done.previous or "none",
            "since": done.at,
        },
    )
