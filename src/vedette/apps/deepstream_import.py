"""`vedette deepstream import`: an existing deepstream-app configuration as a pipeline file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vedette.contracts.errors import UsageError


def import_config(
    config: Path,
    *,
    out: Annotated[Path | None, Parameter(help="the pipeline file to write; standard output when left out")] = None,
    bundle: Annotated[str | None, Parameter(help="the bundle that detects; its folder or s3://BUCKET/PREFIX")] = None,
    json: Annotated[bool, Parameter(help="print pipeline and notes as one JSON document")] = False,
) -> int:
    """Turn a deepstream-app configuration (key file or YAML) into a pipeline file for `vedette run`.

    Reads the application file and the nvinfer, nvdsanalytics, message converter and broker files it names. Sources,
    interval, thresholds, lines, zones and an MQTT or Kafka broker are carried over; everything that is not is told on
    standard error, with its file and line. Passwords are not copied: each becomes the name of an environment variable.
    Without --bundle the notes say how to pack the model.
    """
    import yaml

    from vedette.apps.console import print_json, print_line, warn
    from vedette.apps.pipeline_errors import check_pipeline
    from vedette.apps.whole_files import write_whole
    from vedette.edge.deepstream.importing import import_app

    if out is not None and out.exists():
        raise UsageError(f"{out} is there already; give another name")
    imported = import_app(config, bundle)
    check_pipeline(imported.document, str(config))
    text = f"# from {config.name}, by vedette deepstream import\n" + yaml.safe_dump(
        imported.document, sort_keys=False, allow_unicode=True, width=120
    )
    if out is not None:
        write_whole(out, text.encode())
    if json:
        print_json({"pipeline": imported.document, "notes": imported.notes})
        return 0
    for note in imported.notes:
        warn(note)
    if out is None:
        print_line(text.rstrip("\n"))
    else:
        cameras, notes = len(imported.document["cameras"]), len(imported.notes)
        print_line(f"{out}: {cameras} {'camera' if cameras == 1 else 'cameras'}; {notes} notes")
    return 0
