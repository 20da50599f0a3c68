"""The command line: flags become settings, settings a verb's call, its outcome an exit status."""

import contextlib
import enum
import importlib
import os
import sys
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import click
from pydantic.fields import FieldInfo

from cluster.resources import NoRoomError
from pipelines.buckets.refusals import BucketError
from pipelines.errors import StorageFullError, TesseraError
from services import event_log
from services.leaving import leave_at_once
from services.outcome import CALLERS_MISTAKE, INTERRUPTED, LOCKED, OURS, Outcome
from services.secrets import take_secret_files
from services.settings import VerbSettings, has_flag

#: Verb -> (module, summary). Modules are imported when their verb is used, so help is instant.
#: A module with ``ACTIONS``, such a table of its own, is a family: `tessera versions list`.
VERBS: dict[str, tuple[str, str]] = {
    "simulate": ("services.verbs.simulate", "draw a mosaic of chiral particles with known truth"),
    "ingest": ("services.verbs.ingest", "turn instrument files into mosaics"),
    "segment": ("services.verbs.segment", "find every particle: instances and measurements"),
    "segmenter": ("services.verbs.segmenter", "segmenters that learn: fit, compare, list"),
    "label": ("services.verbs.label", "label particles weakly: a new label version"),
    "train": ("services.verbs.train", "train one model and register it"),
    "clean": ("services.verbs.clean", "find wrong labels: a new label version"),
    "predict": ("services.verbs.predict", "classify every particle with a registered model"),
    "versions": (
        "services.verbs.versions",
        "label versions: compare, export, go back, check",
    ),
    "trust": ("services.verbs.trust", "labels that a person checked: draw, enter, count"),
    "defects": ("services.verbs.defects", "find defects in lattices and surfaces"),
    "sweep": ("services.verbs.sweep", "methods against error rates and seeds: table and figures"),
    "run": ("services.verbs.run", "the main job: ingest to report"),
    "relabel": ("services.verbs.relabel", "the nightly job: what is new; promote if better"),
    "models": ("services.verbs.models", "registered models: list, show, promote, rollback"),
    "status": ("services.verbs.status", "an archive at a glance"),
    "plan": ("services.verbs.plan", "what a verb would do: how much, where, how long"),
    "submit": ("services.verbs.submit", "run any verb as a job on a Ray cluster"),
    "jobs": ("services.verbs.jobs", "jobs on a Ray cluster: list, show, logs, stop"),
    "schedule": ("services.verbs.schedule", "a schedule that relabels the archive every night"),
    "doctor": ("services.verbs.doctor", "what this machine has, what is missing, how to get it"),
}


class _Verbs(click.Group):
    """Commands made from the verbs' settings when they are asked for."""

    def __init__(
        self, *args: Any, verbs: Mapping[str, tuple[str, str]] | None = None, **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self.verbs = VERBS if verbs is None else verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.verbs:
            return None
        module_name, summary = self.verbs[cmd_name]
        module = importlib.import_module(module_name)
        # Below `tessera` itself, a name is its family's and its own: [versions.list] in TOML.
        name = cmd_name if self.verbs is VERBS else f"{self.name}.{cmd_name}"
        if hasattr(module, "ACTIONS"):
            return _Verbs(name, verbs=module.ACTIONS, help=module.__doc__, short_help=summary)
        return VerbCommand(name, module)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.verbs.items()])


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tessera-mosaic")
def tessera() -> None:
    """Turn microscope mosaics into trustworthy labels and the models that made them.

    Every verb takes --help. Results go to stdout, progress and errors to stderr. Exit status:
    0 done, 2 the caller's mistake, 1 ours, 3 done but something was quarantined, 75 another run
    holds the archive, 130 interrupted.
    """


