"""A verb's command line, read here as it will be on the cluster, and the name of its job."""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.errors import SettingsError
from pipelines.places import in_bucket, place
from services.secrets import without_passwords

if TYPE_CHECKING:
    from services.cli import VerbCommand
    from services.settings import VerbSettings

#: Verbs about jobs and plans make none themselves.
HERE_ONLY = ("submit", "jobs", "plan")
#: Flags of every verb that decide nothing of its result.
NOT_SETTINGS = ("settings", "as_json", "log_file")
#: The system takes no longer word into a process's environment.
MAX_SETTINGS_BYTES = 100_000


@dataclass(frozen=True)
class Submission:
    """What is to be run.

    Attributes
    ----------
    verb : str
        As `segment` or `models.list`.
    words : tuple of str
        The command line after `tessera`, paths made absolute, without --settings.
    settings_toml : str
        Content of the settings file.
    job_id : str
        The same for the same verb, settings and run.
    """

    verb: str
    words: tuple[str, ...]
    settings_toml: str
    job_id: str


@dataclass(frozen=True)
class CommandLine:
    """A verb's command line, checked.

    Attributes
    ----------
    command : VerbCommand
        The verb.
    names : list of str
        The words of its name.
    settings : VerbSettings
        Its settings, from file and flags.
    flags : mapping
        Those that were given.
    toml_path, log_file : Path or None
        The settings file, and where to write what happens.
    as_json : bool
        Whether the result is wanted as JSON.
    """

    command: "VerbCommand"
    names: list[str]
    settings: "VerbSettings"
    flags: dict[str, Any]
    toml_path: Path | None
    log_file: Path | None
    as_json: bool


def read_line(words: Sequence[str]) -> CommandLine:
    """Read and check a verb's command line, and do nothing else.

    Raises
    ------
    SettingsError, click.UsageError
        If there is no such verb, or it would refuse these settings.
    """
    from services.cli import given

    command, rest, names = _find_verb(words)
    context = command.make_context(command.name, list(rest))
    flags = context.params
    toml_path, as_json, log_file = (flags.pop(name) for name in NOT_SETTINGS)
    if context.get_parameter_source("log_file") is not click.core.ParameterSource.COMMANDLINE:
        # Where the environment names one, that is for commands here.
        log_file = None
    flags = {name: value for name, value in given(flags).items() if value is not None}
    settings = command.settings_type.load(command.verb, toml_path, flags)
    return CommandLine(command, names, settings, flags, toml_path, log_file, bool(as_json))


def read_command(words: Sequence[str], *, run_id: str | None = None) -> Submission:
    """Read and check a verb's command line.

    Parameters
    ----------
    words : sequence of str
        The verb and its flags.
    run_id : str, optional
        Tells one run of the same command from another.

    Raises
    ------
    SettingsError, click.UsageError
        If there is no such verb, or it would refuse these settings, or they carry a password.
    """
    line = read_line(words)
    command, settings, toml_path = line.command, line.settings, line.toml_path
    _check_address(settings)
    toml = toml_path.read_text(encoding="utf-8") if toml_path else ""
    paths = _absolute_paths(settings)
    log_file = line.log_file and _from_root(line.log_file)
    more = {"as_json": line.as_json or None, "log_file": log_file}
    sent = [*line.names, *_words(command, line.flags | paths | more)]
    _check_sent(sent, toml, toml_path)
    meant = {
        "verb": command.verb,
        "settings": settings.model_copy(update=paths).model_dump(mode="json"),
        # Those of other verbs count too: `tessera run` gives them to its stages.
        "tables": tomllib.loads(toml),
        "run": run_id,
    }
    digest = hashlib.sha256(json.dumps(meant, sort_keys=True, default=str).encode()).hexdigest()
    parts = [command.verb.replace(".", "-"), *([run_id] if run_id else []), digest[:12]]
    return Submission(command.verb, tuple(sent), toml, "-".join(parts))


def _find_verb(words: Sequence[str]) -> "tuple[VerbCommand, Sequence[str], list[str]]":
    """Return the verb's command, the words after its name, and the words of its name."""
    from services.cli import VerbCommand, tessera

    command: click.Command = tessera
    context = click.Context(tessera, info_name="tessera")
    names: list[str] = []
    while isinstance(command, click.Group):
        if len(words) == len(names):
            known = ", ".join(name for name in command.list_commands(context))
            raise SettingsError(f"VERB is missing; it comes after --, and is one of {known}")
        name = words[len(names)]
        found = command.get_command(context, name)
        if found is None or (name in HERE_ONLY and not names):
            raise SettingsError(f"VERB: there is no {name!r} that could be submitted or planned")
        names.append(name)
        command = found
    assert isinstance(command, VerbCommand)
    return command, words[len(names) :], names


def _check_address(settings: "VerbSettings") -> None:
    """Refuse another cluster than the one that the job goes to."""
    address = getattr(settings, "address", None)
    if address is not None:
        raise SettingsError(
            "--address is for `submit` itself, as a job runs where it was submitted, got "
            f"{address!r}"
        )


def _check_sent(words: Sequence[str], toml: str, toml_path: Path | None) -> None:
    """Refuse what everybody who may see the cluster's jobs must not read."""
    for word in words:
        if without_passwords(word) != word:
            raise SettingsError(
                "a password would be shown with the job; let the cluster's nodes have it in their "
                f"environment, and leave it out of {without_passwords(word)!r}"
            )
    if without_passwords(toml) != toml:
        raise SettingsError(
            f"settings file {toml_path} holds a password, which would be shown with the job; let "
            "the cluster's nodes have it in their environment"
        )
    if len(toml.encode()) > MAX_SETTINGS_BYTES:
        raise SettingsError(
            f"settings file {toml_path} must not be longer than {MAX_SETTINGS_BYTES} bytes to be "
            f"sent, got {len(toml.encode())}"
        )


def _absolute_paths(settings: "VerbSettings") -> dict[str, Any]:
    """Return the paths among the settings that somebody gave, from the root.

    On the cluster another folder is the current one.
    """
    found: dict[str, Any] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, Path):
            found[name] = _from_root(value)
        elif isinstance(value, tuple) and any(isinstance(item, Path) for item in value):
            found[name] = tuple(_from_root(item) for item in value)
    return found


def _from_root(path: Path) -> Path:
    path = place(path)
    if in_bucket(path):
        return path
    # Without following links: on the cluster they may lead elsewhere.
    return Path(os.path.abspath(path))


def _words(command: "VerbCommand", values: Mapping[str, Any]) -> Iterator[str]:
    """Write settings as a command line, flags first."""
    arguments: list[str] = []
    for parameter in command.params:
        value = values.get(str(parameter.name))
        if value is None:
            continue
        if isinstance(parameter, click.Argument):
            arguments += map(str, value if isinstance(value, tuple) else [value])
        elif isinstance(value, bool):
            yield (parameter.opts if value else parameter.secondary_opts)[0]
        else:
            for item in value if isinstance(value, tuple) else [value]:
                # As one word, or a value such as -1 would be taken for a flag.
                yield f"{parameter.opts[0]}={item}"
    if arguments:
        yield from ("--", *arguments)
