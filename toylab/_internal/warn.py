"""Warnings that point at the user's own line, however deep in toylab they are raised."""

import inspect
import traceback
import warnings

BETWEEN = {"toylab", "torch", "contextlib"}  # decorators such as torch.no_grad and with-blocks come in between


def warn(message: str) -> None:
    """Raise a ``RuntimeWarning`` at the nearest calling line outside of toylab."""
    level = 1
    for level, (frame, _) in enumerate(traceback.walk_stack(inspect.currentframe()), start=1):  # noqa: B007
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in BETWEEN:
            break
    warnings.warn(message, RuntimeWarning, stacklevel=level)
