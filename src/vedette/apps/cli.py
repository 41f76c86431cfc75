"""The `vedette` command: names, help and exit codes. Each command lives in a module of its own, imported when it runs.

Exit codes: 0 good, 1 the input or result is bad, 2 wrong usage, 130 Ctrl-C. Set VEDETTE_DEBUG=1 for a traceback with
an unexpected error.
"""

import os
import sys

from cyclopts import App, CycloptsError, Parameter

from vedette.contracts.errors import VedetteError
from vedette.version import __version__

EXIT_BAD, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def build_app() -> App:
    """The command tree; modules are named, not imported, so that `vedette --help` stays quick."""
    app = App(
        name="vedette",
        help="Train a Darknet-family detector, pack it, and watch many cameras with it.",
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,  # run_command says it in one line
        default_parameter=Parameter(negative=()),  # no --no-json, no --empty-camera
    )
    data = App(
        name="data", help="Labelled pictures (VOC, Darknet, YOLO, COCO): check, convert, split, show, push, pull."
    )
    data.command(
        "vedette.apps.data:check", name="check", help="Report every problem of a data set, by file and object."
    )
    data.command("vedette.apps.data:convert", name="convert", help="Convert between VOC, Darknet, YOLO and COCO.")
    data.command("vedette.apps.data:split", name="split", help="Split into train, val and test; seeded, by class.")
    data.command("vedette.apps.data:stats", name="stats", help="Write a page of charts and example pictures.")
    data.command("vedette.apps.data_transfer:push", name="push", help="Put a data set into S3; only what changed goes.")
    data.command("vedette.apps.data_transfer:pull", name="pull", help="Bring a version of a data set from S3.")
    app.command(data)
    model = App(name="model", help="Write, inspect, convert, compare and fetch Darknet networks.")
    model.command("vedette.apps.model:new", name="new", help="Write a cfg for a family, your classes and input size.")
    model.command("vedette.apps.model:info", name="info", help="Layers, parameters, BFLOPs and heads of a cfg.")
    model.command("vedette.apps.model_files:convert", name="convert", help="Darknet weights to ONNX, or back.")
    model.command("vedette.apps.model_files:diff", name="diff", help="How two networks and their weights differ.")
    model.command("vedette.apps.model_files:cut", name="cut", help="Keep the weights of the first layers only.")
    model.command("vedette.apps.model_fetch:fetch", name="fetch", help="Download well-known public weights.")
    app.command(model)
    jobs = App(name="jobs", help="List, show, follow, stop and fetch training jobs on Amazon SageMaker.")
    jobs.command("vedette.apps.jobs:list_jobs", name="list", help="Training jobs of the account, newest first.")
    jobs.command("vedette.apps.jobs:show", name="show", help="States, figures, time and cost of a job; why it failed.")
    jobs.command("vedette.apps.jobs:follow", name="follow", help="Follow a job as if it ran here; fetch its run.")
    jobs.command("vedette.apps.jobs:stop", name="stop", help="Ask a job to end and save its model.")
    jobs.command("vedette.apps.jobs:fetch", name="fetch", help="Bring a job's model as a run folder.")
    app.command(jobs)
    app.command(_deepstream_commands())
    app.command("vedette.apps.train:train", name="train", help="Train a detector on labelled pictures.")
    _add_judging_commands(app)
    app.command("vedette.apps.pack:pack", name="pack", help="Pack weights as a checked bundle for the edge.")
    app.command("vedette.apps.detect:detect", name="detect", help="Detect in pictures with a bundle.")
    app.command("vedette.apps.label:label", name="label", help="Pre-label pictures with a bundle, as VOC with scores.")
    app.command("vedette.apps.run:run", name="run", help="Watch cameras: detect, track, count, send events.")
    _add_box_commands(app)
    app.command("vedette.apps.capacity:capacity", name="capacity", help="How many cameras this box can watch.")
    app.command("vedette.apps.simulator:simulator", name="simulator", help="Rehearse cloud training: AWS, simulated.")
    app.command("vedette.apps.schema:schema", name="schema", help="Print the JSON Schema of events or pipeline files.")
    app.command("vedette.apps.demo:demo", name="demo", help="The whole loop on a drawn factory, in six minutes.")
    return app


