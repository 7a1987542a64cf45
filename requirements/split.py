"""Part what only torch's CUDA build needs from the rest of a lock: `split.py ALL REST [CUDA]`."""

import re
import sys
from pathlib import Path

CUDA = re.compile(r"(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==")


def main() -> None:
    """Write the parts of the first argument to the others."""
    whole, *targets = map(Path, sys.argv[1:])
    head, *stanzas = re.split(r"(?m)^(?=[a-z])", whole.read_text())
    for target, cuda in zip(targets, (False, True), strict=False):
        target.write_text(head + "".join(each for each in stanzas if bool(CUDA.match(each)) is cuda))


if __name__ == "__main__":
    main()
