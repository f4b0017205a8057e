"""What numbers were made with, so that they can be made again."""

import platform

import torch

import toylab


def versions() -> dict[str, str | int]:
    """The versions on which a number depends, and the threads on which its time does."""
    return {
        "toylab": toylab.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu_threads": torch.get_num_threads(),
    }
