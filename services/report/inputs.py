"""What a report is told beside what the archive itself holds; every part is optional."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.segmentation.scoring import MosaicScore
from services.outcome import Outcome


@dataclass(frozen=True)
class Step:
    """A stage that ran: the verb, what came of it, and how long it took."""

    verb: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class ReportInputs:
    """What a run knows of itself and of its results.

    Attributes
    ----------
    title : str
        Headline of the page.
    run_id : str
        Names the run; the report's file is named after it.
    command : sequence of str
        The command line, as it was given.
    seed : int
        Seed of everything random.
    finished : datetime, optional
        When the run ended; now, by default.
    steps : sequence of Step
        The stages that ran, in order.
    settings : mapping of str to mapping
        Per verb all settings with their values, JSON-like.
    held_out : collection of str
        Mosaics that were neither labelled nor trained on: the model is scored on them.
    scores : mapping of str to MosaicScore
        Agreement of instances with the truth, of mosaics that have truth. True labels of
        particles come from their matches.
    history : sequence of mapping
        Training curves: a row per epoch.
    model : mapping of str to str
        What names the model: registered name, version, alias, URI, method, parameters.
    model_uri : str, optional
        Whose predictions are shown; by default those that were written last.
    test_particles : collection of int, optional
        Particles to score the model on, where these are not those of ``held_out``. With neither,
        all with known truth are scored, and the report says that this is optimistic.
    label_version : int, optional
        The label version that was trained on; the newest by default.
    headline : mapping of str to str
        More numbers for the top of the page.
    notes : sequence of str
        What a reader should know before believing anything.
    """

    title: str = "Tessera report"
    run_id: str = ""
    command: Sequence[str] = ()
    seed: int = 0
    finished: datetime | None = None
    steps: Sequence[Step] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    held_out: Collection[str] = ()
    scores: Mapping[str, MosaicScore] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    model: Mapping[str, str] = field(default_factory=dict)
    model_uri: str | None = None
    test_particles: Collection[int] | None = None
    label_version: int | None = None
    headline: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def has_test(self) -> bool:
        """Whether it is known which particles had no part in training."""
        return self.test_particles is not None or bool(self.held_out)
