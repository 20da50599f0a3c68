"""Judge a night's candidate: find it, gather the evidence, decide, write down why."""

from typing import Any

from pipelines.errors import ModelError
from services.model_history import CANDIDATE
from services.model_registry import load_model
from services.nightly.evidence import gather_evidence
from services.nightly.gate import compare, decide, decide_first
from services.nightly.steps import Night, Values


def judge_candidate(night: Night) -> Values:
    """Decide whether the candidate becomes champion.

    The candidate is tonight's, or where nothing was to be learnt the newest one that is
    registered: trusted labels may have come since it was judged.
    """
    archive, settings = night.archive, night.settings
    champion_uri = night.plan.now.champion
    reference = night.of("train")["uri"] or f"{settings.name}@{CANDIDATE}"
    try:
        candidate = load_model(archive, reference, tracking_uri=settings.tracking_uri)
    except ModelError:
        if night.of("train")["uri"]:
            raise
        return _nothing("", "nothing to judge: no candidate was ever trained")
    if candidate.uri == champion_uri:
        return _nothing(candidate.uri, "nothing to judge: the candidate is the champion")
    champion = (
        load_model(archive, champion_uri, tracking_uri=settings.tracking_uri)
        if champion_uri
        else None
    )
    if champion and (lost := set(champion.config["classes"]) - set(candidate.config["classes"])):
        said = ", ".join(sorted(lost))
        return _nothing(candidate.uri, f"not promoted: it does not know the classes {said}")
    train = night.stage("train")
    held_out = night.held_out()
    evidence = gather_evidence(
        archive,
        newest=night.of("ingest")["new"],
        held_out=held_out,
        test_share=train.model_copy(update={"hold_out": held_out}).share_for_tests,
        seed=train.seed,
        candidate=candidate,
        champion=champion,
    )
    comparisons = [compare(answers, seed=settings.seed) for answers in evidence.answers]
    if champion is None:
        verdict = decide_first(comparisons, min_judged=settings.min_judged)
    else:
        verdict = decide(comparisons, margin=settings.margin, min_judged=settings.min_judged)
    return {
        **verdict.to_json(),
        "candidate": candidate.uri,
        "champion": champion_uri,
        "margin": 0.0 if champion is None else settings.margin,
        "unfit": evidence.unfit,
    }


def _nothing(candidate: str, why: str) -> dict[str, Any]:
    return {"promote": False, "why": why, "comparisons": [], "candidate": candidate}
