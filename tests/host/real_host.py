"""Drives a real ComfyUI: starts it on folders of its own with our pack in it, queues prompts, reads what it sends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import aiohttp

from tests.host.outcomes import PromptRefused, WorkerDied

REPOSITORY = Path(__file__).resolve().parents[2]
PACK_NAME = "apimall-video"
NO_HOST = "no real ComfyUI: COMFYUI_PATH is not set"
_START_SECONDS = 180.0
_PROMPT_SECONDS = 180.0
_STOP_SECONDS = 20.0
_LAST_WORD_SECONDS = 10.0
_TEXT_EVENT = 3
_NOT_SHIPPED = shutil.ignore_patterns(".git", ".nox", ".venv", "tests", "__pycache__", ".*_cache", "demo-output")
_FOLDERS = ("custom_nodes", "models", "input", "output", "temp", "user")


@dataclass(frozen=True)
class Install:
    """A ComfyUI on this machine, the interpreter that runs it, and the page it serves where that is not its own."""

    path: Path
    python: Path
    version: str
    front_end: Path | None = None


class Sent(NamedTuple):
    """One message of the server to a client: the event's name and data, or "text" with (node id, text)."""

    event: str
    data: Any


def installs(environ: Mapping[str, str] = os.environ) -> list[Install]:
    """Every ComfyUI that COMFYUI_PATH names, with `.venv` in it as its interpreter, or else COMFYUI_PYTHON."""
    return [_install(Path(entry), environ) for entry in environ.get("COMFYUI_PATH", "").split(os.pathsep) if entry]


def _install(path: Path, environ: Mapping[str, str]) -> Install:
    if not (path / "main.py").is_file():
        raise FileNotFoundError(f"COMFYUI_PATH: {path} has no main.py")
    candidates = [path / ".venv" / "bin" / "python", path / ".venv" / "Scripts" / "python.exe"]
    if environ.get("COMFYUI_PYTHON"):
        candidates.append(Path(environ["COMFYUI_PYTHON"]))
    python = next((candidate for candidate in candidates if candidate.is_file()), None)
    if python is None:
        raise FileNotFoundError(f"{path} has no .venv, and COMFYUI_PYTHON names no interpreter")
    version = (path / "comfyui_version.py").read_text(encoding="utf-8").split('__version__ = "')[1].split('"')[0]
    return Install(path, python, version)


