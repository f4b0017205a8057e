"""JupyterLab on the lessons: for this machine alone behind a token, or for a class behind a password.

Whoever may use a Jupyter server can run any code as its owner. So who may come in is given explicitly, which
overrides any configuration of Jupyter, and is checked once more in the server itself before it listens.
"""

import getpass
import importlib.util
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toylab.classroom.lessons import FIRST_PAGE

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

PASSWORD_VARIABLE = "TOYLAB_PASSWORD"
SHORTEST_PASSWORD = 8
WHAT_SHARING_EXPOSES = """\
--share opens this machine to its network. Whoever has the password can run any code as you, and read, change and
delete every file that you can. The connection is plain http: what is sent over it, the password included, can be read
in transit. Share on a network you trust, with a password you use nowhere else, and no longer than the class lasts."""

_WITHOUT_JUPYTERLAB = 'toylab lab needs JupyterLab: pip install "toylab[lab]"'
_LOCK = "jupyter_server.auth.identity.PasswordIdentityProvider"
_ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"


def require_jupyterlab() -> None:
    """Raises ModuleNotFoundError, saying what to install, where there is no JupyterLab."""
    if importlib.util.find_spec("jupyterlab") is None:  # not imported here, which takes seconds
        raise ModuleNotFoundError(_WITHOUT_JUPYTERLAB)


