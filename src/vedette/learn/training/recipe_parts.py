"""What a run is made of by its recipe: the first weights, the way to learn, the batches, the schedule."""

from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.training.arithmetic import Arithmetic
from vedette.learn.training.darknet_method import (
    DarknetBatches,
    DarknetMethod,
    DarknetSchedule,
    draw_darknet_weights,
)
from vedette.learn.training.learner import Learner, prepare_heads
from vedette.learn.training.loading import BatchMaker, PictureStore
from vedette.learn.training.method import VedetteMethod
from vedette.learn.training.peers import Peers
from vedette.learn.training.schedule import Schedule
from vedette.learn.training.settings import TrainSettings


def start_network(network: DarknetNetwork, settings: TrainSettings, loaded_layers: int) -> None:
    """Draw or set what no weights were loaded for."""
    if settings.darknet is None:
        prepare_heads(network, loaded_layers)
    else:
        draw_darknet_weights(network, loaded_layers)


def learner_for(
    network: DarknetNetwork,
    settings: TrainSettings,
    class_weights: tuple[float, ...] | None,
    arithmetic: Arithmetic,
    peers: Peers,
) -> Learner:
    """One that learns by the recipe."""
    if settings.darknet is not None:
        return Learner(network, DarknetMethod(settings.darknet, network.plan, class_weights), arithmetic, peers)

    def count_all(positives: int) -> int:
        return int(peers.sum([positives])[0])

    return Learner(network, VedetteMethod(settings.recipe, network.plan, count_all, class_weights), arithmetic, peers)


def batches_for(settings: TrainSettings, store: PictureStore, peers: Peers) -> BatchMaker:
    """Pictures changed as the recipe says; of several processes each has its share."""
    share = (peers.rank, peers.count)
    if settings.darknet is None:
        return BatchMaker(store, settings.batch, settings.seed, settings.recipe.augment, share=share)
    per_epoch = -(-len(store) // settings.batch)
    return DarknetBatches(store, settings.darknet, settings.seed, settings.steps(per_epoch), share=share)


def schedule_for(settings: TrainSettings, per_epoch: int) -> Schedule | DarknetSchedule:
    """The learning rate over the run."""
    total, recipe = settings.steps(per_epoch), settings.recipe
    if settings.darknet is not None:
        return DarknetSchedule(settings.darknet, total, settings.seed, settings.time_budget_s)
    return Schedule(
        total, min(recipe.warm_up_steps, max(total // 5, 1)), 1 - recipe.whole_pictures, settings.time_budget_s
    )
