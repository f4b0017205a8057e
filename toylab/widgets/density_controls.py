"""The list of a widget's densities, and a slider for each parameter of those that are families."""

from collections.abc import Mapping

from toylab.densities import Density
from toylab.widgets.family import Family
from toylab.widgets.frame import choice, exact_slider
from toylab.widgets.layout import row
from toylab.widgets.messages import Field

Key = tuple[str | float, ...]


class DensityControls:
    """The density that is chosen: from a list, and in a family by its sliders, which are seen while it is chosen.

    Args:
        densities: by name, densities and families.
        value: the name of the first.
        width: of the list, in pixels.

    Attributes:
        list: of the names.
        controls: the list and all sliders: what to observe, and to disable.
        rows: one of sliders with a message below them, or none where there is no family.
    """

    def __init__(self, densities: Mapping[str, Density | Family], value: str, width: int) -> None:
        self.list = choice(list(densities), value, "density", width)
        self._densities = densities
        self._sliders = {
            name: {
                parameter: exact_slider(values, family.start[parameter], parameter, 300)
                for parameter, values in family.values.items()
            }
            for name, family in densities.items()
            if isinstance(family, Family)
        }
        sliders = [slider for by_parameter in self._sliders.values() for slider in by_parameter.values()]
        self.controls = (self.list, *sliders)
        self._fields = [Field(row(*sliders))] if sliders else []  # what is in no row would never be closed
        for field in self._fields:
            field.layout.max_width = "100%"  # so that they wrap
        self.rows = [row(field) for field in self._fields]
        self._made: dict[Key, Density] = {}  # the last one of a family: while the noise moves, it is the same
        self.list.observe(self._show_sliders, "value")
        self._show_sliders()

    @property
    def key(self) -> Key:
        """What is chosen: the name, and in a family the value of each parameter."""
        return (self.list.value, *self._parameters().values())

    def density(self) -> Density:
        """The density that is chosen; call it inside ``show_errors``.

        Raises:
            ValueError: if it cannot be made, which is told beside the sliders.
        """
        chosen = self._densities[self.list.value]
        if isinstance(chosen, Density):
            return chosen
        (field,) = self._fields
        with field.judges():
            if self.key not in self._made:
                self._made = {self.key: chosen(**self._parameters())}
        return self._made[self.key]

    def _parameters(self) -> dict[str, float]:
        return {name: slider.value for name, slider in self._sliders.get(self.list.value, {}).items()}

    def _show_sliders(self, _: object = None) -> None:
        """Those of the density that is chosen, and no others."""
        for field in self._fields:
            field.message.value = ""
        for name, sliders in self._sliders.items():
            for slider in sliders.values():
                slider.layout.display = None if name == self.list.value else "none"
