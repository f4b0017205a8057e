"""How the parts of a widget are arranged: rows of controls that wrap, the picture, and a line for messages."""

from collections.abc import Sequence

import ipywidgets

from toylab.widgets.stage import Stage

_WRAPPED = {"flex_flow": "row wrap", "align_items": "flex-start"}


def row(*controls: ipywidgets.Widget) -> ipywidgets.HBox:
    """Controls beside one another, and below where there is no room."""
    box = ipywidgets.HBox(controls, layout=_WRAPPED)
    box.add_class("toylab-row")
    return box


def arrange(
    box: ipywidgets.VBox,
    rows: Sequence[ipywidgets.HBox],
    stage: Stage,
    message: ipywidgets.Widget,
    *,
    beside: ipywidgets.Widget | None = None,
) -> None:
    """Put rows of controls, the picture and the line for messages into the box; the first row ends in "large type".

    Args:
        box: of the widget.
        rows: of controls.
        stage: the picture, which takes the width that is left.
        message: below the picture.
        beside: what stands at the side of the picture.
    """
    large = ipywidgets.ToggleButton(
        False, description="large type", tooltip="for a projector", layout={"width": "100px"}
    )

    def on_large(change: dict[str, bool]) -> None:
        stage.projected = change["new"]
        (box.add_class if change["new"] else box.remove_class)("toylab-projected")

    large.observe(on_large, "value")
    rows[0].children += (large,)
    box.add_class("toylab-widget")
    for words in (message, beside):
        if words is not None:
            words.add_class("toylab-words")
    picture = stage if beside is None else ipywidgets.HBox([stage, beside], layout=_WRAPPED)
    box.children = (*rows, picture, message)
