"""When an archive is relabelled: the slot, and what other programs need to keep to it."""
