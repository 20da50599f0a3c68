"""The columns of the archive's tables, a schema each."""

from collections.abc import Mapping

import pyarrow as pa

_F64, _I64, _I32, _STR, _BOOL = pa.float64(), pa.int64(), pa.int32(), pa.string(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")

#: One row per particle of the current segmentation of each mosaic. Boxes are half open.
PARTICLES = pa.schema(
    [
        ("particle_id", _I64),
        ("mosaic", _STR),
        ("instance", _I64),
        ("segmentation", _STR),
        ("centroid_y_px", _F64),
        ("centroid_x_px", _F64),
        ("bbox_y0_px", _I64),
        ("bbox_x0_px", _I64),
        ("bbox_y1_px", _I64),
        ("bbox_x1_px", _I64),
        ("area_px", _I64),
        ("area_nm2", _F64),
        ("equivalent_diameter_px", _F64),
        ("equivalent_diameter_nm", _F64),
        ("major_axis_px", _F64),
        ("major_axis_nm", _F64),
        ("minor_axis_px", _F64),
        ("minor_axis_nm", _F64),
        ("orientation_rad", _F64),
        ("eccentricity", _F64),
        ("extent", _F64),
        ("mean_intensity", _F64),
        ("std_intensity", _F64),
        ("min_intensity", _F64),
        ("max_intensity", _F64),
        ("background_intensity", _F64),
        ("contrast", _F64),
        ("touches_edge", _BOOL),
        ("crosses_seam", _BOOL),
        ("low_contrast", _BOOL),
    ]
)

#: One row per labelled particle. ``label`` is null for an abstention. A row belongs to one
#: segmentation: after another one the same id is another particle.
LABELS = pa.schema(
    [
        ("particle_id", _I64),
        ("mosaic", _STR),
        ("instance", _I64),
        ("segmentation", _STR),
        ("label", _STR),
        ("state", _STR),
        ("source", _STR),
        ("method", _STR),
        ("confidence", _F64),
        ("decided_by", _STR),
        ("reason", _STR),
    ]
)

#: One row per particle that a person checked, and again for each segmentation that it was carried
#: over to. ``label`` is null where nobody can tell. ``origin`` is the id under which the particle
#: was checked, which decided its ``portion`` once and for all.
TRUSTED = pa.schema(
    [
        ("particle_id", _I64),
        ("mosaic", _STR),
        ("instance", _I64),
        ("segmentation", _STR),
        ("label", _STR),
        ("portion", _STR),
        ("origin", _I64),
        ("bbox_y0_px", _I64),
        ("bbox_x0_px", _I64),
        ("bbox_y1_px", _I64),
        ("bbox_x1_px", _I64),
        ("checked_by", _STR),
        ("reason", _STR),
        ("at", _TIME),
    ]
)

#: One row per unit of work that ended, done or quarantined. ``result`` is JSON.
LEDGER = pa.schema(
    [
        ("key", _STR),
        ("stage", _STR),
        ("mosaic", _STR),
        ("unit", _STR),
        ("status", _STR),
        ("attempts", _I32),
        ("seconds", _F64),
        ("reason", _STR),
        ("result", _STR),
        ("settings", _STR),
        ("code_version", _STR),
        ("run_id", _STR),
        ("at", _TIME),
    ]
)

#: Known truth of simulated mosaics, and reference labels of real ones where somebody gave them.
TRUTH = pa.schema(
    [
        ("mosaic", _STR),
        ("truth_instance", _I64),
        ("label", _STR),
        ("determinable", _BOOL),
        ("visibility", _F64),
        ("centroid_y_px", _F64),
        ("centroid_x_px", _F64),
        ("area_px", _I64),
        ("attributes", _STR),
    ]
)

#: One row per particle and model. ``probabilities`` follow the order of ``classes``.
PREDICTIONS = pa.schema(
    [
        ("particle_id", _I64),
        ("mosaic", _STR),
        ("instance", _I64),
        ("label", _STR),
        ("confidence", _F64),
        ("classes", pa.list_(_STR)),
        ("probabilities", pa.list_(_F64)),
        ("model_uri", _STR),
        ("label_version", _I64),
    ]
)

#: One row per trial of a sweep. Accuracies and shares are 0 to 1, null where there is none.
TRIALS = pa.schema(
    [
        ("trial", _STR),
        ("sweep", _STR),
        ("preset", _STR),
        ("method", _STR),
        ("method_name", _STR),
        ("options", _STR),
        ("noise", _STR),
        ("error_rate", _F64),
        ("realised_error_rate", _F64),
        ("seed", _I64),
        ("n_train", _I64),
        ("n_test", _I64),
        ("n_epochs", _I64),
        ("n_last", _I64),
        ("last", _F64),
        ("best", _F64),
        ("final", _F64),
        ("accuracy_true", _F64),
        ("accuracy_mirrored", _F64),
        ("achiral_share", _F64),
        ("achiral_two_sd", _F64),
        ("n_achiral", _I64),
        ("recalls", _STR),
        ("memorised", _F64),
        ("seen_through", _F64),
        ("kept_precision", _F64),
        ("select_accuracy", _F64),
        ("seconds", _F64),
        ("device", _STR),
        ("study_digest", _STR),
        ("code_version", _STR),
        ("run_id", _STR),
    ]
)

#: One row per night that did something. ``population`` and ``drift`` are JSON, by measure.
NIGHTS = pa.schema(
    [
        ("run_id", _STR),
        ("started", _TIME),
        ("finished", _TIME),
        ("changes", pa.list_(_STR)),
        ("mosaics", pa.list_(_STR)),
        ("n_particles", _I64),
        ("n_quarantined", _I64),
        ("label_version", _I64),
        ("label_digest", _STR),
        ("champion_before", _STR),
        ("candidate", _STR),
        ("champion", _STR),
        ("promoted", _BOOL),
        ("why", _STR),
        ("population", _STR),
        ("drift", _STR),
        ("report", _STR),
        ("code_version", _STR),
        ("tracking_run", _STR),
    ]
)

#: One row per defect that a detector found. ``kind`` is that of a known defect at this place, null
#: where none is known. Positions are those of the oddest pixel, or of the middle of a patch.
DEFECTS = pa.schema(
    [
        ("defect_id", _STR),
        ("mosaic", _STR),
        ("y_px", _F64),
        ("x_px", _F64),
        ("size_px", _F64),
        ("size_nm", _F64),
        ("kind", _STR),
        ("score", _F64),
        ("threshold", _F64),
        ("method", _STR),
        ("model_uri", _STR),
        ("mosaic_digest", _STR),
        ("label_digest", _STR),
        ("run_id", _STR),
    ]
)

SCHEMAS: Mapping[str, pa.Schema] = {
    "particles": PARTICLES,
    "labels": LABELS,
    "trusted": TRUSTED,
    "ledger": LEDGER,
    "truth": TRUTH,
    "predictions": PREDICTIONS,
    "trials": TRIALS,
    "nights": NIGHTS,
    "defects": DEFECTS,
}
