"""All that is known of one model, on a screen."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from services.model_history import CHAMPION, Promotion, champion_since
from services.screens import columns, share

if TYPE_CHECKING:
    from services.model_registry import RegisteredModel


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
        f"settings     {_changed_settings(card['settings'])}",
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


def _since(aliases: Sequence[str], promotions: Sequence[Promotion], version: str) -> list[str]:
    if CHAMPION not in aliases:
        return []
    change = champion_since(promotions, version)
    return [f"champion since {change.at}" if change else "champion, made so outside tessera"]


def _changed_settings(settings: Mapping[str, Any]) -> str:
    """Return the settings that decide the model and are not as by default, as flags have them."""
    from services.learning_settings import LearningSettings
    from services.settings import CLUSTER_KEYS

    told = []
    for name, field in LearningSettings.model_fields.items():
        # Of where and how fast it was made, not of what it is.
        if name in CLUSTER_KEYS | {"archive", "tracking_uri", "cache_mb", "seed", "method"}:
            continue
        default = field.get_default(call_default_factory=True)
        value = settings.get(name, default)
        if json.dumps(value, default=str) != json.dumps(default, default=str):
            told.append(f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}")
    return " ".join([*told, "(others as by default)"]) if told else "as by default"


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
