"""What the tests of the widgets share."""

import io

import matplotlib.image
import pytest


@pytest.fixture
def seen():
    """The picture of a stage, [rows, columns, 3], rows from the top, in 0 to 1."""
    return lambda stage: matplotlib.image.imread(io.BytesIO(stage.png))[..., :3]
