"""Which model is in use: promotions and rollbacks, each remembered with its reason.

MLflow changes one alias at a time. A promotion is written down as begun, then the alias
``champion`` is moved, in one statement of the database, then ``previous``, then the promotion is
marked as done. So there is a champion at every moment. Whoever promotes next (or lists models
here) first finishes what a crash left: where the champion had moved the rest is done, and where
it had not, the promotion never happened.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.archive import Archive
from pipelines.errors import ModelError
from services.champions import Champion, remember_champion
from services.model_history import (
    CHAMPION,
    PREVIOUS,
    PROMOTE,
    ROLLBACK,
    Promotion,
    aliases_in,
    before_that,
    champion_since,
    forget_promotion,
    promotions_in,
    write_promotion,
)
from services.model_registry import load_model, model_reference
from services.secrets import without_passwords
from services.tracking import open_client, store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow's tables take 5000 characters; the rest of the record needs some.
_MAX_REASON = 2000


def promote_model(
    archive: Archive,
    name: str,
    which: str,
    *,
    author: str,
    reason: str = "",
    run_id: str = "",
    metrics: Mapping[str, float] | None = None,
    force: bool = False,
    tracking_uri: str | None = None,
) -> Promotion:
    """Make a model version the champion; the champion so far becomes ``previous``.

    The caller holds the archive.

    Parameters
    ----------
    archive : Archive
        The archive.
    name, which : str
        The registered model, and its version: a number, or ``@ALIAS``.
    author, reason, run_id, metrics
        As in `Promotion`.
    force : bool
        Also where the champion so far knows classes that this one does not.
    tracking_uri : str, optional
        An MLflow server.

    Returns
    -------
    promotion : Promotion
        With ``is_new`` False where the version is the champion already.

    Raises
    ------
    ModelError
        If there is no such version, its files are damaged, or classes would be lost.
    """
    # Its files too: a champion that cannot be loaded is none.
    model = load_model(archive, model_reference(name, which), tracking_uri=tracking_uri)
    client = open_client(archive, tracking_uri)
    with store_errors(f"model {name}"):
        aliases, done = finish_promotions(archive, client, name)
        champion = aliases.get(CHAMPION)
        if champion == model.version:
            now = champion_since(done, champion) or _unknown(champion, aliases)
            return replace(now, is_new=False)
        if champion is not None and not force:
            _check_classes(client, name, champion, model.config.get("classes", []))
        return _change(
            archive,
            client,
            name,
            Promotion(
                number=len(done) + 1,
                action=PROMOTE,
                version=model.version,
                before=champion,
                previous=champion,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                author=author,
                reason=_plain(reason),
                run_id=run_id,
                metrics=dict(metrics or {}),
            ),
        )


def rollback_model(
    archive: Archive,
    name: str,
    *,
    author: str,
    reason: str = "",
    run_id: str = "",
    tracking_uri: str | None = None,
) -> Promotion:
    """Make the previous champion the champion again; the one before it becomes ``previous``.

    So a second rollback goes one further back. The caller holds the archive.

    Raises
    ------
    ModelError
        If there is no previous champion, or its files are damaged.
    """
    client = open_client(archive, tracking_uri)
    with store_errors(f"model {name}"):
        aliases, done = finish_promotions(archive, client, name)
        if CHAMPION not in aliases or PREVIOUS not in aliases:
            raise ModelError(f"model {name} has no previous champion to go back to")
        model = load_model(archive, f"{name}/{aliases[PREVIOUS]}", tracking_uri=tracking_uri)
        return _change(
            archive,
            client,
            name,
            Promotion(
                number=len(done) + 1,
                action=ROLLBACK,
                version=model.version,
                before=aliases[CHAMPION],
                previous=before_that(done, model.version),
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                author=author,
                reason=_plain(reason),
                run_id=run_id,
            ),
        )


def finish_promotions(
    archive: Archive, client: "MlflowClient", name: str
) -> tuple[dict[str, str], list[Promotion]]:
    """Finish, or forget, what a crash left half done. The caller holds the archive.

    Returns
    -------
    aliases : dict of str to str
        The version that each alias points to.
    promotions : list of Promotion
        All that are done, oldest first.
    """
    registered = client.get_registered_model(name)
    aliases, promotions = aliases_in(registered), promotions_in(registered)
    if all(promotion.is_done for promotion in promotions):
        return aliases, promotions
    for promotion in (each for each in promotions if not each.is_done):
        if aliases.get(CHAMPION) == promotion.version:
            _finish(archive, client, name, promotion)
        else:
            forget_promotion(client, name, promotion)
    return finish_promotions(archive, client, name)


def _change(archive: Archive, client: "MlflowClient", name: str, promotion: Promotion) -> Promotion:
    """Write the promotion down, move the champion, then do the rest."""
    write_promotion(client, name, promotion)
    client.set_registered_model_alias(name, CHAMPION, promotion.version)
    return _finish(archive, client, name, promotion)


def _finish(archive: Archive, client: "MlflowClient", name: str, promotion: Promotion) -> Promotion:
    """Do what follows once the champion has moved; doing it twice changes nothing."""
    if promotion.previous is not None:
        client.set_registered_model_alias(name, PREVIOUS, promotion.previous)
    elif PREVIOUS in client.get_registered_model(name).aliases:
        client.delete_registered_model_alias(name, PREVIOUS)
    done = replace(promotion, is_done=True)
    write_promotion(client, name, done)
    remember_champion(
        archive, name, Champion(done.version, done.at, done.author, done.action, done.reason)
    )
    return done


def _check_classes(
    client: "MlflowClient", name: str, champion: str, classes: Sequence[str]
) -> None:
    tags = client.get_model_version(name, champion).tags
    known = json.loads(tags.get("classes", "[]"))
    if lost := sorted(set(known) - set(classes)):
        raise ModelError(
            f"model {name}: the champion, version {champion}, knows {', '.join(lost)}, "
            f"this one only {', '.join(classes)}; --force promotes it all the same"
        )


def _plain(text: str) -> str:
    """Return a text that every database takes, in one line."""
    kept = "".join(sign if sign.isprintable() else " " for sign in without_passwords(text))
    return " ".join(kept.split())[:_MAX_REASON]


def _unknown(version: str, aliases: Mapping[str, str]) -> Promotion:
    """Stand for a champion that was made elsewhere."""
    return Promotion(0, PROMOTE, version, None, aliases.get(PREVIOUS), "", "", is_done=True)
