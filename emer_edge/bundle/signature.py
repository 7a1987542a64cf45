"""`model.sig`: who vouches for a bundle, as OpenSSF Model Signing (https://github.com/ossf/model-signing-spec).

It covers the hash of every file, `manifest.json` included, and is made and checked offline by the package
model-signing, which gets the hashes of the bytes that were read, and opens no file of the bundle but the signature.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path, PurePosixPath
from typing import Any, Final

from emer_edge.bundle.reading import read_inside
from emer_edge.core.errors import BundleError, ConfigurationError, EmerEdgeError
from emer_edge.core.packages import require
from emer_edge.core.whole_file import whole_file

SIGNATURE_NAME: Final = "model.sig"
_LARGEST_BYTES: Final = 1 << 20


def write_signature(folder: Path, files: Mapping[str, str], key: Path, certificates: Sequence[Path] = ()) -> Path:
    """Write `model.sig` into a bundle, in the place of an older one; return its path.

    Args:
        folder: the bundle.
        files: path in it -> SHA-256, hexadecimal, of all files but the signature.
        key: private key (NIST P-256, P-384 or P-521), PEM; its password, if it has one, is in EMER_EDGE_SIGN_PASSWORD.
        certificates: the key's own, then those between it and the authority's; without, devices need the public key.

    Raises:
        ConfigurationError, MissingExtraError: a key or certificate can't be used, or the extra `sign` is missing.
    """
    config, hashes = _configured("signing", folder, files)
    password = os.environ.get("EMER_EDGE_SIGN_PASSWORD", "").encode() or None
    with _translated(ConfigurationError, f"can't sign with {key}"):
        if certificates:
            own, *chain = certificates
            config.use_certificate_signer(private_key=key, signing_certificate=own, certificate_chain=chain)
        else:
            config.use_elliptic_key_signer(private_key=key, password=password)
    with whole_file(folder / SIGNATURE_NAME) as unfinished:
        config.set_hashing_config(hashes).sign(folder, unfinished)
    return folder / SIGNATURE_NAME


def check_signature(folder: Path, files: Mapping[str, str], key: Path) -> None:
    """Raise BundleError unless a bundle's `model.sig` vouches for these files (as above), and for no others.

    `key` is the public key that signed, or certificates of authorities that signed the signer's; other errors as above.
    """
    config, hashes = _configured("verifying", folder, files)
    with _translated(ConfigurationError, f"{key} is neither a public key nor certificates, as PEM"):
        if b"-----BEGIN CERTIFICATE-----" in key.read_bytes():
            config.use_certificate_verifier(certificate_chain=[key])
        else:
            config.use_elliptic_key_verifier(public_key=key)
    with _translated(BundleError, f"{folder} is not signed by {key}, don't use it here"):
        read_inside(folder, SIGNATURE_NAME, _LARGEST_BYTES)  # a file, which the package then reads itself
        config.set_hashing_config(hashes).verify(folder, folder / SIGNATURE_NAME)


@contextmanager
def _translated(error: type[EmerEdgeError], what: str) -> Iterator[None]:
    """One error for those of several libraries, which share no base; what they print stays off stdout."""
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except Exception as reason:
        said = " ".join(str(reason).split())[:300] or type(reason).__name__
        raise error(f"{what}: {said}") from None


def _configured(module: str, folder: Path, files: Mapping[str, str]) -> tuple[Any, Any]:
    """A configuration of `signing` or `verifying`, and one of `hashing` that gives the hashes at hand."""
    require("the signature of a bundle", ("model_signing", "OpenSSL"), "sign")
    import model_signing
    from model_signing import hashing, manifest

    kind = manifest.SerializationType.from_args({"method": "files", "hash_type": "sha256", "allow_symlinks": False})
    digests = {name: manifest.hashing.Digest("sha256", bytes.fromhex(sha256)) for name, sha256 in files.items()}
    items = [manifest.FileManifestItem(path=PurePosixPath(name), digest=digest) for name, digest in digests.items()]

    class Hashes(hashing.Config):  # type: ignore[misc]
        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Any:
            return manifest.Manifest(folder.name, items, kind)

    return getattr(model_signing, module).Config(), Hashes()