def _add_judging_commands(app: App) -> None:
    app.command("vedette.apps.evaluate:evaluate", name="evaluate", help="Measure mAP of a bundle or Darknet weights.")
    app.command("vedette.apps.compare:compare", name="compare", help="Set training runs or evaluations side by side.")


def _add_box_commands(app: App) -> None:
    app.command("vedette.apps.counts:counts", name="counts", help="What was counted so far: a table, CSV, JSON.")
    token = App(name="token", help="The token that the live page asks for beyond this machine.")
    token.command("vedette.apps.token:new", name="new", help="Make a new one; the one before opens nothing more.")
    app.command(token)
    app.command("vedette.apps.doctor:doctor", name="doctor", help="What this box is, lacks, and how to mend it.")
    app.command("vedette.apps.install:install", name="install", help="Install a bundle here, once it is proved.")
    app.command("vedette.apps.install:rollback", name="rollback", help="Go back to the bundle that ran before.")
    jetson = App(name="jetson", help="NVIDIA Jetson: from a new board to one that watches.")
    jetson.command("vedette.apps.jetson:provision", name="provision", help="The steps, which are done, and commands.")
    app.command(jetson)


def _deepstream_commands() -> App:
    deepstream = App(
        name="deepstream", help="NVIDIA DeepStream: render a pipeline file, run it; check, import configurations."
    )
    deepstream.command("vedette.apps.deepstream_render:render", name="render", help="Render a pipeline for a board.")
    deepstream.command("vedette.apps.deepstream_run:run_app", name="run", help="Run a rendered folder; make events.")
    deepstream.command("vedette.apps.deepstream:check", name="check", help="Check configurations, line by line.")
    deepstream.command("vedette.apps.deepstream_import:import_config", name="import", help="Make it a pipeline file.")
    return deepstream


def main(argv: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run_command(sys.argv[1:] if argv is None else argv))


def run_command(argv: list[str]) -> int:
    """Run one command; every error becomes one message on standard error and an exit code."""
    try:
        app = build_app()
        if not {"--help", "-h"}.isdisjoint(argv):
            explain_in_full(app, argv)
        result = app(argv, exit_on_error=False, print_error=True, result_action="return_value")
        return result if isinstance(result, int) and not isinstance(result, bool) else 0
    except CycloptsError:
        return EXIT_USAGE  # cyclopts has printed it
    except VedetteError as error:
        sys.stderr.write(f"vedette: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("vedette: interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no second error when Python flushes at exit
        return EXIT_BAD
    except ModuleNotFoundError as error:
        extra = missing_extra(error.name or "")
        if extra is None:
            raise
        sys.stderr.write(
            f"vedette: this command needs '{error.name}'; install it with: pip install 'vedette[{extra}]'\n"
        )
        return EXIT_BAD


def explain_in_full(app: App, argv: list[str]) -> None:
    """Let a command's own --help show its whole docstring: what stands above is the line for lists of commands.

    As Markdown, since paragraphs are then filled to the terminal's width instead of broken where the source breaks.
    """
    for command in app.parse_commands(argv)[1]:
        function = command.default_command
        if function is not None and function.__module__.startswith("vedette."):
            command.help, command.help_format = function.__doc__, "markdown"


def missing_extra(module: str) -> str | None:
    """Which optional extra brings a missing module."""
    top = module.partition(".")[0]
    if top in {"torch", "onnx", "safetensors", "matplotlib", "jinja2", "boto3", "botocore"}:
        return "learn"
    if top in {"av", "onnxruntime", "openvino", "paho", "psutil", "argon2", "starlette", "uvicorn"}:
        return "edge"
    if top == "ray":
        return "ray"
    return None
