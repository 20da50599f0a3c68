"""What a night's report says of models: candidates against those in use, who won, what it found."""

from collections.abc import Mapping
from typing import Any

from pipelines.evaluation.trend_figures import gains
from services.nightly.journal import Journal
from services.nightly.plans import Plan
from services.report.blocks import Block, Section, Table, Text, number, percent
from services.report.embedding import FigureFolder


def segmenter_section(journal: Journal, figures: FigureFolder) -> Section | None:
    """Tell how tonight's segmenter fared against the method in use, if one was fitted."""
    verdict = journal.values("segmenter")
    if not verdict or not verdict["candidate"]:
        return None
    blocks: list[Block] = [Text(f"{verdict['why'].capitalize()}.")]
    for c in verdict["comparisons"]:
        shown = {f"{c['name']}, n = {c['n_particles']}": (c["difference"], c["low"], c["high"])}
        alt = f"Gain in F1 over {verdict['champion']}: {_points(c)} points"
        blocks.append(figures.add("segmenter-gain", gains(shown, margin=verdict["margin"]), alt))
        rows = [
            [str(c["n_particles"]), percent(c["candidate"]), percent(c["champion"]), _points(c)]
        ]
        head = ["outlined objects", "F1 of the candidate", "F1 of the one in use", "gain, points"]
        blocks.append(Table("Candidate against the method in use", head, rows))
        blocks.append(
            Text(
                "F1 counts objects whose IoU with an outlined one is above 0.5, over images that "
                "neither was fitted on. The interval is of 95 %, over images, paired."
            )
        )
    used = journal.values("promote_segmenter").get("champion", verdict["champion"])
    facts = [
        ["candidate", verdict["candidate"]],
        ["in use before", verdict["champion"]],
        ["in use now", used],
    ]
    blocks.append(Table("Segmenters", ["what", "value"], facts, 2))
    return Section("segmenter", "Segmenter", blocks)


def defects_section(journal: Journal) -> Section | None:
    """Tell what a detector of defects found in all mosaics together, if there is one."""
    found = journal.values("defects")
    if not found.get("model"):
        return None
    facts = [
        ["detector", str(found["model"])],
        ["mosaics", f"{found['mosaics']:,}, of which {found['unchanged']:,} were scored before"],
        ["patches", f"{found['patches']:,}, of which {found['flagged']:,} are flagged"],
        ["defects", f"{found['defects']:,}"],
        ["smaller than a patch", ", ".join(found["too_small"]) or "none"],
        ["ranked, with pictures", str(found.get("report", "no report was asked for"))],
    ]
    return Section("defects", "Defects", [Table("Defects", ["what", "value"], facts, 2)])


def learning_section(journal: Journal, plan: Plan | None, figures: FigureFolder) -> Section | None:
    """Tell how the candidate fared against the champion."""
    verdict = journal.values("judge")
    if not verdict:
        return None
    blocks: list[Block] = [Text(f"{verdict['why'].capitalize()}.")]
    known = [c for c in verdict["comparisons"] if c["difference"] is not None]
    if known:
        base = "chance" if known[0]["champion"] is None else "the champion"
        shown = {
            f"{c['name']}, n = {c['n_particles']}": (c["difference"], c["low"], c["high"])
            for c in known
        }
        alt = "; ".join(f"{name}: {percent(gain)}" for name, (gain, _, _) in shown.items())
        figure = gains(shown, margin=verdict["margin"])
        blocks.append(figures.add("gain", figure, f"Gain over {base}: {alt}"))
        rows = [
            [
                c["name"],
                str(c["n_particles"]),
                str(c["n_classes"]),
                percent(c["candidate"]),
                percent(c["champion"]),
                _points(c),
            ]
            for c in known
        ]
        head = ["particles", "n", "classes", "candidate", "champion", f"gain over {base}"]
        blocks.append(Table("Right answers, every class counted alike", head, rows))
        blocks.append(
            Text(
                "Trusted: labels that people have checked and that no model learns from. Newest: "
                "particles of tonight's mosaics whose class is known and that the candidate was "
                "not trained on. Intervals are of 95 %, over particles, of paired answers."
            )
        )
    trained = journal.values("train")
    facts = [
        ["candidate", verdict["candidate"] or "none"],
        ["champion before", (plan.now.champion if plan else "") or "none"],
        ["trained from", trained.get("start") or "random weights" if trained["uri"] else "-"],
        ["particles learnt from", number(trained.get("particles"))],
    ]
    blocks.append(Table("Models", ["what", "value"], facts, 2))
    return Section("learning", "Candidate and champion", blocks)


def _points(comparison: Mapping[str, Any]) -> str:
    gain, low, high = (100 * comparison[key] for key in ("difference", "low", "high"))
    return f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"
