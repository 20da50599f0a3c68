"""Ways in, and memory: verbs, settings, tracking, the label store, the registry, reports."""
