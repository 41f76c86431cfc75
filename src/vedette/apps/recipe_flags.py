"""The flags of `vedette train` that say how a network learns; as given, what was not is None."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter


@dataclass(frozen=True)
class RecipeFlags:
    """Of a run, wherever it is trained."""

    recipe: Annotated[
        str | None,
        Parameter(help="vedette; darknet, which follows the cfg's [net] and [yolo] or [region] (rate, burn-in, "
                       "steps, jitter, iou_loss and so on); or a YAML file with values of your own. Default: vedette. "
                       "Every run leaves its own in OUT/recipe.yaml."),
    ] = None  # fmt: skip
    freeze: Annotated[
        str | None,
        Parameter(help="Keep layers as --weights brought them: backbone (all it brought before the first head), or a "
                       "number of layers from the first."),
    ] = None  # fmt: skip
    unfreeze_after: Annotated[
        str | None, Parameter(help="Let them learn too after so many epochs (5) or so much of the run (30%).")
    ] = None
    class_weights: Annotated[
        str | None,
        Parameter(help="How much an object counts: balanced (rare classes as much as common ones), name=2,other=0.5, "
                       "or a YAML file of that."),
    ] = None  # fmt: skip

    def asked(self) -> dict[str, str]:
        """What was given, as settings of a run."""
        found = {"recipe": self.recipe, "freeze": self.freeze}
        found |= {"unfreeze_after": self.unfreeze_after, "class_weights": self.class_weights}
        return {key: value for key, value in found.items() if value is not None}

    def travelling(self) -> dict[str, str]:
        """The same as flags of a job, by name; files among them are sent."""
        return {name.replace("_", "-"): value for name, value in self.asked().items()}
