"""On CI, a skip for want of something is a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    "test_lacks.py": "import pytest\n\n\n@pytest.mark.skipif(True, reason='no broker')\ndef test():\n    pass\n",
    "test_lacks_module.py": "import pytest\npytest.importorskip('a_module_that_nobody_has')\n",
    "test_other_nature.py": "import pytest\n\n\ndef test():\n    pytest.skip('this is a Jetson: it has one')\n",
    "test_fails_as_known.py": "import pytest\n\n\n@pytest.mark.xfail\ndef test():\n    assert False\n",
}


@pytest.mark.parametrize(("ci", "counts"), [("", "3 skipped, 1 xfailed"), ("true", "1 skipped, 1 xfailed, 2 errors")])
def test_what_lacks_fails_on_ci_and_is_listed_elsewhere(tmp_path: Path, ci: str, counts: str) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    environment |= {"CI": ci, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-rs", "--rootdir", str(tmp_path)]
    command += ["--continue-on-collection-errors", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert counts in done.stdout, done.stdout
    assert ("CI may not skip this: no broker" in done.stdout) == bool(ci)
    assert "this is a Jetson: it has one" in done.stdout


def test_every_package_is_named_once_and_for_a_reason() -> None:
    lines = (ROOT / "requirements" / "debian.txt").read_text().splitlines()[1:]
    packages = [re.fullmatch(r"([a-z0-9.+-]+) +# .+", line)[1] for line in lines]
    assert packages == sorted(set(packages))
