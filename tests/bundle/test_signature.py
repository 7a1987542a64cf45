"""Signatures of bundles: made and checked by OpenSSF's package, over what was read, offline."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from onnx_bytes import PART, model, node
from test_bundle import edit, manifest

from emer_edge.bundle import BundleWriter, load_bundle
from emer_edge.bundle.artefact import Part
from emer_edge.bundle.signature import check_signature, write_signature
from emer_edge.core.errors import BundleError, ConfigurationError, MissingExtraError

pytest.importorskip("model_signing")
x509 = pytest.importorskip("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: E402

PLAIN = serialization.NoEncryption()


def written(path: Path, key: Any, encryption: Any = PLAIN) -> Path:
    """A private key as PEM, and its public one beside it, `.pub`."""
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return path


def certificate(path: Path, subject: str, key: Any, issuer: str, signer: Any, authority: bool) -> Path:
    """A certificate of `key` by `signer`, as PEM."""
    now = datetime.now(timezone.utc)
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
            critical=True,
        )
        .sign(signer, hashes.SHA256())
    )  # fmt: skip
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    with BundleWriter(tmp_path / "small.emer") as writer:
        writer.add("cpu/fusion.onnx", PART)
        return writer.commit(manifest()).path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return written(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))


def sign(bundle: Path, key: Path, *certificates: Path) -> Path:
    return write_signature(bundle, load_bundle(bundle).hashes, key, certificates)


def test_a_signed_bundle_is_loaded_by_the_public_key_and_without(bundle: Path, key: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(socket, "socket", None)  # nobody is asked
    assert sign(bundle, key) == bundle / "model.sig"
    assert load_bundle(bundle, key=key.with_suffix(".pub")).manifest == load_bundle(bundle).manifest
    renamed = shutil.move(bundle, bundle.parent / "renamed.emer")
    load_bundle(renamed, key=key.with_suffix(".pub"))


def test_the_packages_own_command_agrees(bundle: Path, key: Path) -> None:
    sign(bundle, key)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(bundle)]
    options = ["--signature", str(bundle / "model.sig"), "--public_key", str(key.with_suffix(".pub"))]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = [
        *command[:3],
        "sign",
        "key",
        str(bundle),
        "--signature",
        str(bundle / "model.sig"),
        "--private_key",
        str(key),
    ]
    subprocess.run(theirs, capture_output=True, check=True)
    load_bundle(bundle, key=key.with_suffix(".pub"))


def test_certificates_lead_to_an_authority(bundle: Path, tmp_path: Path) -> None:
    root, middle, leaf, other = (ec.generate_private_key(ec.SECP384R1()) for _ in range(4))
    authority = certificate(tmp_path / "root.crt", "root", root, "root", root, authority=True)
    stranger = certificate(tmp_path / "other.crt", "root", other, "root", other, authority=True)
    between = certificate(tmp_path / "middle.crt", "middle", middle, "root", root, authority=True)
    own = certificate(tmp_path / "leaf.crt", "lab", leaf, "middle", middle, authority=False)
    sign(bundle, written(tmp_path / "leaf.pem", leaf), own, between)
    load_bundle(bundle, key=authority)
    with pytest.raises(BundleError, match=r"is not signed by .*other.crt"):
        load_bundle(bundle, key=stranger)


def test_a_password_comes_from_the_environment(bundle: Path, tmp_path: Path, monkeypatch: Any) -> None:
    secret = written(
        tmp_path / "locked.pem", ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"pass")
    )
    with pytest.raises(ConfigurationError, match="can't sign with"):
        sign(bundle, secret)
    monkeypatch.setenv("EMER_EDGE_SIGN_PASSWORD", "pass")
    sign(bundle, secret)
    load_bundle(bundle, key=secret.with_suffix(".pub"))


def changed_part(bundle: Path) -> None:
    content = model(node("Tanh"))
    (bundle / "cpu/fusion.onnx").write_bytes(content)
    record = {"sha256": Part.of(bundle / "cpu/fusion.onnx").sha256, "bytes": len(content)}
    edit(bundle, lambda document: document["files"].update({"cpu/fusion.onnx": record}))


def without_hint(bundle: Path) -> None:
    """The signature without the name of its key: the package then only prints a warning."""
    changed_part(bundle)
    signature = json.loads((bundle / "model.sig").read_text())
    signature["verificationMaterial"]["publicKey"].pop("hint", None)
    (bundle / "model.sig").write_text(json.dumps(signature))


def other_payload(bundle: Path) -> None:
    """The hashes of the changed bundle in the place of those that were signed."""
    signature = json.loads((bundle / "model.sig").read_text())
    old = load_bundle(bundle).hashes
    changed_part(bundle)
    payload = base64.b64decode(signature["dsseEnvelope"]["payload"]).decode()
    for name, sha256 in load_bundle(bundle).hashes.items():
        payload = payload.replace(old[name], sha256)
    signature["dsseEnvelope"]["payload"] = base64.b64encode(payload.encode()).decode()
    (bundle / "model.sig").write_text(json.dumps(signature))


def linked(bundle: Path) -> None:
    shutil.move(bundle / "model.sig", bundle.parent / "model.sig")
    (bundle / "model.sig").symlink_to(bundle.parent / "model.sig")


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (lambda bundle: (bundle / "model.sig").unlink(), "lacks model.sig: it is missing"),
        (changed_part, "mismatch"),
        (lambda bundle: edit(bundle, lambda document: document.update(research_only=True)), "mismatch"),
        (without_hint, "mismatch"),
        (other_payload, "InvalidSignature"),
        (linked, "is a link"),
        (lambda bundle: (bundle / "model.sig").write_text("{}"), ""),
        (lambda bundle: (bundle / "model.sig").write_bytes(b"\xff" * 40), ""),
        (lambda bundle: (bundle / "model.sig").write_text("[" * 100_000), ""),
        (lambda bundle: (bundle / "model.sig").write_bytes(b"0" * 2_000_000), "is larger than 1,048,576 bytes"),
    ],
)
def test_what_was_not_signed_is_refused(
    bundle: Path, key: Path, attack: Callable[[Path], object], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    sign(bundle, key)
    attack(bundle)
    with pytest.raises(BundleError, match=rf"small.emer is not signed by .*key.pub, don't use it here: .*{message}"):
        load_bundle(bundle, key=key.with_suffix(".pub"))
    assert capfd.readouterr().out == ""


def test_another_key_is_refused_and_what_is_no_key_is_said(bundle: Path, key: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1()))
    sign(bundle, other)
    with pytest.raises(BundleError, match="is not signed by"):
        load_bundle(bundle, key=key.with_suffix(".pub"))
    unusual = written(tmp_path / "ed.pem", ed25519.Ed25519PrivateKey.generate())
    for wrong in (key, unusual.with_suffix(".pub"), bundle / "manifest.json", tmp_path / "absent"):
        with pytest.raises(ConfigurationError, match="neither a public key nor certificates"):
            load_bundle(bundle, key=wrong)
    with pytest.raises(ConfigurationError, match="can't sign with"):
        sign(bundle, unusual)


def test_without_the_extra_it_is_named(bundle: Path, key: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("emer_edge.core.packages.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"signature of a bundle needs model_signing, OpenSSL.*\[sign\]"):
        check_signature(bundle, {}, key)
