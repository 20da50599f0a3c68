"""What learning from wrong labels costs: two networks, the loop around them, sweeps."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cluster.session import connect
from pipelines.classifiers.methods import method_type
from pipelines.classifiers.networks import build_network
from pipelines.classifiers.plan import describe_network, plan_view
from pipelines.sweeps.flow import Room, run_trials
from pipelines.sweeps.plan import NetworkChoice, SweepPlan, Trial, Variant, plan_trials
from pipelines.sweeps.study_set import LEARN, TEST, StudySet, write_study_set
from pipelines.sweeps.trial import run_trial
from pipelines.training.augmentation import Augmentation, augment, draw_uniforms, noise_bank
from pipelines.training.loop import LoopSettings, make_optimiser, train_epoch
from pipelines.training.method import Batch, Method, TrainingSet
from pipelines.training.phases import Phase, plan_epochs
from tests.benchmarks.record import Measurement

BATCH, N_BATCHES, INPUT_PX, CROP_PX = 64, 20, 64, 98
N_REPEATS = 5


def run() -> list[Measurement]:
    images = torch.randn(N_BATCHES, BATCH, 1, INPUT_PX, INPUT_PX)
    labels = torch.randint(0, 2, (N_BATCHES, BATCH))
    kinds = {name: make_method(name, labels) for name in ("ce", "co-teaching")}
    crops = torch.randn(N_BATCHES, BATCH, 1, CROP_PX, CROP_PX)
    works: dict[str, Callable[[], object]] = {
        "ce": lambda: our_epoch(kinds["ce"], augmented(crops), labels),
        "co-teaching": lambda: our_epoch(kinds["co-teaching"], augmented(crops), labels),
        "loop": lambda: our_epoch(kinds["ce"], images, labels),
        "bare": lambda: bare_epoch(make_network(), images, labels),
    }
    for work in works.values():
        work()
    # Taken in turns: whatever else the machine does meets all of them.
    seconds = {name: min(times) for name, times in in_turns(works).items()}
    return [
        Measurement(
            "an epoch of co-teaching, augmentation included, against one of one network",
            f"{seconds['co-teaching']:.2f} s",
            f"{seconds['ce']:.2f} s",
            seconds["co-teaching"] / seconds["ce"],
            "at most",
            1.9,
        ),
        Measurement(
            "an epoch of the training loop, against a bare PyTorch loop",
            f"{seconds['loop']:.2f} s",
            f"{seconds['bare']:.2f} s",
            seconds["loop"] / seconds["bare"],
            "at most",
            1.05,
        ),
        sweeping(),
    ]


def in_turns(works: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(N_REPEATS):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    return times


def make_network() -> nn.Module:
    torch.manual_seed(0)
    description = describe_network(
        "polar", "slim", mirrored_class=[1, 0], antisymmetric=True, dropout=0.0, n_networks=1
    )
    network = build_network(description).networks[0]
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def make_method(name: str, labels: Tensor) -> Method:
    kind = method_type(name)
    flat = labels.flatten()
    everything = TrainingSet(flat, torch.arange(len(flat)), torch.zeros_like(flat).bool(), 2)
    options = {"error_rate": 0.3} if name == "co-teaching" else {}
    return kind([make_network() for _ in range(kind.n_networks)], everything, options=options)


def augmented(crops: Tensor) -> Iterator[Tensor]:
    """Augment batches as training does, when they are asked for."""
    noise = noise_bank(0, torch.device("cpu"))
    for number, batch in enumerate(crops):
        uniforms = draw_uniforms(np.arange(BATCH) + number * BATCH, seed=0, epoch=0)
        changes = Augmentation(any_rotation=True)
        yield augment(batch, uniforms, changes, input_px=INPUT_PX, noise=noise)


def our_epoch(method: Method, images: Iterable[Tensor], labels: Tensor) -> float:
    settings = LoopSettings(n_epochs=1)
    numbers = torch.arange(labels.numel()).view_as(labels)
    return train_epoch(
        method,
        make_optimiser(method, settings),
        (Batch((x,), y, i) for x, y, i in zip(images, labels, numbers, strict=True)),
        epoch=plan_epochs([Phase(1)])[0],
        n_steps=N_BATCHES,
        settings=settings,
        predict_all=lambda: torch.zeros(1),
        seed=0,
        device=torch.device("cpu"),
    )


def bare_epoch(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    network.train()
    for x, y in zip(images, labels, strict=True):
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(x), y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()


def sweeping(n_trials: int = 24) -> Measurement:
    """Run small trials on two cores, Ray's start and all, and one after another on one."""
    with tempfile.TemporaryDirectory() as place:
        study = draw_study(Path(place) / "study")
        plan = SweepPlan(
            variants=[Variant("ce", "ce"), Variant("gce", "gce")],
            error_rates=[0.2, 0.4],
            seeds=range(n_trials // 4),
            noise="sym_pair",
            n_train=400,
            n_select=40,
            n_clean=0,
            n_test=0,
            loop=LoopSettings(n_epochs=8),
            network=NetworkChoice(antisymmetric=True),
        )
        trials = {trial.key(study.digest): trial for trial in plan_trials(plan)}
        started = time.perf_counter()
        with connect("local", num_cpus=2):
            run_trials(
                study.folder,
                trials,
                folder=Path(place) / "ours",
                on_result=lambda key, result: None,
                room=Room(2),
            )
        ours = time.perf_counter() - started
        baseline = one_after_another(study, list(trials.values()), Path(place))
    return Measurement(
        f"a sweep of {n_trials} small trials on 2 cores, against one after another",
        f"{ours:.1f} s",
        f"{baseline:.1f} s",
        baseline / ours,
        "at least",
        1.7,
    )


def one_after_another(study: StudySet, trials: list[Trial], place: Path) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.perf_counter()
    for number, trial in enumerate(trials):
        run_trial(study, trial, place / str(number))
    torch.set_num_threads(threads)
    return time.perf_counter() - started


def draw_study(folder: Path) -> StudySet:
    """Draw noise: what a trial costs does not depend on what crops show."""
    rng = np.random.default_rng(0)
    augmentation = Augmentation(any_rotation=True)
    view = plan_view(64.0, in_nm=False, input_px=64, aligned=False, augmentation=augmentation)
    n_learn, n_test = 440, 200
    n = n_learn + n_test
    return write_study_set(
        folder,
        rng.normal(size=(n, view.read_px, view.read_px)).astype(np.float16),
        particle_ids=np.arange(n),
        true_labels=np.arange(n) % 2,
        groups=np.repeat([LEARN, TEST], [n_learn, n_test]),
        difficulty=np.zeros(n),
        order=np.arange(n, dtype=np.float64),
        classes=["left", "right"],
        mirrored_class=[1, 0],
        view=view,
        augmentation=augmentation,
        origin={"drawn": "noise"},
    )
