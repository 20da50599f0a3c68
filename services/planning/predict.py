"""What a prediction would do."""

from typing import TYPE_CHECKING

from cluster.resources import Node
from pipelines.archive import Archive
from services.planning.learning import CROP_PIXEL_BYTES, on_device
from services.planning.machines import looking_glass
from services.planning.rates import predict_rate
from services.planning.work import Work, in_words

if TYPE_CHECKING:
    from services.verbs.predict import Settings


def plan_work(archive: Archive, settings: "Settings", nodes: list[Node]) -> Work:
    """Plan a prediction.

    Raises
    ------
    LabelError, ModelError, SettingsError, NoRoomError
        If it could not be done.
    """
    from pipelines.classifiers.flow import classifier_pool
    from pipelines.ledger import DONE, read_entries
    from services.model_registry import load_model
    from services.selection import select_mosaics
    from services.verbs.predict import STAGE, plan_particles, wants_ray

    names = select_mosaics(archive, settings.mosaic).chosen
    with looking_glass(archive) as glass:
        model = load_model(glass, settings.model, tracking_uri=settings.tracking_uri)
    parts, keys = plan_particles(archive, model, names)
    done = read_entries(archive, STAGE, status=DONE)
    n_all = sum(part.num_rows for part in parts.values())
    n_left = sum(part.num_rows for name, part in parts.items() if keys[name] not in done)
    where, cores, gpus = "this process", 1.0, 0.0
    if wants_ray(settings, n_left):
        pool = classifier_pool(nodes, settings.wish)
        where, cores, gpus = in_words(pool), pool.size * pool.num_cpus, pool.size * pool.num_gpus
        n_workers = pool.size
    else:
        n_workers = 1
    view = model.config["view"]
    rate = predict_rate(
        archive,
        network=model.config["network"],
        input_px=view["input_px"],
        looks=int(model.config.get("n_rotations", 1)),
    )
    rate = on_device(rate, gpus > 0)
    return Work(
        "predict",
        "particles",
        n_all - n_left,
        n_left,
        where=where if n_left else "nothing to do",
        cores=cores,
        gpus=gpus,
        seconds=n_left * rate.seconds / n_workers,
        rate=rate.source if n_left else "",
        read_bytes=n_left * view["read_px"] ** 2 * CROP_PIXEL_BYTES,
    )
