"""One file per detector: ``fit(patches, ...) -> model`` and ``score(model, patches)``."""
