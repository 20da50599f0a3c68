"""Registered models: which there are, what they are, which is in use.

The newest is the `candidate`, the one in use the `champion`, the one in use before it `previous`.
"""

ACTIONS: dict[str, tuple[str, str]] = {
    "list": ("services.verbs.models.list_registered", "every version, newest first"),
    "show": ("services.verbs.models.show", "data, settings, figures and past of one"),
    "promote": ("services.verbs.models.promote", "make a version the champion"),
    "rollback": ("services.verbs.models.rollback", "make the previous champion it again"),
}
