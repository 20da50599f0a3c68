"""A small set of labels that a person checked: drawn evenly, entered, and kept apart.

Half of them may be learnt from, by methods that ask for trusted labels; the other half judges
models and is never learnt from, whatever the flags. A particle's id fixes which half it is in.
"""

ACTIONS: dict[str, tuple[str, str]] = {
    "sample": ("services.verbs.trust.sample", "draw particles to check: a sheet to fill in"),
    "import": ("services.verbs.trust.import_sheet", "enter the labels of a filled-in sheet"),
    "show": ("services.verbs.trust.show", "how many labels are trusted, of what"),
}
