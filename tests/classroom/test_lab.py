import http.cookiejar
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from benchmarks.classroom import ON_THE_LOOPBACK
from toylab.classroom import lab
from toylab.classroom.desks import DESKS
from toylab.classroom.lessons import FIRST_PAGE

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
PASSWORD = "correct horse"

# a configuration that throws every door open, in each way there is
OPEN_DOORS = """
c.IdentityProvider.token = ''
c.PasswordIdentityProvider.token = ''
c.ServerApp.token = ''
c.ServerApp.password = ''
c.ServerApp.ip = '0.0.0.0'
c.PasswordIdentityProvider.hashed_password = '{hashed}'
c.PasswordIdentityProvider.allow_password_change = True
from jupyter_server.auth.identity import IdentityProvider
class Anybody(IdentityProvider):
    auth_enabled = False
c.ServerApp.identity_provider_class = Anybody
"""
# the same for a class below the server's own, which no command line can override
OPEN_WITHIN = "c.ServerApp.PasswordIdentityProvider.token = ''\n"


def environment(folder: Path, configuration: str = "") -> dict[str, str]:
    """One in which Jupyter has settings of its own, and these."""
    (folder / "config").mkdir()
    for name in ("jupyter_config", "jupyter_server_config", "jupyter_lab_config"):
        (folder / "config" / f"{name}.py").write_text(configuration)
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "TOYLAB"))}
    return {**kept, **{name: str(folder / place) for name, place in places.items()}, "PYTHONPATH": str(ROOT)}


