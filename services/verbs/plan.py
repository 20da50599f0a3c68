"""``tessera plan``: what a verb would do, where, how long and at which price, without doing it."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.errors import SettingsError
from services.outcome import Outcome
from services.settings import VerbSettings

if TYPE_CHECKING:
    from pipelines.archive import Archive
    from services.planning.work import Work

#: Verb -> module and function that plans it.
PLANNERS = {
    "segment": ("services.planning.segment", "plan_work"),
    "train": ("services.planning.learning", "plan_training_work"),
    "clean": ("services.planning.learning", "plan_cleaning_work"),
    "predict": ("services.planning.predict", "plan_work"),
    "sweep": ("services.planning.sweep", "plan_work"),
    "run": ("services.planning.run", "plan_works"),
}
#: These make their archive, which need not be there.
MAKE_ARCHIVES = ("sweep", "run")


class Settings(VerbSettings):
    """Say what a verb would do: tessera plan segment --archive lab.

    How much is done already and how much is left, which workers the machine or the cluster
    (--address of the verb, or [cluster] of its settings) has room for, what is read and written,
    how long it takes and, where [cluster] says price_per_core_hour and price_per_gpu_hour, what
    it costs. Times come from what the archive did before, or are assumed and marked so. Nothing
    is run, and nothing is written.
    """

    command: tuple[str, ...] = Field(
        (),
        description="the verb and its flags",
        json_schema_extra={"argument": True, "metavar": "VERB", "command_line": True},
    )


@dataclass(frozen=True)
class Planned(Outcome):
    """An outcome that is JSON too where the planned verb's --json asks for it."""

    as_json: bool = False

    def text(self) -> str:
        """Return the screen and the line, or the object that is asked for."""
        return self.json() if self.as_json else super().text()


def execute(settings: Settings) -> Planned:
    """Plan a verb."""
    from services.submission.command import read_line

    line = read_line(settings.command)
    verb = line.command.verb
    if verb not in PLANNERS:
        raise SettingsError(f"VERB: there is nothing to plan for {verb}; {', '.join(PLANNERS)} are")
    from services.planning.machines import describe, find_nodes
    from services.planning.work import Prices, screen, summary

    given: Any = line.settings
    archive = _find_archive(verb, given)
    nodes, where = find_nodes(given)
    module, function = PLANNERS[verb]
    found = getattr(importlib.import_module(module), function)(archive, given, nodes)
    works: list[Work] = found if isinstance(found, list) else [found]
    prices = Prices(given.price_per_core_hour, given.price_per_gpu_hour)
    totals = summary(works, prices)
    return Planned(
        "planned",
        {"verb": verb, **totals},
        screen=f"{describe(nodes, where)}\n{screen(works, totals)}",
        as_json=line.as_json,
    )


def _find_archive(verb: str, settings: Any) -> "Archive":
    """Open the archive, or say where it would be."""
    from pipelines.archive import Archive, open_archive
    from services.verbs.run import check_sources

    if verb == "run":
        check_sources(settings)
    if verb in MAKE_ARCHIVES and not settings.archive.exists():
        return Archive(settings.archive.absolute())
    return open_archive(settings.archive)
