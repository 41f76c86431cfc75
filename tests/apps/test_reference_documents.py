"""The examples of the reference documents are what they say."""

import json
import re
from pathlib import Path

from vedette.apps.pipeline_file import parse_pipeline
from vedette.contracts.event import Event

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def example(document, language):
    return re.search(rf"```{language}\n(.*?)```", (REFERENCE / document).read_text(), re.DOTALL).group(1)


def test_the_documented_pipeline_is_a_pipeline():
    pipeline = parse_pipeline(example("pipeline.md", "yaml"))
    assert [camera.name for camera in pipeline.cameras] == ["belt", "gate"]
    assert [target.kind for target in pipeline.events] == ["file", "mqtt", "kafka"]


def test_the_documented_event_is_an_event():
    event = Event.from_json(json.dumps(json.loads(example("events.md", "json"))))
    assert event.data.line == event.subject == "gate"
