"""The flags of `vedette train` that few runs need, apart for their number: how the data are taken, how exactly it is
repeated, what else is written. As given; what was not is False or None.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

DEFAULT_CLASS = "object"


@dataclass(frozen=True)
class TrainFlags:
    """Of a run, wherever it is trained."""

    deterministic: Annotated[
        bool,
        Parameter(negative="", help="The same seed on the same machine gives the same weights, bit for bit."),
    ] = False
    single_class: Annotated[bool, Parameter(negative="", help="Take all classes of the data as one.")] = False
    class_name: Annotated[str | None, Parameter(help=f"What that one class is called. Default: {DEFAULT_CLASS}.")] = (
        None
    )
    leaks: Annotated[
        Literal["refuse", "drop", "keep"] | None,
        Parameter(help="Pictures that are in train and val: refuse them where they would falsify the figures, train "
                       "without them, or keep them. Default: refuse."),
    ] = None  # fmt: skip
    unjudged: Annotated[
        Literal["refuse", "keep"] | None,
        Parameter(help="Classes that train has and val has not, though it should by their number: refuse them, or keep "
                       "them unjudged. Default: refuse."),
    ] = None  # fmt: skip
    tensorboard: Annotated[bool, Parameter(negative="", help="Write event files to OUT/tensorboard too.")] = False
    folds: Annotated[
        int | None,
        Parameter(help="Cross-validate: so many runs, each validated on another part of train and val, in OUT/fold-1 "
                       "and so on, with mean and deviation of their figures in OUT."),
    ] = None  # fmt: skip
    show: Annotated[
        str | None,
        Parameter(help="Serve the report while it trains, at :8080 (this machine only) or HOST:PORT: curves, losses, "
                       "pictures, time left. Who looks keeps the report when the training has ended."),
    ] = None  # fmt: skip

    def asked(self) -> dict[str, Any]:
        """What was given, as settings of a run.

        Raises:
            UsageError: --class-name without --single-class.
        """
        if self.class_name is not None and not self.single_class:
            raise UsageError("--class-name is what --single-class calls all classes; add --single-class")
        name = (self.class_name or DEFAULT_CLASS) if self.single_class else None
        found = {"deterministic": self.deterministic or None, "single_class": name, "leaks": self.leaks}
        found |= {"unjudged": self.unjudged}
        found |= {"tensorboard": self.tensorboard or None}
        return {key: value for key, value in found.items() if value is not None}

    def travelling(self) -> dict[str, str | None]:
        """The same as flags of a job, by name, None where not given.

        Raises:
            UsageError: --folds or --show, which a job does not know.
        """
        if self.show is not None:
            raise UsageError(
                "--show serves what trains here; a job is followed in the terminal: leave out --on or --show"
            )
        if self.folds is not None:
            raise UsageError(
                "--folds trains here, one run after another; a job trains one run: leave out --on or --folds"
            )
        self.asked()
        given = {
            "deterministic": self.deterministic,
            "single-class": self.single_class,
            "tensorboard": self.tensorboard,
        }
        return {
            **{name: "true" if value else None for name, value in given.items()},
            "class-name": self.class_name,
            "leaks": self.leaks,
            "unjudged": self.unjudged,
        }
