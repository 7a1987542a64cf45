"""`report.json` as JSON Schema (draft 2020-12), for readers in other languages.

`python -m emer_edge.bench.records.schema docs/bench-report.schema.json` writes it.
"""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from emer_edge.bench.records.report import SCHEMA, BenchReport

__all__ = ["json_schema", "schema_text"]


def json_schema() -> dict[str, Any]:
    """The schema, by msgspec from the records themselves."""
    found: dict[str, Any] = msgspec.json.schema(BenchReport)
    for each in found["$defs"].values():
        if "description" in each:
            each["description"] = cleandoc(each["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **found}


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text())
