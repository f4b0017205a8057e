"""In a real kernel, without a browser: what is sent to a subshell is answered while a cell runs."""

import pytest
from jupyter_client.manager import start_new_kernel

WIDGET = """
import threading
import ipywidgets
from toylab.widgets.subshell import answer_beside_cells

slider, moved = ipywidgets.IntSlider(), threading.Event()
slider.observe(lambda change: moved.set(), "value")
answer_beside_cells(slider)
print(slider.comm.comm_id)
"""


@pytest.fixture
def kernel():
    manager, client = start_new_kernel()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def printed(client, request):
    """What the cell of this request prints, until it has ended."""
    text, over = "", False
    while not over:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == request:
            text += message["content"].get("text", "")
            over = message["content"].get("execution_state") == "idle"
    return text.strip()


@pytest.mark.nightly  # a kernel is started; `make test-browser` has the same with a front end
def test_a_widget_answers_the_subshell_that_asks_it(kernel):
    kernel.kernel_info()
    if "kernel subshells" not in kernel.get_shell_msg(timeout=60)["content"].get("supported_features", ()):
        pytest.skip("this ipykernel has no subshells")
    kernel.control_channel.send(kernel.session.msg("create_subshell_request"))
    subshell = kernel.get_control_msg(timeout=60)["content"]["subshell_id"]
    comm = printed(kernel, kernel.execute(WIDGET))
    waiting = kernel.execute("print(moved.wait(30))")
    data = {"method": "update", "state": {"value": 3}, "buffer_paths": []}
    message = kernel.session.msg("comm_msg", {"comm_id": comm, "data": data})
    message["header"]["subshell_id"] = subshell
    kernel.shell_channel.send(message)
    assert printed(kernel, waiting) == "True"
