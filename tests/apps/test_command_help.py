"""`--help`: a list has one line for each command, a command's own page its whole docstring, at any terminal width."""

import importlib
import inspect
import re

import pytest

from vedette.apps.cli import run_command

COMMANDS = {
    "data check": "data:check",
    "data convert": "data:convert",
    "data split": "data:split",
    "data stats": "data:stats",
    "data push": "data_transfer:push",
    "data pull": "data_transfer:pull",
    "model new": "model:new",
    "model info": "model:info",
    "model convert": "model_files:convert",
    "model diff": "model_files:diff",
    "model cut": "model_files:cut",
    "model fetch": "model_fetch:fetch",
    "jobs list": "jobs:list_jobs",
    "jobs show": "jobs:show",
    "jobs follow": "jobs:follow",
    "jobs stop": "jobs:stop",
    "jobs fetch": "jobs:fetch",
    "deepstream check": "deepstream:check",
    "deepstream import": "deepstream_import:import_config",
    "deepstream render": "deepstream_render:render",
    "train": "train:train",
    "evaluate": "evaluate:evaluate",
    "pack": "pack:pack",
    "detect": "detect:detect",
    "label": "label:label",
    "run": "run:run",
    "install": "install:install",
    "rollback": "install:rollback",
    "doctor": "doctor:doctor",
    "jetson provision": "jetson:provision",
    "schema": "schema:schema",
    "demo": "demo:demo",
}


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_holds_its_whole_description(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, name = COMMANDS[command].split(":")
    function = getattr(importlib.import_module(f"vedette.apps.{module}"), name)
    description = inspect.getdoc(function).partition("\nParameters\n")[0]

    assert run_command([*command.split(), "--help"]) == 0

    assert _words(description) in _words(capsys.readouterr().out)


def test_paragraphs_of_help_are_filled_to_the_width_of_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["model", "fetch", "--help"])

    text = capsys.readouterr().out.partition("╭")[0].rstrip()
    paragraphs = [paragraph.splitlines() for paragraph in re.split(r"\n\s*\n", text)]
    filled = [len(line.rstrip()) for lines in paragraphs for line in lines[:-1]]
    assert len(filled) >= 5
    assert min(filled) > 60


@pytest.mark.parametrize("group", ["", "data", "model", "jobs", "jetson"])
def test_every_command_stands_in_the_list_with_one_line(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*group.split(), "--help"]) == 0

    listed = capsys.readouterr().out
    for command in COMMANDS:
        above, _, name = command.rpartition(" ")
        if above == group:
            assert re.search(rf"│ {name} +[A-Z].*\.", listed)


def _words(text: str) -> str:
    """The text without line breaks and without Markdown's back quotes."""
    return " ".join(text.replace("`", "").split())