def main() -> None:
    """Run the command line and exit with the verb's status."""
    leave_with = leave_at_once()
    sys.exit(leave_with(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    from services.lock import LockedError

    try:
        take_secret_files()
        status = tessera.main(args=arguments, prog_name="tessera", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return CALLERS_MISTAKE
    except click.ClickException as error:
        return _complain(error.format_message(), CALLERS_MISTAKE)
    except LockedError as error:
        return _complain(str(error), LOCKED)
    except (TesseraError, NoRoomError) as error:
        return _complain(str(error), CALLERS_MISTAKE)
    except BucketError as error:
        said = f"{error.filename}: {error.strerror}; the same command goes on from here"
        return _complain(said, OURS)
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted; the same command goes on from here", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OURS
    except Exception as error:
        # This class itself, as its subclasses are breaks in the middle of work.
        if type(error) is ConnectionError:
            return _complain(str(error), CALLERS_MISTAKE)
        if full := _storage_full(error):
            return _complain(full, CALLERS_MISTAKE)
        traceback.print_exc()
        return OURS
    return int(status or 0)


def _complain(message: str, status: int) -> int:
    click.echo(f"tessera: {' '.join(message.split())}", err=True)
    return status


def _storage_full(error: BaseException | None) -> str | None:
    """Say where the disk is full, if that is what went wrong anywhere below ``error``."""
    while error is not None:
        if isinstance(error, StorageFullError):
            return str(error)
        if isinstance(error, OSError) and error.errno in (28, 122):
            return f"no space left on the disk that holds {error.filename or 'the archive'}"
        if "No space left on device" in str(error):
            return "no space left on the disk that holds the archive"
        error = error.__cause__ or error.__context__
    return None


class VerbCommand(click.Command):
    """A verb as a command: its settings are its parameters."""

    def __init__(self, verb: str, module: types.ModuleType) -> None:
        self.verb = verb
        self.settings_type: type[VerbSettings] = module.Settings
        self._execute: Callable[[Any], Outcome] = module.execute
        fields = self.settings_type.model_fields.items()
        parameters = [_parameter(key, field) for key, field in fields if has_flag(field)]
        parameters.sort(key=lambda parameter: isinstance(parameter, click.Option))
        super().__init__(
            verb.rpartition(".")[2],
            callback=self._run,
            params=[
                *parameters,
                click.Option(
                    ["--settings"],
                    type=click.Path(path_type=Path),
                    metavar="FILE.toml",
                    help=f"read settings from here ([{verb}] table); flags win",
                ),
                click.Option(["--json", "as_json"], is_flag=True, help="print one JSON object"),
                click.Option(
                    ["--log-file"],
                    type=click.Path(path_type=Path),
                    metavar="FILE",
                    envvar="TESSERA_LOG_FILE",
                    help="also append what happens to this file, one JSON object a line; "
                    "TESSERA_LOG_FILE in the environment says the same",
                ),
            ],
            help=self.settings_type.__doc__,
            context_settings={
                "help_option_names": ["-h", "--help"],
                "max_content_width": 100,
                # A command line within the command line has flags of its own.
                "allow_interspersed_args": not any(map(_is_command_line, dict(fields).values())),
            },
        )

    def _run(
        self, settings: Path | None, as_json: bool, log_file: Path | None, **flags: Any
    ) -> int:
        logging = event_log.logging_to(log_file, self.verb)
        # Libraries print as they like; standard output is for the result alone.
        with contextlib.redirect_stdout(sys.stderr), logging as ended:
            outcome = self._execute(self.settings_type.load(self.verb, settings, given(flags)))
            ended(outcome)
        click.echo(outcome.json() if as_json else outcome.text())
        return outcome.status


def _is_command_line(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("command_line"))


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Tell flags that were not given (None) from those that were."""
    return {key: None if value == () else value for key, value in flags.items()}


def _parameter(name: str, field: FieldInfo) -> click.Parameter:
    """Make a flag (or, where the field says so, an argument) from a settings field."""
    annotation, many = _unwrap(field.annotation)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    if extra.get("argument"):
        return click.Argument(
            [name],
            nargs=-1 if many else 1,
            required=False,
            type=_click_type(annotation),
            metavar=str(extra.get("metavar", name.upper())) + ("..." if many else ""),
        )
    flag = "--" + name.replace("_", "-")
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    text = field.description or ""
    if field.is_required():
        text += "  [required]"
    elif default is not None and default != () and default is not False:
        shown = default.value if isinstance(default, enum.Enum) else default
        text += f"  [default: {shown}]"
    if annotation is bool:
        declaration = f"{flag}/--no-{name.replace('_', '-')}" if default is True else flag
        return click.Option([declaration, name], is_flag=True, default=None, help=text)
    return click.Option(
        [flag, name], type=_click_type(annotation), multiple=many, default=None, help=text
    )


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """Strip None from a union and the tuple from a list of values."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(annotation) if part is not type(None)]
        # Several types in one flag stay text; pydantic decides which it is.
        return _unwrap(inner[0]) if len(inner) == 1 else (str, False)
    if typing.get_origin(annotation) is tuple:
        return typing.get_args(annotation)[0], True
    return annotation, False


def _click_type(annotation: Any) -> Any:
    if typing.get_origin(annotation) is Literal:
        return click.Choice(list(typing.get_args(annotation)))
    if annotation is Path:
        # Verbs say themselves, in their own words, what cannot be read.
        return click.Path(path_type=Path, readable=False)
    return annotation if annotation in (int, float, str) else str