class RealHost:
    """One ComfyUI process on the folders under `base`, which stay when it is stopped, killed or started again.

    `packs` are copied into custom_nodes under their names; by default that is this repository, as it is shipped.
    `environ` is added to this process's own. Use as a context manager, or call `start` and `stop`.
    """

    def __init__(
        self,
        install: Install,
        base: Path,
        *,
        environ: Mapping[str, str] | None = None,
        packs: Mapping[str, Path] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.install = install
        self.base = base
        self.environ = dict(environ or {})
        self.arguments = list(arguments)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, _Client] = {}
        self._shown: set[str] = set()
        for name in _FOLDERS:
            (base / name).mkdir(parents=True, exist_ok=True)
        for name, folder in (packs or {PACK_NAME: REPOSITORY}).items():
            shutil.copytree(folder, base / "custom_nodes" / name, ignore=_NOT_SHIPPED, dirs_exist_ok=True)

    def __enter__(self) -> RealHost:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the process has printed, over all starts."""
        path = self.base / "comfyui.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def log_about(self, name: str) -> list[str]:
        """Log lines that name `name`, beside the one that says how long its import took. Old hosts mark no levels."""
        return [line for line in self.log.splitlines() if name in line and " seconds: " not in line]

    def start(self, *, at_the_same_port: bool = False) -> None:
        """Start the process; returns when it answers. Pages that are open find it again only where it was."""
        if not at_the_same_port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        command = [
            *(str(self.install.python), str(self.install.path / "main.py"), "--cpu", "--disable-api-nodes"),
            *("--listen", "127.0.0.1", "--port", str(self.port), "--base-directory", str(self.base)),
            *("--database-url", f"sqlite:///{(self.base / 'user' / 'comfyui.db').as_posix()}", *self.arguments),
            *(("--front-end-root", str(self.install.front_end)) if self.install.front_end else ()),
        ]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("APIMALL_")}
        environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1", NO_COLOR="1", **self.environ)
        with (self.base / "comfyui.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.install.path,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._await_answer()
        self.listen("browser")

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"ComfyUI {self.install.version} ended while starting:\n{self.log[-4000:]}")
            try:
                self.get("/system_stats")
            except OSError as problem:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"ComfyUI {self.install.version} does not answer") from problem
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """End the process as a service manager would, and wait for that."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """kill -9: nothing in the process gets to say a last word."""
        self._end(subprocess.Popen.kill)

    def restart(self) -> None:
        """Stop, then start on the same folders (and a new port)."""
        self.stop()
        self.start()

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        process, self._process = self._process, None
        if process is None:
            return
        how(process)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def get(self, path: str) -> Any:
        """The JSON at `path` of the server."""
        return self._json(urllib.request.Request(self.url + path))

    def post(self, path: str, body: object) -> Any:
        """POST `body` as JSON; the JSON answer, or None if it has no body."""
        headers = {"Content-Type": "application/json"}
        return self._json(urllib.request.Request(self.url + path, json.dumps(body).encode(), headers))

    @staticmethod
    def _json(request: urllib.request.Request) -> Any:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=30) as reply:
            body = reply.read()
        return json.loads(body) if body else None

    def object_info(self, node_id: str) -> dict[str, Any]:
        """What the server tells browsers about a node, by its schema's id."""
        found: dict[str, Any] = self.get(f"/object_info/{node_id}")[node_id]
        return found

    def listen(self, client_id: str) -> None:
        """Connect as a browser with that id, and keep what the server sends it."""
        self._clients[client_id] = _Client(f"{self.url}/ws?clientId={client_id}")

    def sent(self, client_id: str = "browser") -> list[Sent]:
        """What the server has sent to a client that listens, oldest first."""
        return self._clients[client_id].sent

    def texts(self, client_id: str = "browser") -> list[tuple[str, str]]:
        """The status texts sent to a client: (node id, text)."""
        return [message.data for message in self.sent(client_id) if message.event == "text"]

    def await_text(self, node_id: str, part: str, timeout_seconds: float = 60.0) -> None:
        """Wait until the browser was sent a status text for that node with `part` in it."""
        found = self._clients["browser"].await_change(
            lambda: any(node == node_id and part in text for node, text in self.texts()), timeout_seconds
        )
        if not found:
            raise TimeoutError(f"no text with {part!r} on node {node_id}: {self.texts()}")

    def queue(self, prompt: Mapping[str, Any], *, client_id: str | None = "browser", **more: Any) -> str:
        """POST /prompt: the id of the queued prompt. `more` joins its JSON (`extra_data`)."""
        body = {"prompt": prompt, **({"client_id": client_id} if client_id else {}), **more}
        try:
            reply = self.post("/prompt", body)
        except urllib.error.HTTPError as refusal:
            raise PromptRefused(json.loads(refusal.read())) from None
        prompt_id: str = reply["prompt_id"]
        if client_id == "browser":
            self._shown.add(prompt_id)
        return prompt_id

    def wait(self, prompt_id: str, timeout_seconds: float = _PROMPT_SECONDS) -> dict[str, Any]:
        """The history entry of a prompt, when it has ended. Raises WorkerDied if there will be none."""
        seen: list[dict[str, Any]] = []

        def has_ended() -> bool:
            seen.extend(self.get(f"/history/{prompt_id}").values())
            return bool(seen) or self._worker_has_died()

        if not self._clients["browser"].await_change(has_ended, timeout_seconds):
            raise TimeoutError(f"prompt {prompt_id} has not ended; log:\n{self.log[-3000:]}")
        if not seen:
            raise WorkerDied(self.log[-3000:])
        if prompt_id in self._shown:
            # The history may be there before what was sent to the browser has come; this is sent last.
            self._clients["browser"].await_change(lambda: self._has_heard_the_end_of(prompt_id), _LAST_WORD_SECONDS)
        return seen[0]

    def _has_heard_the_end_of(self, prompt_id: str) -> bool:
        end = {"node": None, "prompt_id": prompt_id}
        return any(event == "executing" and data == end for event, data in self.sent())

    def _worker_has_died(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"ComfyUI {self.install.version} has ended:\n{self.log[-4000:]}")
        return "(prompt_worker)" in self.log

    def run(self, prompt: Mapping[str, Any], *, client_id: str | None = "browser", **more: Any) -> dict[str, Any]:
        """Queue a prompt and wait for its history."""
        return self.wait(self.queue(prompt, client_id=client_id, **more))

    def interrupt(self) -> None:
        self.post("/interrupt", {})


class _Client:
    """A browser's websocket, read by a thread of its own."""

    def __init__(self, url: str) -> None:
        self._messages: list[Sent] = []
        self._changed = threading.Condition()
        self._connected = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._read, args=(url,), name="comfyui-client", daemon=True)
        self._thread.start()
        if not self._connected.wait(30):
            raise TimeoutError(f"no websocket at {url}")

    @property
    def sent(self) -> list[Sent]:
        with self._changed:
            return list(self._messages)

    def await_change(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Ask `condition` again after every message until it holds; False when the time is up."""
        deadline = time.monotonic() + timeout_seconds
        count = -1
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                if len(self._messages) == count:
                    # The history is written a moment after the last message, so do not rely on one more.
                    self._changed.wait(min(left, 0.25))
                count = len(self._messages)
        return True

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _read(self, url: str) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._receive(url))
        try:
            self._loop.run_until_complete(self._task)
        except (asyncio.CancelledError, aiohttp.ClientError):
            pass
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _receive(self, url: str) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket_:
            self._connected.set()
            async for message in socket_:
                self._keep(message)

    def _keep(self, message: Any) -> None:
        if message.type == aiohttp.WSMsgType.TEXT:
            content = json.loads(message.data)
            kept = Sent(content["type"], content.get("data"))
        elif message.type == aiohttp.WSMsgType.BINARY and struct.unpack(">I", message.data[:4])[0] == _TEXT_EVENT:
            length = struct.unpack(">I", message.data[4:8])[0]
            node_id, text = message.data[8 : 8 + length], message.data[8 + length :]
            kept = Sent("text", (node_id.decode(), text.decode()))
        else:
            return
        with self._changed:
            self._messages.append(kept)
            self._changed.notify_all()
