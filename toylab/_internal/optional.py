"""Packages that toylab uses where they are, and asks for where they are needed."""

from importlib import import_module
from typing import Any


def require(package: str, what: str, extra: str) -> Any:  # noqa: ANN401
    """The package, or raise ``ModuleNotFoundError`` that says what needs it and how to install it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(f'{what} needs {package}: pip install "toylab[{extra}]"', name=package) from None
