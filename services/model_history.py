"""The promotions of a registered model, kept as tags beside it in MLflow."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

#: The newest registered; the one in use; the one in use before it.
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
PROMOTE, ROLLBACK = "promote", "rollback"
_TAG = "tessera.promotion."


@dataclass(frozen=True)
class Promotion:
    """A change of champion.

    Attributes
    ----------
    number : int
        Counts from 1, per model.
    action : str
        ``promote`` or ``rollback``.
    version : str
        The champion from then on.
    before, previous : str or None
        The champion until then, and what ``previous`` points to from then on.
    at : str
        When, as ISO 8601.
    author, reason, run_id : str
        Who or what decided, why, in which run.
    metrics : mapping
        What it was decided by.
    is_done : bool
        False while it is under way.
    is_new : bool
        False where nothing had to be changed.
    """

    number: int
    action: str
    version: str
    before: str | None
    previous: str | None
    at: str
    author: str
    reason: str = ""
    run_id: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    is_done: bool = False
    is_new: bool = True


def read_promotions(client: "MlflowClient", name: str) -> list[Promotion]:
    """Return every finished promotion and rollback of a model, oldest first."""
    return [each for each in promotions_in(client.get_registered_model(name)) if each.is_done]


def promotions_in(registered: "RegisteredModel") -> list[Promotion]:
    """Return those in MLflow's record of a model, also one that is under way; oldest first."""
    tags = registered.tags
    keys = sorted(key for key in tags if re.fullmatch(rf"{re.escape(_TAG)}\d+", key))
    return [Promotion(**json.loads(tags[key])) for key in keys]


def aliases_in(registered: "RegisteredModel") -> dict[str, str]:
    """Return which version each alias in MLflow's record of a model points to."""
    return {alias: str(version) for alias, version in registered.aliases.items()}


def write_promotion(client: "MlflowClient", name: str, promotion: Promotion) -> None:
    """Write a promotion down; its number again replaces it."""
    values: dict[str, Any] = {k: v for k, v in asdict(promotion).items() if k != "is_new"}
    client.set_registered_model_tag(name, _key(promotion), json.dumps(values, ensure_ascii=False))


def forget_promotion(client: "MlflowClient", name: str, promotion: Promotion) -> None:
    """Forget a promotion that never happened."""
    client.delete_registered_model_tag(name, _key(promotion))


def champion_since(promotions: Sequence[Promotion], version: str) -> Promotion | None:
    """Return the change that made ``version`` the champion; None where it was made elsewhere."""
    last = promotions[-1] if promotions else None
    return last if last and last.version == version else None


def before_that(done: Sequence[Promotion], version: str) -> str | None:
    """Return who was champion before ``version`` became it the last time."""
    line: list[str] = []
    for promotion in done:
        if promotion.action == ROLLBACK:
            line = line[:-1]
        else:
            line.append(promotion.version)
    line = line[:-1]
    # Aliases that were moved by hand are not in our history.
    return line[-2] if len(line) > 1 and line[-1] == version else None


def _key(promotion: Promotion) -> str:
    return f"{_TAG}{promotion.number:06d}"
