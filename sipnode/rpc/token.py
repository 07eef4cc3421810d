"""The token of HTTP callers: as set, or made at random and kept in a file that only the server's user reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from sipnode.errors import ConfigError

FILE: Final = "rpc.token"


def token_of(setting: str, state_dir: Path) -> str:
    """The token.

    Raises:
        ConfigError: a token that can't stand in a header, or a file that can't be read or made.
    """
    if setting:
        return _checked(setting, "")
    path = state_dir / FILE
    try:
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        os.chmod(path, 0o600)
        return _checked(path.read_text("ascii").strip(), str(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the token of the RPC can't be used: {error}", file=str(path)) from None


def _checked(token: str, file: str) -> str:
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("a token has at least 16 ASCII characters and no space", file=file, key="rpc.token")
    return token
