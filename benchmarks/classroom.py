"""A class on one machine: students who come into a shared lab, run the first lesson and drag a slider."""

import http.cookiejar
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.fresh_process import ROOT
from benchmarks.machine import made_with
from toylab.classroom.desks import DESKS, START, desk_name
from toylab.classroom.lessons import source_folder
from toylab.experiments.setting import scaled_count

N_STUDENTS = 30
LESSON = "01_scores.ipynb"
_ARRIVE_S, _MOVES, _PAUSE_S = 60.0, 40, 0.25
ON_THE_LOOPBACK = """
import os, sys
from pathlib import Path
from toylab import cli
from toylab.classroom import lab
as_it_is = lab.arguments
def kept_here(*args, **kwargs):
    given = as_it_is(*args, **kwargs)
    assert given.count("--ServerApp.ip=0.0.0.0") == 1
    return ["--ServerApp.ip=127.0.0.1" if a == "--ServerApp.ip=0.0.0.0" else a for a in given]
lab.arguments = kept_here
check = lab.check_lock
lab.check_lock = lambda server, ip, *lock: check(server, "127.0.0.1", *lock)
os.geteuid = lambda: 1000
sys.exit(cli.main(["lab", sys.argv[1], "--share", "--no-browser"]))
"""
"""`toylab lab FOLDER --share`, but that it listens to this machine alone, and that root may share it."""

_WIDGET = """
from toylab.widgets import score_explorer
def named(box, name):
    parts = [box, *(part for child in getattr(box, "children", ()) for part in named(child, ""))]
    return [part for part in parts if getattr(part, "description", "").startswith(name)] if name else parts
box = score_explorer()
print(named(box, "noise")[0].model_id)
"""


def run(share: float) -> dict[str, Any]:
    """Thirty students within a minute; ``share`` is of the students.

    Latency is from a move of the slider, sent to the server, to the end of what the kernel does with it, its picture
    sent; a student moves it every quarter of a second, if the last move has been answered.
    """
    n = scaled_count(N_STUDENTS, share, least=2)
    with _shared_lab() as lab:
        students = [_Student(f"student {k}", lab) for k in range(n)]
        start = time.perf_counter()
        threads = [threading.Thread(target=s.come, args=(_ARRIVE_S * k / N_STUDENTS,)) for k, s in enumerate(students)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        kernels = psutil.Process(lab.process.pid).children(recursive=True)
        memory = [kernel.memory_full_info().uss / 1e9 for kernel in kernels]  # without the libraries that all share
        kept = sum(s.kept(lab.folder) for s in students)
    moves = sorted(1e3 * move for student in students for move in student.moves)
    return {
        **made_with(share),
        "students": n,
        "failures": [line for student in students for line in student.failures],
        "copies with the work saved": kept,
        "seconds until the last has done": round(seconds, 1),
        "seconds of the lesson, median": round(statistics.median(s.lesson_s for s in students), 1),
        "kernels": len(memory),
        "memory of a kernel, median, GB": round(statistics.median(memory), 3) if memory else None,
        "latency of a move, median, ms": round(statistics.median(moves), 1) if moves else None,
        "latency of a move, 95 %, ms": round(moves[int(0.95 * len(moves))], 1) if moves else None,
    }


@dataclass(frozen=True)
class _Lab:
    process: "subprocess.Popen[str]"
    home: str
    password: str
    folder: Path


@contextmanager
def _shared_lab() -> Iterator[_Lab]:
    """``toylab lab --share`` on copies of the lessons."""
    password = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "lessons"
        shutil.copytree(source_folder(), folder)
        environment = os.environ | {"TOYLAB_PASSWORD": password, "HOME": name, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", ON_THE_LOOPBACK, str(folder)],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=name,
            start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            addresses = [word for line in _until(process.stdout, START) for word in line.split() if "token=" in word]
            home = f"http://{urllib.parse.urlsplit(addresses[0]).netloc}"
            yield _Lab(process, home, password, folder)
        finally:
            process.terminate()
            process.wait(60)


def _until(lines: Any, last: str) -> Iterator[str]:  # noqa: ANN401
    for line in lines:
        yield line
        if last in line:
            return


@dataclass
class _Student:
    name: str
    lab: _Lab
    failures: list[str] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    lesson_s: float = float("nan")

    def come(self, after_s: float) -> None:
        """Everything that a student does; what goes wrong is kept as a line."""
        time.sleep(after_s)
        try:
            self._work()
        except Exception as error:  # whatever it is: it is the finding
            self.failures.append(f"{self.name}: {type(error).__name__}: {error}"[:300])

    def kept(self, folder: Path) -> bool:
        """Whether the copy of this student holds what they saved."""
        path = folder / DESKS / desk_name(self.name) / LESSON
        return path.is_file() and self.name in path.read_text()

    def _work(self) -> None:
        import websocket

        cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
        self._open("/login")
        self.xsrf = next(cookie.value for cookie in cookies if cookie.name == "_xsrf")
        self._open("/login", form={"password": self.lab.password})
        self._open(f"/{START}", form={"name": self.name})
        path = f"{DESKS}/{desk_name(self.name)}/{LESSON}"
        notebook = json.loads(self._open(f"/api/contents/{path}"))["content"]
        asked = {"path": path, "name": LESSON, "type": "notebook", "kernel": {"name": "python3"}}
        kernel = json.loads(self._open("/api/sessions", asked))["kernel"]["id"]
        sent = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
        self.socket = websocket.create_connection(
            f"{self.lab.home.replace('http', 'ws')}/api/kernels/{kernel}/channels", cookie=sent, timeout=1200
        )
        start = time.perf_counter()
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                self._execute("".join(cell["source"]))
        self.lesson_s = time.perf_counter() - start
        notebook["cells"][0]["source"] = f"{self.name}: my notes"
        self._open(f"/api/contents/{path}", {"type": "notebook", "content": notebook}, method="PUT")
        slider = self._execute(_WIDGET).strip()
        for k in range(_MOVES):
            data = {"method": "update", "state": {"index": 90 + 3 * (k % 30)}, "buffer_paths": []}
            start = time.perf_counter()
            self._ask("comm_msg", {"comm_id": slider, "data": data})
            self.moves.append(time.perf_counter() - start)
            time.sleep(max(0.0, _PAUSE_S - self.moves[-1]))
        self.socket.close()

    def _open(
        self, address: str, body: object = None, *, form: dict[str, str] | None = None, method: str | None = None
    ) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        if form is not None:
            data = urllib.parse.urlencode({**form, "_xsrf": self.xsrf}).encode()
        headers = {} if data is None else {"X-XSRFToken": self.xsrf}
        asked = urllib.request.Request(f"{self.lab.home}{address}", data, headers, method=method)
        with self.opener.open(asked, timeout=600) as answer:
            return bytes(answer.read())

    def _execute(self, code: str) -> str:
        """What the code prints."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
        return self._ask("execute_request", content)

    def _ask(self, kind: str, content: dict[str, Any]) -> str:
        """Send a message to the kernel, and wait until it is done with it; its errors are failures."""
        header = {
            "msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": self.name, "version": "5.3",
        }  # fmt: skip
        message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": content}
        self.socket.send(json.dumps(message))
        printed = ""
        while True:
            found = self.socket.recv()
            if not isinstance(found, str):
                continue  # a message with a picture
            answer = json.loads(found)
            if answer["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if answer["msg_type"] == "error":
                self.failures.append(f"{self.name}: {answer['content']['ename']}: {answer['content']['evalue']}"[:300])
            elif answer["msg_type"] == "stream":
                printed += answer["content"]["text"]
            elif answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return printed
