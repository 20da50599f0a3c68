"""Models in MLflow's registry: found by alias, with all that is needed to make them again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.archive import Archive, write_text
from pipelines.digests import digest_json
from pipelines.errors import ModelError
from pipelines.training.checkpoint import read_model
from services.model_files import fetch_files
from services.model_history import CANDIDATE
from services.tracking import TrackedRun, open_client, why_refused

if TYPE_CHECKING:
    from mlflow import MlflowClient

CARD_FILE = "card.json"
#: Without any of these a model could not be made again, so it is not registered.
REQUIRED = (
    "seed",
    "settings",
    "code_version",
    "libraries",
    "mosaics",
    "segmentations",
    "label_version",
    "label_digest",
)


#: What lists of models show of a test.
TEST_KEYS = (
    "final_test_accuracy",
    "final_test_accuracy_low",
    "final_test_accuracy_high",
    "n_test",
)


@dataclass(frozen=True)
class RegisteredModel:
    """A model version, its files at hand.

    Attributes
    ----------
    name, version : str
        As registered.
    folder : Path
        Holds weights, ``config.json`` and ``card.json``.
    config : mapping
        What the weights are.
    card : mapping
        What they were made from.
    run_id : str
        The run that made them.
    """

    name: str
    version: str
    folder: Path
    config: Mapping[str, Any]
    card: Mapping[str, Any]
    run_id: str

    @property
    def uri(self) -> str:
        """The model's address."""
        return f"models:/{self.name}/{self.version}"


def register_model(
    run: TrackedRun, folder: Path, *, name: str, card: Mapping[str, Any], key: str = ""
) -> RegisteredModel:
    """Register the model in ``folder`` as a new version with the alias ``candidate``.

    Where a run that was killed had registered the same weights under the same key, its version
    is taken.

    Parameters
    ----------
    run : TrackedRun
        The run that made it.
    folder : Path
        From `pipelines.training.checkpoint.write_model`.
    name : str
        Of the registered model, which is made if it is not there.
    card : mapping
        What the model was made from; at least `REQUIRED`.
    key : str
        Digest of everything that decides the model.

    Raises
    ------
    ModelError
        If something is missing from the card, or the weights are not what the config says.
    """
    check_card(f"model {name}", card, REQUIRED)
    _, config = read_model(folder)
    client = run.client
    tags = _tags(config, card)
    if key:
        tags["training_key"] = key
        if found := _registered_before(client, name, tags):
            client.set_registered_model_alias(name, CANDIDATE, found.version)
            return RegisteredModel(name, str(found.version), folder, config, card, found.run_id)
    whole = {**card, "run_id": run.run_id}
    version = publish_version(run, folder, name=name, card=whole, tags=tags)
    return RegisteredModel(name, version, folder, config, card, run.run_id)


def check_card(what: str, card: Mapping[str, Any], required: Sequence[str]) -> None:
    """Refuse a model that could not be made again.

    Raises
    ------
    ModelError
        Naming what is missing from the card.
    """
    missing = [key for key in required if card.get(key) in (None, "", [], {})]
    if missing:
        raise ModelError(f"{what} cannot be registered without {', '.join(missing)}")


def publish_version(
    run: TrackedRun,
    folder: Path,
    *,
    name: str,
    card: Mapping[str, Any],
    tags: Mapping[str, str],
) -> str:
    """Upload a model's folder with its card, and make it the candidate; return its version.

    ``tags`` are what lists show, and what loading checks; ``weights_digest`` must be among them.

    Raises
    ------
    ModelError
        If MLflow refuses the name.
    """
    from mlflow.exceptions import MlflowException

    client = run.client
    write_text(folder / CARD_FILE, json.dumps(card, indent=1) + "\n")
    # A run may register several, which must not write over each other's files.
    place = f"model-{tags['weights_digest'][:12]}"
    run.artifact(folder, place)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise ModelError(f"model name {name!r} is refused: {error.message}") from error
    source = f"{client.get_run(run.run_id).info.artifact_uri}/{place}"
    made = client.create_model_version(name, source, run.run_id, tags=dict(tags))
    client.set_registered_model_alias(name, CANDIDATE, made.version)
    return str(made.version)


def _tags(config: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, str]:
    """Return what lists of models show, and what loading checks, without the model's files."""
    test = card.get("test", {})
    values = {
        "config_digest": digest_json(config),
        "weights_digest": config["weights_digest"],
        "label_version": card["label_version"],
        "label_digest": card["label_digest"],
        "method": card.get("method", ""),
        "classes": config.get("classes", []),
        "test": {key: test[key] for key in TEST_KEYS if key in test},
    }
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def load_model(
    archive: Archive, reference: str, *, tracking_uri: str | None = None
) -> RegisteredModel:
    """Find a model, bring its files here and check its weights.

    Parameters
    ----------
    archive : Archive
        The archive whose store is asked, and whose scratch folder takes a server's files.
    reference : str
        ``NAME@ALIAS``, ``NAME/VERSION``, either perhaps after ``models:/``.
    tracking_uri : str, optional
        An MLflow server.

    Raises
    ------
    ModelError
        If there is no such model, or its files are not those that were registered.
    """
    client = open_client(archive, tracking_uri)
    found = find_model_version(client, reference)
    folder = fetch_files(archive, found, tracking_uri)
    try:
        _, config = read_model(folder)
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model {reference} cannot be read: {error}") from error
    if config["weights_digest"] != found.tags.get("weights_digest"):
        raise ModelError(f"model {reference}: the weights are not those that were registered")
    # Classes in another order would turn every prediction round, with the same weights.
    if found.tags.get("config_digest") not in (None, digest_json(config)):
        raise ModelError(f"model {reference}: its config is not that which was registered")
    return RegisteredModel(found.name, str(found.version), folder, config, card, found.run_id)


def _registered_before(client: "MlflowClient", name: str, tags: Mapping[str, str]) -> Any | None:
    """Return the version that has the same weights from the same training, if there is one."""
    same = (f"tags.{key} = '{tags[key]}'" for key in ("training_key", "weights_digest"))
    where = " and ".join([f"name = '{name}'", *same])
    return next(iter(client.search_model_versions(where)), None)


def model_reference(name: str, which: str) -> str:
    """Return a model's reference from its name and a version or ``@ALIAS``.

    Examples
    --------
    >>> model_reference("hands", "@champion"), model_reference("hands", "3")
    ('hands@champion', 'hands/3')
    """
    return f"{name}{which}" if which.startswith("@") else f"{name}/{which}"


def find_model_version(client: "MlflowClient", reference: str) -> Any:
    """Return MLflow's record of a model version.

    Raises
    ------
    ModelError
        If there is none.
    """
    from mlflow.exceptions import MlflowException

    text = reference.removeprefix("models:/")
    try:
        if "@" in text:
            name, _, alias = text.rpartition("@")
            return client.get_model_version_by_alias(name, alias)
        name, _, version = text.rpartition("/")
        if not name or not version.isdecimal():
            raise ModelError(f"model must be NAME@ALIAS or NAME/VERSION, got {reference!r}")
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise ModelError(f"model {reference} is not registered") from error
        raise ModelError(f"model {reference}: its store {why_refused(error)}") from error
