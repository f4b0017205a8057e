"""How the parts of a widget are arranged: rows of controls that wrap, the picture, and a line for messages."""

from collections.abc import Sequence

import ipywidgets

from toylab.widgets.stage import Stage


def row(*controls: ipywidgets.Widget) -> ipywidgets.HBox:
    """Controls beside one another, and below where there is no room."""
    box = ipywidgets.HBox(controls, layout={"flex_flow": "row wrap", "align_items": "flex-start"})
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
    """Put rows of controls, the picture and the line for messages into the box, with a switch for large type.

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
    box.add_class("toylab-widget")
    picture = stage if beside is None else row(stage, beside)
    box.children = (*rows, picture, message, large)
