"""The demo bundle that the package carries, and which bundle is taken where none is named."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import emer_edge
from benchmarks.demo_bundle import SIZE_LIMIT, WEIGHTS, WEIGHTS_KEY, size_of
from emer_edge.bundle import CPU, Bundle, load_bundle
from emer_edge.bundle.manifest import SCHEMA
from emer_edge.core.errors import BundleError
from emer_edge.core.window import NEW_RULE
from emer_edge.demo import READY, open_bundle

ROOT = Path(__file__).parents[1]
AGAIN = "make the demo bundle again: make demo-bundle"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demo_bundle_is_that_of_this_version() -> None:
    ready = load_bundle(READY)
    manifest = ready.manifest
    assert manifest.schema == SCHEMA, AGAIN
    assert manifest.versions[WEIGHTS_KEY] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(), AGAIN
    assert manifest.versions["emer-edge"] == emer_edge.__version__, AGAIN
    assert manifest.events == NEW_RULE, AGAIN
    assert (manifest.demo, manifest.precision.requested) == (True, "int8"), AGAIN
    assert None not in (manifest.guard, manifest.gap, manifest.without_eyes), AGAIN
    assert {key.partition("/")[0] for key in manifest.precision.parts} == {CPU}, AGAIN
    assert manifest.combinations, AGAIN
    assert size_of(ready) <= SIZE_LIMIT, AGAIN


def test_a_wheel_holds_it_and_the_demo_weights() -> None:
    built = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    ours = {file.relative_to(ROOT).as_posix() for file in [WEIGHTS, *READY.rglob("*")] if file.is_file()}
    assert len(ours) > 5
    assert ours <= built


def test_without_a_name_the_only_bundle_of_the_folder_is_taken(here: Path, bundle: Bundle, said: list[str]) -> None:
    assert open_bundle(None, say=said.append).path == READY
    shutil.copytree(bundle.path, here / "own.emer")
    (here / "gone.emer").symlink_to(here / "nothing")
    assert open_bundle(None, say=said.append).path == here / "own.emer"
    assert said == [
        "bundle: the demo bundle of this package, as no other is named or here",
        f"bundle: {here / 'own.emer'}",
    ]


def test_of_several_bundles_of_the_folder_none_is_guessed(here: Path, bundle: Bundle, said: list[str]) -> None:
    shutil.copytree(bundle.path, here / "second.emer")
    shutil.copytree(READY, here / "first.emer")
    assert open_bundle(None, say=said.append).path == READY
    names = "first.emer, second.emer. Name the one you mean, such as first.emer"
    assert said == [f"bundle: the demo bundle of this package, as {here} holds several: {names}"]
    with pytest.raises(BundleError, match="does not hold one bundle of yours, and the demo bundle is not signed"):
        open_bundle(None, say=said.append, key=here / "key.pem")


@pytest.mark.case(
    "a bundle in a folder that others can write, such as /tmp", source="made up", before="was run as one's own"
)
def test_what_others_can_have_put_there_is_not_taken(here: Path, bundle: Bundle, said: list[str]) -> None:
    shutil.copytree(bundle.path, here / "x.emer")
    for folder, mode in ((here, 0o777), (here / "x.emer", 0o757)):
        folder.chmod(mode)
        assert open_bundle(None, say=said.append).path == READY
        assert f"{here / 'x.emer'} is not used unless it is named" in said[-2]
        assert "can be written by others" in said[-2]
        folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(here, 12345, -1)
        open_bundle(None, say=said.append)
        assert "belongs to another user" in said[-2]
    assert open_bundle(here / "x.emer", say=said.append).path == here / "x.emer"  # by its name it is


def test_a_signature_is_not_asked_of_the_demo_bundle(here: Path, said: list[str]) -> None:
    with pytest.raises(BundleError, match="the demo bundle is not signed"):
        open_bundle(None, say=said.append, key=here / "key.pem")
