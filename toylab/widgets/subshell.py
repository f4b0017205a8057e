"""Controls answer while cells are running, and while more of them wait: after Run All, at once.

JupyterLab sends what a control says to a thread of its own in the kernel, a subshell, which need not wait for the
cells. ipykernel from 7.4 on sends it back to where the widget was made, so that a widget made by a cell waits until
the last cell in the queue has run.
"""

import ipywidgets

from toylab.widgets.rerun import parts


def answer_beside_cells(box: ipywidgets.Widget) -> None:
    """Have a widget and everything in it answer in the subshell that the front end names, if it names one.

    Source: ``Kernel.shell_channel_thread_main`` of ipykernel 7.4, which looks for this name.
    """
    for part in parts(box):
        answer_beside_cells(part)
    if box.comm is not None:
        box.comm._reply_subshell_for = None
