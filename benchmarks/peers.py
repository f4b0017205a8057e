"""The packages that ours is measured against: optional, and imported only where they run."""

from importlib import metadata

PEERS = ("torchebm", "blackjax", "jax")


def why_missing(package: str) -> str:
    """Why a row beside this package is skipped, in one line; "" if it is installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return f'{package} is not installed: pip install -e ".[bench]"'
    return ""
