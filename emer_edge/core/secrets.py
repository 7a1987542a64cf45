"""Secrets of a run: `${NAME}` in addresses, from the environment or a private file; and what other processes see."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.public_text import hide

_NAMES: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LINE: Final = re.compile(r"\s*(?:[#;].*|(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=([^\0]*))?")
_SEEN: Final = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|LSLAPICFG|PYLSL_LIB|"
    "(LC|LD|XDG|OMP|OPENBLAS|MKL|OPENCV|GST|CUDA|NVIDIA|NV|TRT|ORT|EGL|MESA|LIBGL|COV|COVERAGE)_.*|PYTHON.*"
)


def named(text: str) -> dict[str, str]:
    """NAME -> value for every `${NAME}` of an address; `redacted` hides the values from now on.

    Raises:
        ConfigurationError: the environment has no such name.
    """
    values = {}
    for name in dict.fromkeys(_NAMES.findall(text) if "://" in text else ()):
        value = os.environ.get(name)
        if not value:
            raise ConfigurationError(f"${{{name}}} is not set: put {name} into the environment or a file for --secrets")
        values[name] = value
        hide(value, f"${{{name}}}")
    return values


def filled(text: str) -> str:
    """An address, or a word of a GStreamer pipeline, with the values of its `${NAME}`; raise as `named`.

    In what has `://` they are percent-encoded, elsewhere quoted as GStreamer reads it.
    """
    values = named(f"://{text}")
    for name, value in values.items():
        values[name] = quote(value, safe="") if "://" in text else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return _NAMES.sub(lambda match: values[match[1]], text)


def load_secrets(path: Path | None) -> Path | None:
    """Add the `NAME=value` lines of a file, if any, to this process's environment, values without their quotes.

    Raises:
        ConfigurationError: it can't be read, others may read it, or a line is none.
    """
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(1 << 20)
    except OSError as error:
        raise ConfigurationError(f"can't read the secrets in {path}: {error.strerror}") from None
    if status.st_mode & 0o077 or status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(f"{path} holds secrets and others may read it: chmod 600 it, and own it")
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(f"line {number} of {path} is no NAME=value")
        if match[1]:
            os.environ[match[1]] = re.sub(r"^(['\"])(.*)\1$", r"\2", match[2].strip())
    return path


def seen_by_children() -> dict[str, str]:
    """What of the environment a process gets that this one starts: names that hold no secrets."""
    return {name: value for name, value in os.environ.items() if _SEEN.fullmatch(name)}
