"""Segmenters in MLflow's registry, beside the classifiers: registered, found again, listed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.archive import Archive
from pipelines.errors import ModelError
from pipelines.segmentation.learned.model_folder import read_model_folder
from services.model_history import CANDIDATE, CHAMPION
from services.model_registry import RegisteredModel, check_card, load_model, publish_version
from services.tracking import TrackedRun, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND = "segmenter"
#: The alias that `tessera segmenter evaluate` gives.
BEST = "best"
#: What a name without an alias means: the first of these that there is.
DEFAULT_ALIASES = (CHAMPION, CANDIDATE)
#: Without any of these a segmenter could not be made again, so it is not registered. ``mosaics``
#: and ``masks`` are digests of the images learned from, and of what was said of their pixels.
REQUIRED = (
    "seed",
    "settings",
    "code_version",
    "libraries",
    "mosaics",
    "masks",
    "plan_digest",
    "data_digest",
)
#: What of the metrics lists show.
SHOWN_METRICS = ("f1_50", "f1_75", "pq")


@dataclass(frozen=True)
class SegmenterVersion:
    """What a list says of a version.

    Attributes
    ----------
    name, version : str
        As registered.
    aliases : tuple of str
        Aliases that point to it.
    widths_px, pixel_sizes_nm : (float, float) or None
        Typical objects and pixel sizes of the images that it was fitted on.
    metrics : mapping
        On images that were held out.
    weights_digest : str
        Digest of its weights.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    widths_px: tuple[float, float] | None
    pixel_sizes_nm: tuple[float, float] | None
    metrics: Mapping[str, float]
    weights_digest: str

    @property
    def reference(self) -> str:
        """What names it: NAME/VERSION."""
        return f"{self.name}/{self.version}"


def register_segmenter(
    run: TrackedRun, folder: Path, *, name: str, card: Mapping[str, Any]
) -> RegisteredModel:
    """Register the segmenter in ``folder`` as a new version with the alias ``candidate``.

    Parameters
    ----------
    run : TrackedRun
        The run that made it.
    folder : Path
        From `pipelines.segmentation.learned.model_folder.write_model_folder`.
    name : str
        Of the registered model, which is made if it is not there.
    card : mapping
        What the segmenter was made from; at least `REQUIRED`.

    Raises
    ------
    ModelError
        If something is missing from the card, or the weights are not what the folder says.
    """
    check_card(f"segmenter {name}", card, REQUIRED)
    _, config = read_model_folder(folder)
    metrics = {key: card.get("metrics", {}).get(key) for key in SHOWN_METRICS}
    tags = {
        "kind": KIND,
        "weights_digest": config.weights_digest,
        "data_digest": card["data_digest"],
        "widths_px": json.dumps(config.widths_px),
        "pixel_sizes_nm": json.dumps(config.pixel_sizes_nm),
        "metrics": json.dumps({key: value for key, value in metrics.items() if value is not None}),
    }
    whole = {**card, "kind": KIND, "run_id": run.run_id}
    version = publish_version(run, folder, name=name, card=whole, tags=tags)
    described: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return RegisteredModel(name, version, folder, described, whole, run.run_id)


def load_segmenter(
    archive: Archive, reference: str, *, tracking_uri: str | None = None
) -> RegisteredModel:
    """Find a segmenter, bring its files here and check its weights.

    Parameters
    ----------
    archive : Archive
        The archive whose store is asked.
    reference : str
        ``NAME``, which is its champion or else its candidate, ``NAME@ALIAS`` or ``NAME/VERSION``.
    tracking_uri : str, optional
        An MLflow server.

    Raises
    ------
    ModelError
        If there is no such segmenter, or its files are not those that were registered.
    """
    if "@" not in reference and "/" not in reference:
        reference = _default(archive, reference, tracking_uri)
    found = load_model(archive, reference, tracking_uri=tracking_uri)
    if found.card.get("kind") != KIND:
        raise ModelError(f"model {reference} is no segmenter")
    return found


def list_segmenters(
    archive: Archive, *, tracking_uri: str | None = None
) -> Sequence[SegmenterVersion]:
    """List all versions of all segmenters, by name and the newest first."""
    client = open_client(archive, tracking_uri)
    found = [
        version
        for model in _all_models(client)
        for version in client.search_model_versions(f"name = '{model}'")
        if version.tags.get("kind") == KIND
    ]
    aliases = {name: _aliases(client, name) for name in {version.name for version in found}}
    listed = [
        SegmenterVersion(
            name=version.name,
            version=str(version.version),
            aliases=tuple(
                alias
                for alias, number in sorted(aliases[version.name].items())
                if str(number) == str(version.version)
            ),
            widths_px=_range(version.tags.get("widths_px")),
            pixel_sizes_nm=_range(version.tags.get("pixel_sizes_nm")),
            metrics=json.loads(version.tags.get("metrics", "{}")),
            weights_digest=version.tags.get("weights_digest", ""),
        )
        for version in found
    ]
    return sorted(listed, key=lambda version: (version.name, -int(version.version)))


def newest_segmenters(
    archive: Archive, *, tracking_uri: str | None = None
) -> Sequence[SegmenterVersion]:
    """List the version of each segmenter that its name alone means."""
    chosen: dict[str, SegmenterVersion] = {}
    for version in list_segmenters(archive, tracking_uri=tracking_uri):
        before = chosen.get(version.name)
        if before is None or _rank(version) < _rank(before):
            chosen[version.name] = version
    return list(chosen.values())


def mark_best(
    archive: Archive, reference: str, tags: Mapping[str, str], *, tracking_uri: str | None = None
) -> None:
    """Give a version the alias ``best``, and tags that say what it is best for."""
    client = open_client(archive, tracking_uri)
    name, _, version = reference.rpartition("/")
    client.set_registered_model_alias(name, BEST, version)
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)


def _rank(version: SegmenterVersion) -> int:
    ranks = [i for i, alias in enumerate(DEFAULT_ALIASES) if alias in version.aliases]
    return min(ranks, default=len(DEFAULT_ALIASES))


def _default(archive: Archive, name: str, tracking_uri: str | None) -> str:
    """Return a name with the alias that it means."""
    aliases = _aliases(open_client(archive, tracking_uri), name)
    for alias in DEFAULT_ALIASES:
        if alias in aliases:
            return f"{name}@{alias}"
    listed = list_segmenters(archive, tracking_uri=tracking_uri)
    known = sorted({version.name for version in listed})
    hint = f"known are {', '.join(known)}" if known else "`tessera segmenter fit` makes one"
    raise ModelError(f"segmenter {name!r} is not registered; {hint}")


def _aliases(client: "MlflowClient", name: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        found: Mapping[str, str] = client.get_registered_model(name).aliases
    except MlflowException:
        return {}
    return dict(found)


def _all_models(client: "MlflowClient") -> list[str]:
    names: list[str] = []
    token: str | None = None
    while True:
        page = client.search_registered_models(page_token=token)
        names += [model.name for model in page]
        token = page.token
        if not token:
            return names


def _range(text: str | None) -> tuple[float, float] | None:
    values = json.loads(text) if text else None
    return None if values is None else (float(values[0]), float(values[1]))
