"""``tessera models show``: all that is known of one model version."""

from dataclasses import asdict

from pydantic import Field

from pipelines.archive import open_archive
from pipelines.errors import ModelError
from services.outcome import Outcome
from services.settings import RegistrySettings


class Settings(RegistrySettings):
    """Show a model version: what it was made from, how good it is, where it fails, its past.

    Its files are read and their digests checked.
    """

    name: str = Field(
        description="the registered model", json_schema_extra={"argument": True, "metavar": "NAME"}
    )
    which: str | None = Field(
        None,
        description="version or @alias; the champion, or the candidate where there is none",
        json_schema_extra={"argument": True, "metavar": "VERSION|@ALIAS"},
    )


def execute(settings: Settings) -> Outcome:
    """Read the card of a model and its past."""
    archive = open_archive(settings.archive)
    from services.model_history import CANDIDATE, CHAMPION
    from services.model_listing import promotions_of
    from services.model_registry import load_model, model_reference
    from services.model_screen import show_screen
    from services.tracking import open_client

    client = open_client(archive, settings.tracking_uri)
    promotions = promotions_of(client, settings.name)
    aliases = {k: str(v) for k, v in client.get_registered_model(settings.name).aliases.items()}
    default = CHAMPION if CHAMPION in aliases else CANDIDATE
    which = settings.which or f"@{default}"
    if settings.which is None and default not in aliases:
        raise ModelError(f"model {settings.name} has neither champion nor candidate; give VERSION")
    model = load_model(
        archive, model_reference(settings.name, which), tracking_uri=settings.tracking_uri
    )
    if "label_version" not in model.card:
        kind = model.card.get("kind", "model of another kind")
        raise ModelError(
            f"model {settings.name} is a {kind} and has no labels to show; "
            "`tessera segmenter list` says what segmenters are for"
        )
    own = sorted(alias for alias, version in aliases.items() if version == model.version)
    past = [asdict(change) for change in promotions]
    return Outcome(
        "shown",
        {
            "model": model.uri,
            "aliases": own,
            "run": model.run_id,
            "label_version": model.card["label_version"],
            "promotions": [{k: v for k, v in change.items() if k != "is_new"} for change in past],
            "card": dict(model.card),
            "config": dict(model.config),
        },
        screen=show_screen(model, own, promotions),
    )
