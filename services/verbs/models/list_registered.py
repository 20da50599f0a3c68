"""``tessera models list``: every registered model."""

from dataclasses import asdict

from pydantic import Field

from pipelines.archive import open_archive
from services.outcome import Outcome
from services.settings import RegistrySettings


class Settings(RegistrySettings):
    """List registered models: their aliases, accuracy on particles they never saw, labels."""

    name: str | None = Field(None, description="only this model")


def execute(settings: Settings) -> Outcome:
    """List the registry."""
    archive = open_archive(settings.archive)
    from services.model_listing import list_models, list_screen
    from services.tracking import open_client

    models = list_models(open_client(archive, settings.tracking_uri), settings.name)
    champions = {m.name: m.version for m in models if "champion" in m.aliases}
    return Outcome(
        "listed",
        {
            "models": len({model.name for model in models}),
            "versions": len(models),
            "champions": champions,
            "listed": [asdict(model) for model in models],
        },
        screen=list_screen(models) if models else "",
    )
