"""Write the JSON Schemas of what programs read, from the types that write it: `python -m benchmarks.json_schemas`.

`docs/` has them to read, the package the same on one line, beside the types. msgspec makes them; descriptions come from
the docstrings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.bench.records.report_records import SCHEMA, BenchReport
from emer_edge.core.results import RESULT_SCHEMA, Gap, Result
from emer_edge.core.session_facts import FromBaseline, Marker
from emer_edge.runtime.outputs.page.events import EVENTS, PAGE_SCHEMA

ROOT: Final = Path(__file__).parents[1]
_WRITTEN_WHOLE: Final = {kind.__name__ for kind in (Result, Gap, Marker, FromBaseline)}  # nulls and defaults, too
_DRAFT: Final = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def bench_schema() -> dict[str, Any]:
    """Of bench's report."""
    schema: dict[str, Any] = msgspec.json.schema(BenchReport)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    _null_last(schema)
    return {**_DRAFT, "title": SCHEMA, **schema}


def result_schema() -> dict[str, Any]:
    """Of a result, as `Result.to_dict` gives it."""
    (reference,), definitions = components(Result)
    return {**_DRAFT, "title": RESULT_SCHEMA, **reference, "$defs": definitions}


def page_schema() -> dict[str, Any]:
    """Of the page's events, each as an object of its name and its data; `$defs` has the data alone."""
    references, definitions = components(Result, *EVENTS.values())
    of_result, *of_events = references
    choices = []
    for name, of_event in zip(EVENTS, of_events, strict=True):
        data = {"allOf": [of_result, of_event]} if name == "result" else of_event
        properties = {"event": {"const": name}, "data": data}
        choices.append({"type": "object", "required": ["event", "data"], "properties": properties})
    definitions["Hello"]["properties"]["schema"]["const"] = PAGE_SCHEMA
    return {**_DRAFT, "title": PAGE_SCHEMA, "oneOf": choices, "$defs": definitions}


def components(*types: type) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """References to types, and all definitions. Keys may be added without a new version, so unknown ones are valid."""
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    for name, definition in definitions.items():
        if definition.get("type") == "object":
            _describe(definition)
            if name in _WRITTEN_WHOLE:
                definition["required"] = list(definition["properties"])
                for key in definition["properties"].values():
                    key.pop("default", None)
    _null_last(definitions)
    result = definitions["Result"]
    result["properties"] = {"schema": {"const": RESULT_SCHEMA}, **result["properties"]}
    result["required"] = ["schema", *result["required"]]
    return list(references), definitions


def _null_last(value: Any) -> None:
    """Put null behind what else a field may hold: each msgspec has an order of its own."""
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _null_last(each)
    if isinstance(value, dict) and isinstance(value.get("anyOf"), list):
        value["anyOf"].sort(key=lambda kind: kind.get("type") == "null")


def _describe(definition: dict[str, Any]) -> None:
    """Deal a docstring out: its first part to the type, what it says of attributes to these."""
    text, _, attributes = cleandoc(definition.pop("description", "")).partition("\n\nAttributes:\n")
    if text:
        definition["description"] = _in_json(text)
    for names, said in re.findall(r"^    ([a-z_0-9, ]+): (.*(?:\n     +.*)*)", attributes, re.MULTILINE):
        for name in names.split(", "):
            definition["properties"][name]["description"] = _in_json(said)


def _in_json(text: str) -> str:
    return re.sub(r"\bNone\b", "null", " ".join(text.split()))


SCHEMAS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "bench-report": bench_schema,
    "result": result_schema,
    "page-events": page_schema,
}
"""File in `docs/` -> its schema."""

IN_PACKAGE: Final = {
    "result": ROOT / "emer_edge/core/result.schema.json",
    "page-events": ROOT / "emer_edge/runtime/outputs/page/events.schema.json",
}


def texts() -> dict[Path, str]:
    """File -> what it should hold."""
    pages = {
        ROOT / f"docs/{name}.schema.json": json.dumps(schema(), indent=1) + "\n" for name, schema in SCHEMAS.items()
    }
    return pages | {
        path: json.dumps(SCHEMAS[name](), separators=(",", ":")) + "\n" for name, path in IN_PACKAGE.items()
    }


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
