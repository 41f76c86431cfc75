"""`vedette schema` prints what `contracts` says."""

import json

import pytest

from vedette.apps.cli import run_command
from vedette.contracts import event, pipeline


@pytest.mark.parametrize(("what", "module"), [("event", event), ("pipeline", pipeline)])
def test_the_schema_is_printed_as_one_json_document(what, module, capsys):
    assert run_command(["schema", what]) == 0
    assert json.loads(capsys.readouterr().out) == module.json_schema()


def test_an_unknown_name_is_wrong_usage(capsys):
    assert run_command(["schema", "bundle"]) == 2
    assert "bundle" in capsys.readouterr().err
