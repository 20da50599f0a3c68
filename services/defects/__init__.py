"""Defects in an archive: what is read, how scores are kept, and what models are made from."""
