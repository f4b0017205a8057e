"""Writing to a folder: asked about before a long computation, and whole files or none after it."""

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path


def require_writable(folder: Path) -> None:
    """Raise OSError unless files can be written to the folder, or it can be made; leaves nothing behind."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    with tempfile.TemporaryFile(dir=nearest):
        pass


def write_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write each file whole or not at all, over one of the same name; the folder is made if need be.

    Two processes may write the same file at once: one of the two is there in the end. What is not whole is taken away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        part = folder / f".{name}.{secrets.token_hex(6)}.part"
        try:
            part.write_bytes(content)
            os.replace(part, folder / name)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
