"""The one file that a laboratory may send back after `make bench-data DATA=ROOT`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_reports import everything

from benchmarks.send_back import CONTENTS, document, refuse_names, write
from emer_edge.core.errors import DataError

PEOPLE = [f"P{at:03d}" for at in range(24)]


def test_figures_go_back_and_names_stay(tmp_path: Path) -> None:
    report = everything("anna")
    whole = report.to_json().decode()
    made = document({"what": "figures"}, report, report)
    write(tmp_path / "send-back.json", made)
    text = (tmp_path / "send-back.json").read_text()
    for name in ("P007", "clip-7", "no eye sheet", "anna", "/bundles/", "/data/emer", "two participants", "split-of-1"):
        assert name in whole, "the report holds what must not go back"
        assert name not in text
    assert (tmp_path / "send-back.json").stat().st_mode & 0o777 == 0o600
    assert set(made) == set(CONTENTS)
    back = json.loads(text)
    head = report.bundles[0].accuracy.heads["er-7"]  # type: ignore[union-attr]
    sent = back["bundles"][0]["accuracy"]["heads"]["er-7"]
    assert sent["metrics"]["war"]["value"] == head.metrics["war"].value
    assert sent["confusion"] == [list(row) for row in head.confusion]
    assert sent["over_participants"]["median"] == head.participants.median  # type: ignore[union-attr]
    assert back["sets"][0]["spread"]["gap/auroc"]["mean"] == 0.71
    assert back["curves"][0][0]["levels"]
    assert back["machine"]["versions"]["emer-edge"] == "9.9.9"
    assert refuse_names(made, Path("/data/emer"), PEOPLE, ["clip-7", "3_film_happy"]) > len(PEOPLE)


@pytest.mark.parametrize("leak", ["P007", "3_film_happy", "of 3_film_happy alone", "/data/emer/face"])
def test_a_name_that_gets_in_stops_it(leak: str) -> None:
    made = document({"what": leak}, everything(), everything())
    with pytest.raises(DataError, match="names something of yours"):
        refuse_names(made, Path("/data/emer"), PEOPLE, ["3_film_happy"])
    with pytest.raises(DataError, match="names something of yours"):
        refuse_names({"heads": {leak: 1.0}}, Path("/data/emer"), PEOPLE, ["3_film_happy"])
