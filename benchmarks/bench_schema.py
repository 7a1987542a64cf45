"""Write the JSON Schema of bench's reports: `python -m benchmarks.bench_schema`."""

from __future__ import annotations

import json
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.bench.records.report_records import SCHEMA, BenchReport

_COMMITTED: Final = Path(__file__).parents[1] / "docs" / "bench-report.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema, by msgspec from the records themselves."""
    schema: dict[str, Any] = msgspec.json.schema(BenchReport)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **schema}


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    _COMMITTED.write_text(schema_text())
