"""Labels as Parquet, and as CSV that can be edited and taken back."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipelines.schemas import LABELS
from services.label_export.source import ExportSource

#: What a line said when it was exported, so that it can be told later what was edited.
EXPORTED = ("exported_version", "exported_label", "exported_state")
#: Columns in the order in which people read them.
CSV_COLUMNS = (
    "mosaic", "instance", "particle_id", "segmentation", "label", "state", "reason", "source",
    "method", "confidence", "decided_by", *EXPORTED,
)  # fmt: skip


def export_parquet(source: ExportSource, out: Path) -> dict[str, int]:
    """Write all rows as one Parquet file, whose metadata name version and digest."""
    version = source.version
    about = {"tessera.label_version": str(version.version), "tessera.digest": version.digest}
    schema = LABELS.with_metadata(about)
    n_rows = 0
    with pq.ParquetWriter(out, schema) as writer:
        for rows in source.rows():
            writer.write_table(rows.replace_schema_metadata(about))
            n_rows += rows.num_rows
    return {"labels": n_rows}


def export_csv(source: ExportSource, out: Path) -> dict[str, int]:
    """Write all rows as CSV; `tessera versions import` takes edited labels and states back."""
    version = source.version.version
    n_rows, writer = 0, None
    try:
        for rows in source.rows():
            extra = {
                "exported_version": pa.array([version] * rows.num_rows, pa.int64()),
                "exported_label": rows["label"],
                "exported_state": rows["state"],
            }
            for name, values in extra.items():
                rows = rows.append_column(name, values)
            rows = rows.select(CSV_COLUMNS)
            if writer is None:
                options = pyarrow.csv.WriteOptions(quoting_style="needed")
                writer = pyarrow.csv.CSVWriter(str(out), rows.schema, write_options=options)
            writer.write_table(rows)
            n_rows += rows.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        out.write_text(",".join(CSV_COLUMNS) + "\n", encoding="utf-8")
    return {"labels": n_rows}
