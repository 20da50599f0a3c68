import numpy as np
import pytest

from pipelines.labels.rules import parse_rules
from pipelines.labels.weak import WeakLabeller, add_statistics
from pipelines.tables import to_table

RULES = parse_rules(
    {
        "rules": [
            {"name": "large", "expression": "area_px > quantile(area_px, 0.7)", "label": "big"},
            {"name": "round", "expression": "eccentricity < 0.5", "label": "dot"},
        ]
    },
    where="x",
)


@pytest.mark.ray
# Ray Data warns of its own settings and of the retry options that it has no other way to take.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_stream_over_actors_gives_what_one_process_gives(embedded_ray, rng):
    from cluster.resources import ActorPool
    from pipelines.labels.flow import label_by_rules

    particles = to_table(
        "particles",
        {
            "particle_id": np.arange(100),
            "mosaic": [f"m{i % 3}" for i in range(100)],
            "instance": np.arange(100),
            "segmentation": ["s"] * 100,
            "area_px": rng.integers(1, 50, 100),
            "eccentricity": rng.random(100),
        },
    )
    how = {"combine": "majority", "min_confidence": 0.0}

    streamed = label_by_rules(particles, RULES, **how, pool=ActorPool(2), batch_n_particles=17)

    assert streamed.equals(WeakLabeller(RULES, **how)(add_statistics(particles, RULES)))
