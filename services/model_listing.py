"""What a registry holds, as lists and screens for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.model_history import CHAMPION, Promotion, champion_since, read_promotions
from services.text_columns import columns, share
from services.tracking import store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

    # Importing it imports torch, which a list of models can do without.
    from services.model_registry import RegisteredModel


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


def show_screen(
    model: "RegisteredModel", aliases: Sequence[str], promotions: Sequence[Promotion]
) -> str:
    """Lay out all that is known of a model version."""
    card, config = model.card, model.config
    test = card.get("test", {})
    trained = card.get("trained_on", {})
    lines = [
        f"{model.uri}  {' '.join(aliases)}".rstrip(),
        *_since(aliases, promotions, model.version),
        "",
        f"method       {card.get('method', '-')}, seed {card['seed']}, code {card['code_version']}",
        f"run          {model.run_id}",
        f"weights      {config['weights_digest']}",
        f"classes      {', '.join(config['classes'])}",
        f"labels       version {card['label_version']}, digest {card['label_digest']}",
        *_data_lines(card, trained),
        *_test_lines(config["classes"], test),
        *_failure_lines(card.get("known_failures")),
    ]
    if promotions:
        lines += ["", "champions", *(f"  {_change_line(change)}" for change in promotions[::-1])]
    return "\n".join(lines)


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


def _since(aliases: Sequence[str], promotions: Sequence[Promotion], version: str) -> list[str]:
    if CHAMPION not in aliases:
        return []
    change = champion_since(promotions, version)
    return [f"champion since {change.at}" if change else "champion, made so outside tessera"]


def _data_lines(card: Mapping[str, Any], trained: Mapping[str, Any]) -> list[str]:
    sizes = trained.get("pixel_size_nm")
    lines = []
    if sizes:
        lines.append(f"pixel sizes  {sizes[0]:g} to {sizes[1]:g} nm")
    if trained.get("instruments"):
        lines.append(f"instruments  {', '.join(trained['instruments'])}")
    if trained.get("labels"):
        given = ", ".join(f"{name} {n}" for name, n in trained["labels"].items())
        lines.append(f"learnt from  {given}")
    held_out = card.get("held_out", [])
    rows = [
        (
            f"  {name}",
            digest,
            "held out" if name in held_out else _size(trained.get("mosaics", {}).get(name, {})),
        )
        for name, digest in card["mosaics"].items()
    ]
    return [*lines, "mosaics", *columns(rows).splitlines()]


def _size(mosaic: Mapping[str, Any]) -> str:
    size = mosaic.get("pixel_size_nm")
    return f"{size:g} nm, {mosaic.get('particles', 0)} particles" if size else ""


def _test_lines(classes: Sequence[str], test: Mapping[str, Any]) -> list[str]:
    if "final_test_accuracy" not in test:
        return ["", "tested       never: no truth is known"]
    lines = ["", f"tested on {int(test['n_test'])} particles that it never saw"]
    keys = {"accuracy": "final_test_accuracy"}
    keys |= {f"recall of {name}": f"final_test_recall_{name}" for name in classes}
    rows = [
        (f"  {text}", share(test[key], test.get(f"{key}_low"), test.get(f"{key}_high")))
        for text, key in keys.items()
        if key in test
    ]
    return [*lines, *columns(rows).splitlines()]


def _failure_lines(failures: Sequence[Mapping[str, Any]] | None) -> list[str]:
    if failures is None:
        return ["", "known failures: never looked for"]
    if not failures:
        return ["", "known failures: none found"]
    rows = [
        (f"  {f['stratum']}", f"{share(f['accuracy'], f['low'], f['high'])} of {f['n']}",
         f"elsewhere {share(f['elsewhere'], None, None)}")
        for f in failures
    ]  # fmt: skip
    return ["", "known failures", *columns(rows).splitlines()]


def _change_line(change: Promotion) -> str:
    word = "went back to" if change.action == "rollback" else "promoted"
    before = f" from {change.before}" if change.before else ""
    numbers = "".join(f" {name}={value:.4g}" for name, value in change.metrics.items())
    why = f": {change.reason}" if change.reason else ""
    return f"{change.at}  {word} {change.version}{before} by {change.author}{why}{numbers}"
