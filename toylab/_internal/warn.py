"""Warnings that are shown every time, and point at the user's own line, however deep in toylab they are raised."""

import inspect
import traceback
import warnings

BETWEEN = {"toylab", "torch", "contextlib"}  # decorators such as torch.no_grad and with-blocks come in between


class ToylabWarning(RuntimeWarning):
    """Every warning of toylab is of this kind, and is shown every time.

    Python shows other warnings once for each line that causes them: a second run that goes wrong would look right. A
    filter of your own still decides, as in ``warnings.simplefilter("error", toylab.ToylabWarning)``.
    """


def always_show() -> None:
    """Have a ``ToylabWarning`` shown every time, unless a filter of the user's says otherwise."""
    if not any(action == "always" and category is ToylabWarning for action, _, category, *_ in warnings.filters):
        warnings.simplefilter("always", ToylabWarning, append=True)  # at the end of the list: the user's come first


def warn(message: str) -> None:
    """Raise a ``ToylabWarning`` at the nearest calling line outside of toylab."""
    level = 1
    for level, (frame, _) in enumerate(traceback.walk_stack(inspect.currentframe()), start=1):  # noqa: B007
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in BETWEEN:
            break
    always_show()  # again, for who has cleared the filters since, or left the block in which toylab was imported
    warnings.warn(message, ToylabWarning, stacklevel=level)


always_show()
