"""What must be there before the first step, once it is known what is given (`intake`): the pictures in memory, the
network, the rules of validation.

Pictures of a `test` split are never opened here but for the digest. Without a `val` split one fifth of the training
pictures becomes it, drawn by class from the seed. On resuming, the run's own cfg, splits and classes are taken and
the data must be the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vedette.contracts.bundle import Thresholds
from vedette.contracts.errors import InputError
from vedette.contracts.frame import ResizeMode
from vedette.contracts.ports import Progress
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan, decode_spec, nms_kind_of, plan_network
from vedette.learn.data.samples import DataSet
from vedette.learn.training.class_weights import class_weights
from vedette.learn.training.data_check import DataCheck, check_data
from vedette.learn.training.errors import ResumeError
from vedette.learn.training.evaluate import SCORE_FLOOR, detections_needed
from vedette.learn.training.freezing import count_frozen, layers_held, unfreezing_in_words
from vedette.learn.training.intake import Intake
from vedette.learn.training.leaks import LeakChoice
from vedette.learn.training.loading import MEMORY_BYTES, PictureStore
from vedette.learn.training.new_network import Draft, finish_cfg
from vedette.learn.training.processors import reading_threads
from vedette.learn.training.recipe_parts import start_network
from vedette.learn.training.run_folder import CFG_FILE, RunFolder
from vedette.learn.training.settings import TrainSettings
from vedette.learn.training.split_classes import TRAIN, VAL, check_classes
from vedette.learn.training.training_data import Splits, leave_out
from vedette.vision.postprocess import DetectionRules

FROZEN = "frozen_layers"  # in settings.json


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a run works on."""

    settings: TrainSettings
    data: DataSet
    data_digest: str
    splits: Mapping[str, tuple[str, ...]]
    train: PictureStore
    val: PictureStore
    cfg_text: str
    network: DarknetNetwork
    rules: DetectionRules
    check: DataCheck
    named: tuple[str, ...]  # the classes as the data names them, which `--single-class` makes one
    frozen_layers: int = 0
    class_weights: tuple[float, ...] | None = None

    @property
    def plan(self) -> NetworkPlan:
        return self.network.plan

    def layers_held(self, epochs_done: float, fraction: float) -> int:
        """How many layers stay as they are at this point of the run."""
        return layers_held(self.frozen_layers, self.settings.unfreeze_after, epochs_done, fraction)


def prepare(intake: Intake, run: RunFolder, progress: Progress, *, processes: int = 1) -> Prepared:
    """Read every picture and build everything; of several `processes` on this machine each keeps its part of the memory
    for pictures.

    Raises:
        InputError: pictures or labels that cannot be used; says which and why.
    """
    settings, resume, draft = intake.settings, intake.resume, intake.draft
    data, named, splits = intake.data, intake.named, dict(intake.splits)
    stores = _fill_stores(data, splits, draft, MEMORY_BYTES // processes)
    check = check_data(data, stores, intake.warnings, progress, reading_threads())
    if not resume:
        for line in check.lines():
            progress.say(line)
        check.refuse_leaks(settings.leaks)
    if settings.leaks is LeakChoice.DROP:
        leave_out(check.leaking, splits, stores)
        if not resume:
            progress.say(f"  --leaks drop: {len(check.leaking)} left out of training, {len(splits[TRAIN])} stay")
            check_classes(data, splits, settings.unjudged)  # a class may have been in those pictures alone
    train, val = stores[TRAIN], stores[VAL]
    sizes = box_sizes(train)
    if not len(sizes):
        raise InputError(f"none of the {len(train)} training pictures of {settings.data} has a labelled object")
    if not any((~val.get(index).truths.ignored).any() for index in range(len(val))):
        raise InputError(
            f"none of the {len(val)} validation pictures of {settings.data} has an object that counts (difficult "
            "and crowd objects do not), so no epoch could be judged; label some, or choose other splits"
        )
    cfg_text, line = finish_cfg(draft, settings, len(data.classes), sizes)
    progress.say(line)
    plan = plan_network(parse_cfg(cfg_text, CFG_FILE))
    network, frozen = _build(intake, run, plan, progress)
    weights_of_classes = class_weights(settings.class_weights, data.classes, train)
    if weights_of_classes is not None:
        told = ", ".join(f"{name} {weight:.3g}" for name, weight in zip(data.classes, weights_of_classes, strict=True))
        progress.say(f"an object counts: {told}")
    rules = DetectionRules(
        decode_spec(plan),
        data.classes,
        SCORE_FLOOR,
        Thresholds().nms_iou,
        nms_kind_of(plan),
        detections_needed(len(data.classes)),
    )
    digest = data.digest()
    return Prepared(
        settings, data, digest, splits, train, val, cfg_text, network, rules, check, named, frozen, weights_of_classes
    )


def _build(intake: Intake, run: RunFolder, plan: NetworkPlan, progress: Progress) -> tuple[DarknetNetwork, int]:
    """The network at its beginning, and how many layers of it are held; a resumed run's weights come later."""
    settings = intake.settings
    torch.manual_seed(settings.seed)
    network = DarknetNetwork(plan)
    loaded = 0
    if intake.weights is not None:
        weights, line = intake.weights
        loaded = network.load_darknet(weights)
        progress.say(line)
    start_network(network, settings, loaded)
    if intake.resume:
        return network, int(run.read_settings().get(FROZEN, 0))
    frozen = count_frozen(settings.freeze, plan, loaded)
    if frozen:
        until = "" if settings.unfreeze_after is None else f" until {unfreezing_in_words(settings.unfreeze_after)}"
        progress.say(f"layers 0 to {frozen - 1} stay as they were loaded{until}")
    return network, frozen


def _fill_stores(data: DataSet, splits: Splits, draft: Draft, memory_bytes: int) -> dict[str, PictureStore]:
    """A store for each split, nothing read yet."""
    resize = ResizeMode.LETTERBOX if draft.letter_box else ResizeMode.STRETCH
    class_ids = {name: index for index, name in enumerate(data.classes)}
    by_name = {sample.name: sample for sample in data.samples}
    return {
        part: PictureStore([by_name[name] for name in splits[part]], class_ids, draft.size_px, resize, memory_bytes)
        for part in (TRAIN, VAL)
    }


def box_sizes(store: PictureStore) -> NDArray[np.float32]:
    """Widths and heights (n, 2) of all objects that count, in network-input pixels."""
    sizes = [np.zeros((0, 2), np.float32)]
    for index in range(len(store)):
        labelled = store.get(index).labelled
        boxes = labelled.boxes_xyxy_px[labelled.class_ids >= 0]
        sizes.append(boxes[:, 2:] - boxes[:, :2])
    return np.concatenate(sizes)


def check_same_run(begun: Mapping[str, object], splits: Mapping[str, tuple[str, ...]], prepared: Prepared) -> None:
    """Refuse to go on with other data than the run was begun with.

    Raises:
        ResumeError: says what differs.
    """
    if begun.get("data_digest") != prepared.data_digest:
        raise ResumeError(
            f"the data in {prepared.data.root} is not what the run was begun with (its digest differs); "
            "bring it back, or train anew in another folder"
        )
    if dict(splits) != dict(prepared.splits):
        raise ResumeError(
            f"the splits of {prepared.data.root} are not those that the run was begun with (its split.json); "
            "bring them back, or train anew in another folder"
        )
