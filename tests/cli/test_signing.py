"""The commands sign and verify, and a run that takes signed bundles alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("model_signing")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
from cryptography.hazmat.primitives import serialization  # noqa: E402


def test_a_bundle_is_signed_verified_and_asked_for(
    emer_edge: Callable[..., Any], bundle: Path, video: Path, tracker: Path, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public, copy = tmp_path / "key.pem", tmp_path / "key.pub", bundle
    encoding = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    sources = ("--camera", video, "--tracker", tracker, "--offset-ms", 0, "--check")

    refused = emer_edge("run", copy, *sources, "--require-signature", public)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"{copy} is not signed by {public}" in refused.err
    done = emer_edge("sign", copy, "--key", private)
    assert (done.code, done.out) == (0, "")
    assert f"wrote {copy}/model.sig; next: emer-edge verify {copy} --key PUBLIC_KEY" in done.err
    assert emer_edge("run", copy, *sources, "--require-signature", public).code == 0
    assert emer_edge("verify", copy, "--key", public).out.endswith(f" files as exported; signed by {public}\n")
    assert "its signature was not checked: no --key" in emer_edge("verify", copy).out

    with (copy / "manifest.json").open("a") as file:
        file.write("\n")
    assert emer_edge("verify", copy).code == 0
    changed = emer_edge("verify", copy, "--key", public)
    assert (changed.code, changed.out) == (1, "")
    assert "is not signed by" in changed.err
    (copy / "cpu" / "more").touch()
    assert emer_edge("verify", copy).code == 1
    assert emer_edge("verify", tmp_path / "absent.emer").code == 2
