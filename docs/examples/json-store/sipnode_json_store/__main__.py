"""``python -m sipnode_json_store FOLDER USER@DOMAIN``: make a user, or give it another password."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from sipnode.errors import StorageError
from sipnode.records import Credential
from sipnode.storage.users import make_credential, split_user

from . import USERS, read, write


def add(folder: Path, address: str, password: str) -> None:
    """Let a user exist.

    Raises:
        StorageError: a name or password that can't be, or a file that can't be read.
    """
    made = make_credential(*split_user(address), password)
    others = [user for user in read(folder / USERS, Credential) if (user.username, user.domain) != (made.username, made.domain)]
    write(folder / USERS, [*others, made])


def main() -> None:
    """The command."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        add(Path(sys.argv[1]), sys.argv[2], getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n"))
    except StorageError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
