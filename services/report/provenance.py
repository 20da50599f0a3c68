"""The report's evidence: rules, quarantine, and everything needed to make the result again."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.archive import Archive
from pipelines.mosaic.ome_zarr import MosaicInfo
from pipelines.quarantine import list_quarantine
from services.label_store import LabelVersion
from services.report.blocks import (
    FOLD_FROM_N,
    ROWS_N,
    Block,
    Code,
    Section,
    Table,
    Text,
    number,
    percent,
)
from services.report.inputs import ReportInputs
from services.report.particles import Particles, is_known
from services.report.places import segmentations
from services.versions import code_version, library_versions

_UNKNOWN = "not recorded"


def rules(version: LabelVersion | None) -> Section | None:
    """Tell how labelling rules covered the particles and got on with each other."""
    report = version.rules if version else {}
    if not report.get("rules"):
        return None
    rows = [_rule(rule) for rule in report["rules"]]
    shares = [report.get(key) for key in ("coverage", "overlap", "conflict", "accuracy")]
    labelled = str(report.get("n_labelled", "-"))
    rows.append(["together", "", "", labelled, *(percent(share) for share in shares)])
    head = ["rule", "condition", "label", "votes", "coverage", "overlap", "conflict", "right"]
    text = (
        "Shares of all particles. Coverage: the rule voted; overlap: another voted too; conflict: "
        "another voted for another label. Right: the share of its votes that agree with the truth."
    )
    table = Table("Rules and their votes", head, rows, n_text_columns=3)
    return Section("rules", "Labelling rules", [table, Text(text)])


def quarantine(archive: Archive) -> Section:
    """List what could not be processed, and why."""
    cases = list_quarantine(archive)
    if not cases:
        return Section("quarantine", "Quarantine", [Text("Everything could be processed.")])
    rows = [
        [case.stage, case.mosaic, case.unit, case.reason, str(case.attempts)]
        for case in cases[:ROWS_N]
    ]
    blocks: list[Block] = [
        Table(
            f"{len(cases)} files or tiles could not be processed",
            ["stage", "mosaic", "file or tile", "reason", "attempts"],
            rows,
            n_text_columns=4,
        )
    ]
    if len(cases) > ROWS_N:
        blocks.append(Text(f"{len(cases) - ROWS_N} more are in the archive's folder quarantine."))
    return Section("quarantine", "Quarantine", blocks)


def steps(inputs: ReportInputs) -> Section | None:
    """List the stages that ran."""
    if not inputs.steps:
        return None
    rows = [[step.verb, step.outcome.line(), number(step.seconds, "s")] for step in inputs.steps]
    return Section("steps", "Steps", [Table("Stages", ["verb", "result", "time"], rows, 2)])


def reproduce(
    archive: Archive,
    infos: Sequence[MosaicInfo],
    particles: Particles,
    version: LabelVersion | None,
    inputs: ReportInputs,
) -> Section:
    """Write down everything needed to make the result again."""
    facts = {
        "run": inputs.run_id or _UNKNOWN,
        "archive": str(archive.root),
        "code version": code_version(),
        "seed": str(inputs.seed),
        "label version": _label_version(version),
        "model": particles.model_uri or inputs.model.get("uri", "none"),
        "realised error rate of the given labels": _error_rate(particles),
    }
    blocks: list[Block] = [Table("Identity", ["what", "value"], list(facts.items()), 2)]
    if inputs.command:
        blocks.append(Code("The command", shlex.join(inputs.command)))
    if inputs.settings:
        blocks.append(
            Code(
                "All settings, as a file for --settings",
                to_toml(inputs.settings),
                is_folded=True,
            )
        )
    segmented = segmentations(archive)
    rows = [
        [info.name, info.digest, str(segmented.get(info.name, {}).get("digest", _UNKNOWN))]
        for info in infos[:ROWS_N]
    ]
    head = ["mosaic", "digest of pixels", "digest of segmentation"]
    blocks.append(Table("Digests", head, rows, 3, is_folded=len(rows) > FOLD_FROM_N))
    versions = [[name, text] for name, text in library_versions().items()]
    blocks.append(Table("Libraries", ["library", "version"], versions, 2, is_folded=True))
    return Section("reproduce", "How to make this again", blocks)


def to_toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Write settings as TOML, a table per verb; values that are not set are left out.

    Examples
    --------
    >>> print(to_toml({"segment": {"core_px": 512, "threshold": None, "mosaic": "*"}}))
    [segment]
    core_px = 512
    mosaic = "*"
    """
    tables = []
    for verb, values in settings.items():
        lines = [
            # JSON writes numbers, booleans, texts and lists as TOML does.
            f"{name} = {json.dumps(value, default=str)}"
            for name, value in values.items()
            if value is not None
        ]
        tables.append("\n".join([f"[{verb}]", *lines]))
    return "\n\n".join(tables)


def _rule(rule: Mapping[str, Any]) -> list[str]:
    shares = [rule.get(key) for key in ("coverage", "overlap", "conflict", "accuracy")]
    words = [str(rule.get(key, "")) for key in ("name", "expression", "label")]
    return [*words, str(rule.get("n_votes", "-")), *(percent(share) for share in shares)]


def _label_version(version: LabelVersion | None) -> str:
    if version is None:
        return "none"
    return f"{version.version}, digest {version.digest}, by {version.method}, {version.author}"


def _error_rate(particles: Particles) -> str:
    """Return the share of given labels that are not the true ones, where both are known."""
    both = is_known(particles.given) & is_known(particles.true)
    if not both.any():
        return "not known: no truth"
    wrong = particles.given[both] != particles.true[both]
    return f"{percent(float(wrong.mean()))} of {int(both.sum())} with known truth"
