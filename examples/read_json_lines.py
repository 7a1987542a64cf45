"""Print what each result says: `emer-edge run ... --json | python examples/read_json_lines.py`."""

import json
import sys


def likeliest(classes):
    """The most probable class."""
    return max(classes, key=classes.get)


for line in sys.stdin:
    result = json.loads(line)
    if result["schema"] != "emer-edge/result/1":
        sys.exit(f"this reads emer-edge/result/1, not {result['schema']}")
    who, heads, gap = result["stream"] or "run", result["heads"], result["gap"]
    if gap is None:  # no emotion, or the face alone
        print(f"{who}: {result['state']}", *map(likeliest, [heads["fer-7"]] if "fer-7" in heads else []), flush=True)
    else:
        felt, shown = likeliest(heads["er-7"]), likeliest(heads["fer-7"])
        print(f"{who}: felt {felt}, shown {shown}, {gap['distance']:.2f} apart", flush=True)
