"""What a registry holds: every version of every model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.model_history import Promotion, read_promotions
from services.screens import columns, share
from services.tracking import store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Listed:
    """A model version in a list.

    Attributes
    ----------
    name, version : str
        As registered.
    aliases : list of str
        Those that point to it.
    made : str
        When it was registered, as ISO 8601.
    method : str
        Way of learning.
    label_version : str
        The labels it learnt.
    accuracy, low, high : float or None
        On particles it never saw, with its 95 % interval; None where no truth is known.
    run_id : str
        The run that made it.
    """

    name: str
    version: str
    aliases: list[str]
    made: str
    method: str
    label_version: str
    accuracy: float | None
    low: float | None
    high: float | None
    run_id: str


def list_models(client: "MlflowClient", name: str | None = None) -> list[Listed]:
    """Return every version of every registered model, or of one; newest first."""
    with store_errors(f"model {name}" if name else "models"):
        names = [name] if name else [m.name for m in _pages(client.search_registered_models)]
        return [listed for each in names for listed in _versions(client, each)]


def list_screen(models: Sequence[Listed]) -> str:
    """Lay out a list in columns."""
    rows = [("model", "aliases", "accuracy", "method", "labels", "made")]
    rows += [
        (
            f"{model.name}/{model.version}",
            " ".join(model.aliases) or "-",
            share(model.accuracy, model.low, model.high),
            model.method or "-",
            model.label_version or "-",
            model.made[:16].replace("T", " "),
        )
        for model in models
    ]
    return columns(rows)


def _versions(client: "MlflowClient", name: str) -> list[Listed]:
    of_version: dict[str, list[str]] = {}
    for alias, version in client.get_registered_model(name).aliases.items():
        of_version.setdefault(str(version), []).append(alias)
    quoted = name.replace("'", "''")
    found = _pages(client.search_model_versions, filter_string=f"name='{quoted}'")
    listed = [_listed(made, sorted(of_version.get(str(made.version), []))) for made in found]
    return sorted(listed, key=lambda model: -int(model.version))


def _listed(made: Any, aliases: list[str]) -> Listed:
    test: Mapping[str, float] = json.loads(made.tags.get("test", "{}"))
    at = datetime.fromtimestamp(made.creation_timestamp / 1000, UTC)
    return Listed(
        name=made.name,
        version=str(made.version),
        aliases=aliases,
        made=at.isoformat(timespec="seconds"),
        method=made.tags.get("method", ""),
        label_version=made.tags.get("label_version", ""),
        accuracy=test.get("final_test_accuracy"),
        low=test.get("final_test_accuracy_low"),
        high=test.get("final_test_accuracy_high"),
        run_id=made.run_id or "",
    )


def _pages(search: Any, **what: Any) -> list[Any]:
    """Read every page of a search."""
    found, token = [], None
    while True:
        page = search(**what, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def promotions_of(client: "MlflowClient", name: str) -> list[Promotion]:
    """Return every change of a model's champion, oldest first."""
    with store_errors(f"model {name}"):
        return read_promotions(client, name)
