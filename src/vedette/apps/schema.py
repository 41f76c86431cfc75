"""`vedette schema`: the JSON Schema of what Vedette sends and reads, made from `contracts`."""

from typing import Annotated, Literal

from cyclopts import Parameter


def schema(
    what: Annotated[Literal["event", "pipeline"], Parameter(help="what to describe: event or pipeline")],
) -> None:
    """Print the JSON Schema (2020-12) of an event as sent, or of a pipeline file.

    An editor with YAML support completes and checks a pipeline file whose first line is
    `# yaml-language-server: $schema=pipeline.schema.json`.
    """
    from vedette.apps.console import print_json
    from vedette.contracts import event, pipeline

    print_json(event.json_schema() if what == "event" else pipeline.json_schema())