class Running:
    """A server in a process of its own, with the lines that it printed and what it answers."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, stdin=subprocess.DEVNULL):
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=errors, text=True,
                start_new_session=True,
            )  # fmt: skip
        give_up = threading.Timer(120, self.process.kill)
        give_up.start()
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if "token=" in line:
                break
        give_up.cancel()
        assert "token=" in "".join(self.said), log.read_text()
        (self.address,) = (word for line in self.said for word in line.split() if "token=" in word)
        parts = urllib.parse.urlsplit(self.address)
        self.home, self.token = f"http://{parts.netloc}", urllib.parse.parse_qs(parts.query)["token"][0]
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()  # it listens once it says where

    def status(self, path: str, opener: urllib.request.OpenerDirector | None = None, data: bytes | None = None) -> int:
        try:
            with (opener or urllib.request.build_opener()).open(f"{self.home}{path}", data, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def ended(self, with_signal: int) -> int:
        self.process.send_signal(with_signal)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.stdout.close()


def test_it_listens_to_this_machine_behind_a_token():
    given = lab.arguments(NOTEBOOKS, "secret")
    assert "--ServerApp.ip=127.0.0.1" in given
    assert "--PasswordIdentityProvider.token=secret" in given
    assert "--PasswordIdentityProvider.hashed_password=" in given
    assert f"--ServerApp.root_dir={NOTEBOOKS}" in given
    assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in given
    assert "--LabApp.news_url=None" in given
    assert not [a for a in given if "port" in a or "open_browser" in a or "allow_remote" in a]


def test_a_port_is_that_port_and_a_shared_lab_has_a_password():
    given = lab.arguments(NOTEBOOKS, "secret", hashed_password="argon2:x", port=9000, browser=False)
    assert "--ServerApp.ip=0.0.0.0" in given
    assert "--ServerApp.allow_root=True" not in given
    assert {"--PasswordIdentityProvider.token=secret", "--PasswordIdentityProvider.hashed_password=argon2:x"} < {*given}
    assert {"--ServerApp.port=9000", "--ServerApp.port_retries=0", "--ServerApp.open_browser=False"} < {*given}


def test_a_folder_of_ones_own_opens_as_it_is(tmp_path):
    assert "--LabApp.default_url=/lab" in lab.arguments(tmp_path, "secret")


def test_without_jupyterlab_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    monkeypatch.delitem(sys.modules, "jupyterlab.labapp", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "toylab\[lab\]"'):
        lab.require_jupyterlab()


def test_the_password_is_read_from_the_variable_and_hidden_from_the_kernels(monkeypatch):
    monkeypatch.setenv(lab.PASSWORD_VARIABLE, PASSWORD)
    assert lab.read_password() == PASSWORD
    assert lab.PASSWORD_VARIABLE not in os.environ


def test_the_password_is_asked_for_twice(monkeypatch):
    monkeypatch.delenv(lab.PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    typed = iter([PASSWORD, PASSWORD, PASSWORD, "correct hoarse"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert lab.read_password() == PASSWORD
    with pytest.raises(ValueError, match="differ"):
        lab.read_password()


@pytest.mark.parametrize("password", ["", "short", "1234567", " " * 20])
def test_no_password_and_a_short_one_are_refused(password, monkeypatch):
    monkeypatch.setenv(lab.PASSWORD_VARIABLE, password)
    with pytest.raises(ValueError, match="needs 8 or more"):
        lab.read_password()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no root here")
def test_root_is_not_shared(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ValueError, match="as root"):
        lab.prepare(NOTEBOOKS, password=PASSWORD)


@pytest.mark.slow
def test_a_stranger_is_refused_whatever_the_configuration_and_ctrl_c_ends_it(tmp_path):
    """With every door opened by a configuration, and on a terminal, where Jupyter would ask back."""
    from jupyter_server.auth.security import passwd

    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "toylab", "lab", "--no-browser"]
    settings = environment(tmp_path, OPEN_DOORS.format(hashed=passwd("theirs")))
    server = Running(command, settings, tmp_path / "log", stdin=end)
    try:
        assert server.said[0] == "JupyterLab is starting, which takes some seconds.\n"
        assert server.address.startswith("http://127.0.0.1:")
        assert len(server.token) >= 32
        assert server.status("/api/contents") == 403
        assert server.status("/api/contents?token=wrong") == 403
        assert server.status("/api/contents/00_start_here.ipynb?content=0") == 403
        assert server.status(f"/api/contents/00_start_here.ipynb?content=0&token={server.token}") == 200
        page = f"/lab/tree/00_start_here.ipynb?token={server.token}"
        assert server.status(page) == 200
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())  # the token leads on to the page
        with urllib.request.build_opener(cookies).open(f"{server.home}{page}", timeout=60) as answer:
            (disabled,) = re.findall(r'"disabledExtensions": (\[.*?\])', answer.read().decode(), re.DOTALL)
            assert "@jupyterlab/apputils-extension:announcements" in disabled  # which asks about Jupyter's news
        arguments = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(server.process.pid)], capture_output=True)
        assert server.token.encode() not in arguments.stdout  # others on this machine may read them
    finally:
        status = server.ended(signal.SIGINT)
        os.close(terminal)
        os.close(end)
    assert status == 0
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_configuration_that_cannot_be_overridden_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "toylab", "lab", "--no-browser"],
        env=environment(tmp_path, OPEN_WITHIN), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "changes who may come in" in done.stderr
    assert done.stdout == "JupyterLab is starting, which takes some seconds.\n"


@pytest.mark.slow
def test_a_shared_lab_opens_to_the_password_alone_and_each_student_has_a_copy(tmp_path):
    (folder := tmp_path / "lessons").mkdir()
    (folder / FIRST_PAGE).write_bytes((NOTEBOOKS / FIRST_PAGE).read_bytes())
    settings = {**environment(tmp_path), lab.PASSWORD_VARIABLE: PASSWORD}
    server = Running([sys.executable, "-c", ON_THE_LOOPBACK, str(folder)], settings, tmp_path / "log")
    try:
        assert "".join(server.said).startswith(lab.WHAT_SHARING_EXPOSES)
        assert server.status("/api/contents") == 403
        for password, status in (("wrong horse", 403), (PASSWORD, 200)):
            cookies = http.cookiejar.CookieJar()
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
            assert server.status("/login", opener) == 200
            (xsrf,) = (cookie.value for cookie in cookies if cookie.name == "_xsrf")
            form = urllib.parse.urlencode({"password": password, "_xsrf": xsrf}).encode()
            server.status("/login?next=%2Fapi", opener, form)
            assert server.status("/api/contents", opener) == status
        # opener is now that of somebody with the password
        assert server.status("/toylab/start", data=b"name=ada") == 403
        assert not (folder / DESKS).exists()
        with opener.open(f"{server.home}/toylab/start", timeout=60) as answer:
            assert 'name="name"' in answer.read().decode()
        mine = {"name": "Ada <b> Löw", "_xsrf": xsrf}
        with opener.open(f"{server.home}/toylab/start", urllib.parse.urlencode(mine).encode(), timeout=60) as answer:
            assert answer.url.endswith(f"/tree/students/{urllib.parse.quote('ada-b-löw')}/{FIRST_PAGE}")
        assert (folder / DESKS / "ada-b-löw" / FIRST_PAGE).is_file()
        nameless = urllib.parse.urlencode({"name": "../", "_xsrf": xsrf}).encode()
        assert server.status("/toylab/start", opener, nameless) == 400
        assert [path.name for path in (folder / DESKS).iterdir()] == ["ada-b-löw"]
    finally:
        assert server.ended(signal.SIGTERM) == 0


def test_the_words_on_sharing_name_the_dangers():
    for danger in ("run any code as you", "delete", "plain http", "password"):
        assert danger in lab.WHAT_SHARING_EXPOSES