def refuse_root() -> None:
    """Raises ValueError for root, who can change every file of the machine: too much to share with a class."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        raise ValueError("--share as root would hand the whole machine to the class: run it as another user.")


def address_to_listen_on(*, share: bool) -> str:
    """Every address of this machine for a class, the one that only it can reach otherwise."""
    return "0.0.0.0" if share else "127.0.0.1"


def require_port(ip: str, port: int) -> None:
    """Raises ValueError if nobody can listen there, or somebody does already."""
    try:
        socket.create_server((ip, port)).close()
    except OSError as error:
        raise ValueError(f"--port {port}: cannot listen there ({error.strerror}). Give another port.") from None


def read_password() -> str:
    """The password of a class: from the environment variable ``TOYLAB_PASSWORD``, or asked for twice.

    The variable is removed, since every notebook's kernel would inherit it.

    Raises:
        ValueError: Too short, typed differently the second time, or no terminal to ask on.
    """
    password = os.environ.pop(PASSWORD_VARIABLE, None)
    if password is None:
        if not sys.stdin.isatty():
            raise ValueError(f"--share needs a password, and there is no terminal to ask on: set {PASSWORD_VARIABLE}.")
        password = getpass.getpass("Password for the class: ")
        if getpass.getpass("Once more: ") != password:
            raise ValueError("--share: the two passwords differ. Try again.")
    if len(password.strip()) < SHORTEST_PASSWORD:
        raise ValueError(
            f"--share: the password has {len(password.strip())} characters; it needs {SHORTEST_PASSWORD} or more."
        )
    return password


def arguments(
    folder: Path, token: str, *, hashed_password: str = "", port: int | None = None, browser: bool = True
) -> list[str]:
    """The arguments that JupyterLab is started with.

    Args:
        folder: Where the notebooks are; JupyterLab opens at their first page if that is there.
        token: The secret that lets in whoever has it.
        hashed_password: Lets in whoever knows the password, too; the server listens to the network only if it is
            given.
        port: This port and no other; by default the first free one from 8888.
        browser: Whether to open one.
    """
    first = (folder / FIRST_PAGE).is_file()
    lock = [
        # by the class's own name: `c.PasswordIdentityProvider.token` of a file overrides `--IdentityProvider.token`
        f"--ServerApp.identity_provider_class={_LOCK}",
        f"--PasswordIdentityProvider.token={token}",
        f"--PasswordIdentityProvider.hashed_password={hashed_password}",
        "--PasswordIdentityProvider.allow_password_change=False",
    ]
    if hashed_password:
        reach = ["--ServerApp.ip=0.0.0.0", "--ServerApp.allow_remote_access=True"]
    else:
        # root may open a lab for itself; Jupyter goes on refusing to share one
        reach = ["--ServerApp.ip=127.0.0.1", "--ServerApp.allow_root=True"]
    return [
        *lock,
        *reach,
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab{'/tree/' + FIRST_PAGE if first else ''}",
        "--ServerApp.log_level=ERROR",
        "--LabApp.log_level=ERROR",
        "--LabApp.news_url=None",  # no request for Jupyter's news
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        *([] if port is None else [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]),
        *([] if browser else ["--ServerApp.open_browser=False"]),
    ]


def prepare(folder: Path, *, password: str | None = None, port: int | None = None, browser: bool = True) -> "ServerApp":
    """A JupyterLab in this process, ready to `run`.

    Not in a process of its own, whose arguments would show the token to everybody on this machine.

    Args:
        folder: Where the notebooks are.
        password: If given, the server listens to the network and lets in whoever knows it.
        port: See `arguments`.
        browser: Whether to open one.

    Raises:
        ValueError: The port is taken or not allowed, root would be shared, or a configuration of Jupyter changes who
            may come in.
    """
    require_jupyterlab()
    try:
        from jupyter_server.auth.security import passwd
        from jupyterlab.labapp import LabApp
    except ModuleNotFoundError:  # what JupyterLab itself needs
        raise ModuleNotFoundError(_WITHOUT_JUPYTERLAB) from None

    if password is not None:
        refuse_root()
    ip = address_to_listen_on(share=password is not None)
    if port is not None:
        require_port(ip, port)
    token = secrets.token_hex(24)
    hashed_password = "" if password is None else passwd(password)
    server: ServerApp = LabApp.initialize_server(
        arguments(folder, token, hashed_password=hashed_password, port=port, browser=browser)
    )
    check_lock(server, ip, token, hashed_password)
    server.web_app.settings["page_config_hook"] = without_announcements
    if password is not None:
        from toylab.classroom import desks

        desks.set_up(server, folder)
    return server


def without_announcements(handler: object, page: dict[str, Any]) -> dict[str, Any]:
    """What JupyterLab's page is told, less the extension that would ask over the first lesson about Jupyter's news."""
    return {**page, "disabledExtensions": [*page.get("disabledExtensions", []), _ANNOUNCEMENTS]}


def run(server: "ServerApp", welcome: Callable[[], None]) -> None:
    """Answer requests until Ctrl-C, which stops it at once and in order; Jupyter itself would ask first.

    ``welcome`` is called once it listens: whoever follows an address that is printed is answered.
    """
    server.io_loop.add_callback(welcome)  # Jupyter has queued its listening, which may take the next port, before
    signal.signal(signal.SIGINT, lambda number, frame: server.stop(from_signal=True))
    server.start()


def check_lock(server: "ServerApp", ip: str, token: str, hashed_password: str) -> None:
    """Raises ValueError unless the server listens where it should, and opens to this token and password alone."""
    from jupyter_server.auth.identity import PasswordIdentityProvider

    lock = server.identity_provider
    if (
        type(lock) is not PasswordIdentityProvider  # a class derived from it may open to anybody
        or (lock.token, lock.hashed_password, server.ip, server.sock) != (token, hashed_password, ip, "")
        or lock.allow_password_change
    ):
        raise ValueError(
            "a configuration of Jupyter on this machine changes who may come in, so nothing was started. "
            "`jupyter --paths` lists where to look for it; or set JUPYTER_NO_CONFIG=1."
        )


def address(server: "ServerApp") -> str:
    """Where the owner of the server opens it: with the token, on this machine."""
    return f"{server.connection_url.removesuffix('/')}{server.default_url}?token={server.identity_provider.token}"


def class_address(server: "ServerApp") -> str:
    """Where everybody else on the network opens it; they are asked for the password, and then for a name."""
    from toylab.classroom.desks import START

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation only; connecting a UDP socket sends nothing
            host = probe.getsockname()[0]
        except OSError:
            host = socket.gethostname()
    return f"http://{host}:{server.port}{server.base_url}{START}"
