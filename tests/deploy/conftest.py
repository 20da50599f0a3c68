"""What is deployed, read as text and as data; nothing here is run in a container."""

import importlib.util
import mmap
import re
import shlex
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml

from services import cli

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def deploy() -> Path:
    return DEPLOY


def instructions(text: str) -> list[tuple[str, str]]:
    """Split a Dockerfile into its instructions and what follows each."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), " ".join(rest.split())) for word, rest in found]


@pytest.fixture(scope="session")
def dockerfile() -> list[tuple[str, str]]:
    return instructions((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def kubernetes() -> dict[str, list[dict]]:
    """The documents of each Kubernetes manifest, by the file's name."""
    return {
        path.name: list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    }


def flags_of(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts} | {
        flag for parameter in command.params for flag in parameter.secondary_opts
    }


def check_flags(command: click.Command, words: list[str]) -> None:
    """Refuse flags that a command does not have."""
    given = {word.split("=")[0] for word in words if word.startswith("--") and word != "--"}

    assert given - flags_of(command) == set(), f"{command.name} {words}"


def check_tessera(words: list[str]) -> None:
    """Refuse a verb of ours, or a flag, that does not exist: ``words`` follow ``tessera``."""
    group = cli.tessera
    command = group.get_command(click.Context(group, info_name="tessera"), words[0])
    assert command is not None, f"tessera {words}"
    if isinstance(command, click.Group):
        words = words[1:]
        command = command.get_command(click.Context(command), words[0])
        assert command is not None, f"tessera {words}"
    if not command.context_settings.get("allow_interspersed_args", True):
        # A verb's command line follows, with flags of its own: after --, or after the last flag.
        ends = [i for i, word in enumerate(words) if word == "--"]
        ends = ends or [i - 1 for i, word in enumerate(words) if i and word in cli.VERBS]
        if ends:
            check_tessera(words[ends[0] + 1 :])
            words = words[: ends[0] + 1]
    check_flags(command, words[1:])


@pytest.fixture(scope="session")
def commands() -> SimpleNamespace:
    return SimpleNamespace(check_flags=check_flags, check_tessera=check_tessera, split=shlex.split)


@cache
def is_known_to(package: str, name: str) -> bool:
    """Tell whether a package mentions a name anywhere in its code, compiled code included."""
    folder = Path(importlib.util.find_spec(package).origin).parent
    wanted = name.encode()
    files = [*folder.glob("*.so"), *sorted(folder.rglob("*.py"), key=lambda p: len(p.parts))]
    for path in files:
        if path.stat().st_size == 0:
            continue
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if content.find(wanted) >= 0:
                return True
    return False


@pytest.fixture(scope="session")
def known_to():
    return is_known_to
