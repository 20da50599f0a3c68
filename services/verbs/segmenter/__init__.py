"""Segmenters that learn from masks: fit one, compare it with others, list what is registered."""

ACTIONS: dict[str, tuple[str, str]] = {
    "fit": ("services.verbs.segmenter.fit", "fit a segmenter to masks and register it"),
    "evaluate": (
        "services.verbs.segmenter.evaluate",
        "compare methods on masks of your own, and remember the best",
    ),
    "list": ("services.verbs.segmenter.list_segmenters", "segmenters, what they are for, scores"),
}
