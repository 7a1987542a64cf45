from __future__ import annotations

import json
from pathlib import Path

from emer_edge.bench.records import SCHEMA
from emer_edge.bench.records.schema import json_schema, schema_text

COMMITTED = Path(__file__).parents[2] / "docs" / "bench-report.schema.json"


def test_the_committed_schema_is_that_of_the_records() -> None:
    assert COMMITTED.read_text() == schema_text(), (
        "the records have changed: python -m emer_edge.bench.records.schema docs/bench-report.schema.json"
    )


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = json_schema()
    used = {part.split('"')[0] for part in json.dumps(schema).split('"#/$defs/')[1:]}
    assert schema["title"] == SCHEMA
    assert used == set(schema["$defs"])


def test_unknown_fields_are_refused_as_the_decoder_does() -> None:
    objects = [each for each in json_schema()["$defs"].values() if each.get("type") == "object"]
    assert len(objects) > 20
    assert [each["title"] for each in objects if each.get("additionalProperties") is not False] == ["ReliabilityBin"]
