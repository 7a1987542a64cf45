from __future__ import annotations

import pytest

from emer_edge.core.errors import MissingExtraError
from emer_edge.core.packages import missing, require


def test_what_is_missing_is_named_once_with_the_extra_that_brings_it() -> None:
    assert missing(("json", "no_such_package", "no_such_package")) == ["no_such_package"]
    require("this test", ("json",), "export")
    with pytest.raises(MissingExtraError, match=r"this test needs no_such_package, .*emer-edge\[export\]"):
        require("this test", ("json", "no_such_package"), "export")
