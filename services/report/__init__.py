"""The report: one self-contained HTML page of what a run found, and how to make it again."""
