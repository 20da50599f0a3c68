"""Find the few places of a lattice or surface that are not as they should be.

Fit a detector on normal patches, score mosaics with it, and evaluate detectors on images that
they never saw. Simulate makes honeycomb lattices with known defects to try it on.
"""

ACTIONS: dict[str, tuple[str, str]] = {
    "fit": ("services.verbs.defects.fit", "learn what is normal: one detector, registered"),
    "score": ("services.verbs.defects.score", "score mosaics: maps, the defects table, a report"),
    "evaluate": ("services.verbs.defects.evaluate", "compare detectors on images never seen"),
    "simulate": ("services.verbs.defects.simulate", "draw honeycomb lattices with known defects"),
}
