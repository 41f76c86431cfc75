"""What `render` leaves in its folder for `run`: the pipeline, which detector, and the sizes that boxes are in.

Holds no secret: passwords are only named, as in the pipeline file.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vedette.contracts.event import BundleReference
from vedette.contracts.pipeline import Pipeline
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.render_settings import FACTS_FILE, RUN_FILE, Broker, Rendering

MOST_BYTES = 8 << 20
Pixels = int
Size = tuple[Pixels, Pixels]


class RenderedFacts(BaseModel):
    """`vedette.json` of a rendered folder. `messages` is where deepstream-app sends, None where nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = 1
    deepstream: str
    board: str
    bundle: BundleReference
    class_names: tuple[str, ...]
    least_score: float = Field(ge=0, le=1)
    interval: int = Field(ge=0)
    camera_size_px: Size
    muxer_size_px: Size
    messages: Broker | None
    pipeline: Pipeline


def render_facts(rendering: Rendering) -> bytes:
    """`vedette.json`."""
    facts = RenderedFacts(
        deepstream=rendering.dialect.version,
        board=rendering.target.title,
        bundle=BundleReference(name=rendering.manifest.name, digest=rendering.bundle_digest),
        class_names=tuple(rendering.manifest.classes),
        least_score=rendering.score,
        interval=rendering.sizing.interval,
        camera_size_px=rendering.demand.camera_size_px,
        muxer_size_px=rendering.sizing.muxer_size_px,
        messages=rendering.broker,
        pipeline=rendering.pipeline,
    )
    # what was left out stays left out: `every` and `fps` may not both be said
    return (facts.model_dump_json(exclude_unset=True, indent=1) + "\n").encode()


def read_facts(folder: Path) -> RenderedFacts:
    """The facts of a folder that `render` wrote.

    Raises:
        DeepStreamError: the folder is none of those, or its facts were changed to something that cannot be.
    """
    path = folder / FACTS_FILE
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES)
        facts = RenderedFacts.model_validate_json(content)
    except OSError as error:
        raise DeepStreamError(
            f"{folder} is no folder that this version of vedette deepstream render wrote ({FACTS_FILE}: "
            f"{error.strerror}); render the pipeline file again"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DeepStreamError(f"{path}: {where}: {first['msg']}; render the pipeline file again") from error
    if not (folder / RUN_FILE).is_file():
        raise DeepStreamError(f"{folder / RUN_FILE} is not there; render the pipeline file again")
    if min(*facts.camera_size_px, *facts.muxer_size_px) < 1:
        raise DeepStreamError(f"{path}: sizes are above 0; render the pipeline file again")
    return facts
