"""What a run is given, looked at before any picture is read: all that can be refused by then is refused here.

The data's labels, splits and classes, the cfg, the weights to start from, what they are to hold. Pictures are looked
through, and the network is built, in `prepare`. On resuming, the run's own cfg is taken, and its classes must be the
data's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import DarknetWeights
from vedette.learn.data.samples import DataSet
from vedette.learn.training.checkpoint import has_checkpoint
from vedette.learn.training.class_weights import check_named_classes
from vedette.learn.training.errors import ResumeError
from vedette.learn.training.freezing import count_frozen
from vedette.learn.training.new_network import Draft, draft_network, finish_cfg, read_starting_weights
from vedette.learn.training.recipes import with_length_for
from vedette.learn.training.run_folder import CFG_FILE, RunFolder
from vedette.learn.training.settings import TrainSettings
from vedette.learn.training.split_classes import check_classes
from vedette.learn.training.training_data import Splits, choose_splits, read_training_data


@dataclass(frozen=True, slots=True)
class Intake:
    """What `prepare` goes on with."""

    settings: TrainSettings
    resume: bool
    data: DataSet
    named: tuple[str, ...]  # the classes as the data names them, which `--single-class` makes one
    splits: Splits
    warnings: tuple[str, ...]  # about classes
    draft: Draft
    weights: tuple[DarknetWeights, str] | None = None  # to start from, and a line about them


def take_in(settings: TrainSettings, run: RunFolder, *, resume: bool) -> Intake:
    """Read what is not pictures.

    Raises:
        InputError: data, cfg or weights that cannot be used; each says which and why.
    """
    data, named = read_training_data(settings)
    if resume:
        check_same_classes(run.read_settings(), data)
        run.read_cfg()  # which says it, if it is not there
    splits = choose_splits(data, settings.seed, settings.fold)
    warnings = () if resume else check_classes(data, splits, settings.unjudged)
    settings = with_length_for(settings, len(data.classes))
    draft, weights = check_network(settings, run, data.classes, resume=resume)
    return Intake(settings, resume, data, named, splits, warnings, draft, weights)


def check_network(
    settings: TrainSettings, run: RunFolder, classes: Sequence[str], *, resume: bool
) -> tuple[Draft, tuple[DarknetWeights, str] | None]:
    """The network for these classes, but for its anchors, and the weights it starts from, with a line about them.

    Raises:
        InputError: a cfg or weights that cannot be used, layers that cannot be held, weights of classes that are none.
    """
    check_named_classes(settings.class_weights, classes)
    draft = draft_network(replace(settings, model=str(run.path / CFG_FILE)) if resume else settings, len(classes))
    if settings.weights is None or (resume and has_checkpoint(run.path)):
        return draft, None
    text, _ = finish_cfg(draft, settings, len(classes), np.zeros((0, 2), np.float32))  # any anchors will do
    plan = plan_network(parse_cfg(text, CFG_FILE))
    weights = read_starting_weights(settings.weights, plan)
    if not resume:
        count_frozen(settings.freeze, plan, weights[0].layers_loaded)
    return draft, weights


def check_same_classes(begun: Mapping[str, object], data: DataSet) -> None:
    """Refuse to go on with other classes than the run was begun with.

    Raises:
        ResumeError: says what differs.
    """
    classes = list(data.classes)
    if begun.get("classes") != classes:
        raise ResumeError(f"the run was begun with the classes {begun.get('classes')}, the data now has {classes}")
