"""A small ComfyUI in this process: queue an API-format prompt, get its history.

It keeps the facts about execution that the pack leans on, and no others; `tests/contract` holds it to what real
ComfyUIs do. One prompt at a time, each in an event loop of its own on a worker thread. Async nodes run concurrently.
A node that fails ends the prompt and cancels its siblings; a CancelledError that escapes from one ends the worker.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import queue
import sys
import threading
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import folder_paths
from comfy import model_management
from comfy_api.latest import io
from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.progress import reset_progress_state
from comfy_execution.utils import executing
from server import PromptServer

from tests.host.outcomes import PromptRefused, WorkerDied

Prompt = dict[str, dict[str, Any]]
CacheKey = tuple[Any, ...]
_log = logging.getLogger("comfyui.standin")
_HISTORY_SECONDS = 60.0


@dataclass
class _Done:
    outputs: list[list[Any]]
    ui: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class _Run:
    """One queued prompt."""

    prompt_id: str
    prompt: Prompt
    targets: list[str]
    client_id: str | None
    extra_data: dict[str, Any]
    node_errors: dict[str, Any]
    history: dict[str, Any] | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class _Failed(Exception):
    def __init__(self, node_id: str, cause: BaseException) -> None:
        super().__init__(node_id)
        self.node_id = node_id
        self.cause = cause


def _is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


class StandinHost:
    """`nodes` by their schemas' ids; folders under `base`. Use as a context manager."""

    def __init__(self, base: Path, nodes: Iterable[type[io.ComfyNode]] = ()) -> None:
        folder_paths.use(base)
        self.base = base
        self.server = PromptServer()
        self.classes: dict[str, type[io.ComfyNode]] = {}
        self.add(nodes)
        self._cache: dict[CacheKey, _Done] = {}
        self._queue: queue.Queue[_Run | None] = queue.Queue()
        self._runs: dict[str, _Run] = {}
        self._died: BaseException | None = None
        self._log_lines = _LogLines()
        logging.getLogger().addHandler(self._log_lines)
        self._worker = threading.Thread(target=self._work, name="standin-prompt-worker", daemon=True)
        self._worker.start()

    def add(self, nodes: Iterable[type[io.ComfyNode]]) -> None:
        self.classes.update({node.GET_SCHEMA().node_id: node for node in nodes})

    def __enter__(self) -> StandinHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the queued prompts end, then end the worker."""
        self._queue.put(None)
        self._worker.join(_HISTORY_SECONDS)
        logging.getLogger().removeHandler(self._log_lines)
        folder_paths.leave()

    def run(self, prompt: Prompt, *, client_id: str | None = "browser") -> dict[str, Any]:
        """Queue a prompt and wait for its history."""
        return self.wait(self.queue(prompt, client_id=client_id))

    def queue(
        self, prompt: Prompt, *, client_id: str | None = "browser", workflow: Mapping[str, Any] | None = None
    ) -> str:
        """POST /prompt: the id of the queued prompt. Raises PromptRefused when nothing of it is valid.

        `workflow`: what a browser sends along of its canvas.
        """
        json_data: dict[str, Any] = {"prompt": prompt, "client_id": client_id}
        for handler in self.server.on_prompt_handlers:
            try:
                json_data = handler(json_data)
            except Exception:  # noqa: BLE001 - a handler that raises is only logged
                _log.warning("[ERROR] An error occurred during the on_prompt_handler processing", exc_info=True)
        prompt = json_data["prompt"]
        targets, node_errors = asyncio.run(_Validation(self, prompt).valid_targets())
        if not targets:
            raise PromptRefused({"node_errors": node_errors})
        extra_data = {"extra_pnginfo": {"workflow": dict(workflow)}} if workflow else {}
        run = _Run(str(json_data.get("prompt_id", uuid.uuid4())), prompt, targets, client_id, extra_data, node_errors)
        self._runs[run.prompt_id] = run
        self._queue.put(run)
        return run.prompt_id

    def node_errors(self, prompt_id: str) -> dict[str, Any]:
        return self._runs[prompt_id].node_errors

    def wait(self, prompt_id: str, timeout_seconds: float = _HISTORY_SECONDS) -> dict[str, Any]:
        """The history entry of a prompt. Raises WorkerDied if there will be none."""
        run = self._runs[prompt_id]
        if not run.ended.wait(timeout_seconds):
            raise TimeoutError(f"prompt {prompt_id} did not end within {timeout_seconds} s")
        if run.history is None:
            raise WorkerDied(repr(self._died)) from self._died
        return run.history

    def interrupt(self) -> None:
        """POST /interrupt."""
        model_management.interrupt_current_processing()

    def load_pack(self, folder: Path) -> ModuleType:
        """Load a node pack as ComfyUI does: under a module name made of its path. Returns its module."""
        name = str(folder).replace(".", "_x_")
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} is no pack")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        self.add(asyncio.run(_nodes_of(module)))
        return module

    def texts(self, client_id: str = "browser") -> list[tuple[str, str]]:
        """The status texts sent to a client: (node id, text)."""
        return self.server.texts(client_id)

    def await_text(self, node_id: str, part: str, timeout_seconds: float = _HISTORY_SECONDS) -> None:
        """Wait until the browser was sent a status text for that node with `part` in it."""
        found = self.server.await_sent(
            lambda: any(node == node_id and part in text for node, text in self.texts()), timeout_seconds
        )
        if not found:
            raise TimeoutError(f"no text with {part!r} on node {node_id}: {self.texts()}")

    def sent(self, client_id: str = "browser") -> list[tuple[str, Any]]:
        """What a client was sent beside texts, oldest first: (event, data)."""
        return [(str(event), data) for event, data, sid in self.server.sent if sid in (client_id, None) and event != 3]

    @property
    def log(self) -> str:
        """What was logged since this host was made."""
        return "\n".join(self._log_lines.lines)

    def _work(self) -> None:
        while (run := self._queue.get()) is not None:
            try:
                run.history = asyncio.run(_Execution(self, run, self._cache).history())
            except BaseException as problem:  # noqa: BLE001 - kept for the test that waits
                self._died = problem
                for waiting in self._runs.values():
                    waiting.ended.set()
                return
            run.ended.set()


class _LogLines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


async def _nodes_of(module: ModuleType) -> list[type[io.ComfyNode]]:
    extension = module.comfy_entrypoint()
    if isinstance(extension, Awaitable):
        extension = await extension
    await extension.on_load()
    nodes: list[type[io.ComfyNode]] = await extension.get_node_list()
    return nodes


class _Validation:
    """What ComfyUI checks before it accepts a prompt, output by output."""

    def __init__(self, host: StandinHost, prompt: Prompt) -> None:
        self._host = host
        self._prompt = prompt
        self._errors: dict[str, list[dict[str, Any]]] = {}

    async def valid_targets(self) -> tuple[list[str], dict[str, Any]]:
        targets = []
        for node_id, node in self._prompt.items():
            if node["class_type"] not in self._host.classes:
                raise PromptRefused({"error": {"type": "missing_node_type"}, "node_errors": {node_id: node}})
            if self._host.classes[node["class_type"]].GET_SCHEMA().is_output_node:
                targets.append(node_id)
        good = [target for target in targets if await self._valid(target)]
        return good, {
            node_id: {"errors": errors, "dependent_outputs": [], "class_type": self._prompt[node_id]["class_type"]}
            for node_id, errors in self._errors.items()
            if errors
        }

    async def _valid(self, node_id: str) -> bool:
        if node_id in self._errors:
            return not self._errors[node_id]
        errors = self._errors[node_id] = []
        node = self._prompt[node_id]
        cls = self._host.classes[node["class_type"]]
        schema = cls.GET_SCHEMA()
        own_checks = _named_arguments(getattr(cls, "validate_inputs", None))
        ancestors = True
        for declared in schema.inputs:
            if declared.id not in node["inputs"]:
                if not declared.optional:
                    errors.append(_error("required_input_missing", "Required input is missing", declared.id))
            elif _is_link(node["inputs"][declared.id]):
                ancestors &= await self._valid(node["inputs"][declared.id][0])
            else:
                node["inputs"][declared.id] = _converted(declared, node["inputs"][declared.id])
                if declared.id not in own_checks:
                    errors.extend(_built_in_checks(declared, node["inputs"][declared.id]))
        if own_checks and not errors:
            errors.extend(await self._own_errors(cls, schema, node, node_id, own_checks))
        return not errors and ancestors

    async def _own_errors(
        self,
        cls: type[io.ComfyNode],
        schema: io.Schema,
        node: dict[str, Any],
        node_id: str,
        names: frozenset[str],
    ) -> list[dict[str, Any]]:
        given = {name: None if _is_link(value) else value for name, value in node["inputs"].items() if name in names}
        answer = _clone(cls, io.HiddenHolder(unique_id=node_id, prompt={})).validate_inputs(**given)
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer is True:
            return []
        return [_error("custom_validation_failed", f"{name} - {answer}", name) for name in given]


def _named_arguments(function: Callable[..., Any] | None) -> frozenset[str]:
    if function is None:
        return frozenset()
    code = function.__func__.__code__ if hasattr(function, "__func__") else function.__code__
    return frozenset(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


def _error(kind: str, message: str, input_name: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": message, "extra_info": {"input_name": input_name}}


def _converted(declared: Any, value: Any) -> Any:
    kinds: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
    convert = kinds.get(declared.io_type)
    return value if convert is None else convert(value)


def _built_in_checks(declared: Any, value: Any) -> list[dict[str, Any]]:
    errors = []
    if getattr(declared, "min", None) is not None and value < declared.min:
        errors.append(_error("value_smaller_than_min", f"{value} is smaller than {declared.min}", declared.id))
    if getattr(declared, "max", None) is not None and value > declared.max:
        errors.append(_error("value_bigger_than_max", f"{value} is bigger than {declared.max}", declared.id))
    if declared.io_type == "COMBO" and value not in declared.options:
        errors.append(_error("value_not_in_list", f"{value!r} not in {declared.options}", declared.id))
    return errors


def _clone(cls: type[io.ComfyNode], hidden: io.HiddenHolder) -> Any:
    # Each call gets a class of its own whose hidden values are its own too, and that takes no other attributes.
    def refuse(self: type, name: str, value: object) -> None:
        raise AttributeError(f"Cannot set attribute {name!r} on immutable class {cls.__name__}")

    meta = type("Locked", (type(cls),), {"__setattr__": refuse})
    return meta(cls.__name__, (cls,), {"hidden": hidden, "__module__": cls.__module__})


class _Execution:
    """One prompt, in the event loop that `asyncio.run` made for it."""

    def __init__(self, host: StandinHost, run: _Run, cache: dict[CacheKey, _Done]) -> None:
        self._host = host
        self._run = run
        self._cache = cache
        self._keys: dict[str, CacheKey] = {}
        self._done: dict[str, _Done] = {}
        self._graph = DynamicPrompt(run.prompt)
        self._waiting: list[str] = []
        self._expanding: dict[str, list[Any]] = {}
        self._messages: list[list[Any]] = []

    async def history(self) -> dict[str, Any]:
        model_management.interrupt_current_processing(False)
        self._host.server.client_id = self._run.client_id
        reset_progress_state(self._run.prompt_id, self._graph)
        self._tell("execution_start")
        needed = self._needed(self._run.targets)
        for node_id in needed:
            await self._key(node_id)
        cached = [node_id for node_id in needed if self._keys[node_id] in self._cache]
        self._tell("execution_cached", nodes=cached)
        try:
            self._waiting += needed
            await self._run_all()
        except _Failed as failure:
            self._tell_failure(failure)
            succeeded = False
        else:
            self._tell("execution_success")
            succeeded = True
        # ComfyUI, old and new, keeps what this prompt uses and as good as nothing else.
        for key in set(self._cache) - set(self._keys.values()):
            del self._cache[key]
        return {
            "prompt": [0, self._run.prompt_id, self._run.prompt, {}, self._run.targets],
            "outputs": {node_id: done.ui for node_id, done in self._done.items() if done.ui},
            "status": {
                "status_str": "success" if succeeded else "error",
                "completed": succeeded,
                "messages": self._messages,
            },
        }

    def _tell(self, event: str, **data: Any) -> None:
        self._messages.append([event, {**data, "prompt_id": self._run.prompt_id}])
        if self._run.client_id is not None:
            self._host.server.send_sync(event, self._messages[-1][1], self._run.client_id)

    def _tell_failure(self, failure: _Failed) -> None:
        about = {"node_id": failure.node_id, "node_type": self._graph.get_node(failure.node_id)["class_type"]}
        cause = failure.cause
        if isinstance(cause, model_management.InterruptProcessingException):
            self._tell("execution_interrupted", **about)
            return
        _log.error("!!! Exception during processing !!! %s", cause, exc_info=cause)
        kind = type(cause)
        self._tell(
            "execution_error",
            **about,
            exception_message=f"{cause}\n",
            exception_type=kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}",
            traceback=traceback.format_tb(cause.__traceback__),
        )

    def _needed(self, targets: Iterable[str]) -> list[str]:
        """The `targets` and what they depend on, dependencies first."""
        order: list[str] = []

        def visit(node_id: str) -> None:
            if node_id not in order:
                for value in self._graph.get_node(node_id)["inputs"].values():
                    if _is_link(value):
                        visit(value[0])
                order.append(node_id)

        for target in targets:
            visit(target)
        return order

    async def _key(self, node_id: str) -> CacheKey:
        """Class, fingerprint, every input (undeclared ones too) and the ancestors; not the node's own id."""
        if node_id not in self._keys:
            node = self._graph.get_node(node_id)
            parts: list[Any] = [node["class_type"], await self._fingerprint(node_id, node)]
            if self._class(node_id).GET_SCHEMA().not_idempotent:
                parts.append(node_id)
            for name, value in sorted(node["inputs"].items()):
                parts.append((name, await self._key(value[0]), value[1]) if _is_link(value) else (name, repr(value)))
            self._keys[node_id] = tuple(parts)
        return self._keys[node_id]

    async def _fingerprint(self, node_id: str, node: Mapping[str, Any]) -> object:
        cls = self._class(node_id)
        if not hasattr(cls, "fingerprint_inputs"):
            return None
        declared = {entry.id for entry in cls.GET_SCHEMA().inputs}
        given = {k: None if _is_link(v) else v for k, v in node["inputs"].items() if k in declared}
        try:
            answer = _clone(cls, io.HiddenHolder(unique_id=node_id, prompt={})).fingerprint_inputs(**given)
            return await answer if isinstance(answer, Awaitable) else answer
        except Exception:  # noqa: BLE001 - as in ComfyUI: a fingerprint that raises is never the same again
            _log.warning("fingerprint_inputs of node %s raised", node_id, exc_info=True)
            return uuid.uuid4()

    def _class(self, node_id: str) -> type[io.ComfyNode]:
        return self._host.classes[self._graph.get_node(node_id)["class_type"]]

    async def _run_all(self) -> None:
        pending: dict[asyncio.Future[Any], tuple[str, list[Any]]] = {}
        while self._waiting or pending:
            ready = [node_id for node_id in self._waiting if self._is_ready(node_id)]
            for node_id in ready:
                self._waiting.remove(node_id)
                calls = await self._start(node_id)
                if calls is None:
                    continue
                tasks = [call for call in calls if isinstance(call, asyncio.Task)]
                if tasks:
                    pending[asyncio.gather(*tasks, return_exceptions=True)] = (node_id, calls)
                else:
                    await self._finish(node_id, calls)
            if not ready and pending:
                ended, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for future in ended:
                    node_id, calls = pending.pop(future)
                    await self._finish(node_id, calls)

    def _is_ready(self, node_id: str) -> bool:
        inputs = self._graph.get_node(node_id)["inputs"].values()
        return all(value[0] in self._done for value in inputs if _is_link(value))

    async def _start(self, node_id: str) -> list[Any] | None:
        """The node's calls, one per list element: results or running tasks. None: it was served from the cache."""
        cached = self._cache.get(self._keys[node_id])
        if cached is not None:
            self._done[node_id] = cached
            return None
        inputs = self._inputs(node_id)
        length = max((len(values) for values in inputs.values()), default=1)
        try:
            return [
                await self._call(node_id, index, {name: v[min(index, len(v) - 1)] for name, v in inputs.items()})
                for index in range(length)
            ]
        except (Exception, model_management.InterruptProcessingException) as problem:
            raise _Failed(node_id, problem) from problem

    def _inputs(self, node_id: str) -> dict[str, list[Any]]:
        declared = {entry.id for entry in self._class(node_id).GET_SCHEMA().inputs}
        found = {}
        for name, value in self._graph.get_node(node_id)["inputs"].items():
            if name in declared:
                found[name] = self._done[value[0]].outputs[value[1]] if _is_link(value) else [value]
        return found

    async def _call(self, node_id: str, index: int, inputs: dict[str, Any]) -> Any:
        if model_management.processing_interrupted():
            model_management.throw_exception_if_processing_interrupted()
        blocker = next((value for value in inputs.values() if isinstance(value, ExecutionBlocker)), None)
        if blocker is not None:
            return blocker
        schema = self._class(node_id).GET_SCHEMA()
        pnginfo = self._run.extra_data.get("extra_pnginfo")
        hidden = io.HiddenHolder(
            unique_id=node_id if io.Hidden.unique_id in schema.hidden else None,
            prompt=self._run.prompt if io.Hidden.prompt in schema.hidden else None,
            dynprompt=self._graph if io.Hidden.dynprompt in schema.hidden else None,
            extra_pnginfo=pnginfo if io.Hidden.extra_pnginfo in schema.hidden else None,
        )
        execute = _clone(self._class(node_id), hidden).execute
        if not asyncio.iscoroutinefunction(execute):
            with executing(self._run.prompt_id, node_id, index):
                return execute(**inputs)

        async def one() -> Any:
            with executing(self._run.prompt_id, node_id, index):
                return await execute(**inputs)

        task = asyncio.create_task(one())
        await asyncio.sleep(0)  # a node that never awaits is done at once
        return task.result() if task.done() else task

    async def _finish(self, node_id: str, calls: list[Any]) -> None:
        try:
            results = [call.result() if isinstance(call, asyncio.Task) else call for call in calls]
        except (Exception, model_management.InterruptProcessingException) as problem:
            raise _Failed(node_id, problem) from problem
        self._expanding[node_id] = results
        await self._add_nodes(node_id, results)
        self._settle()

    async def _add_nodes(self, node_id: str, results: list[Any]) -> None:
        """The nodes that the calls of a node ask for, and what has to run of them."""
        wanted = [source for result in results for source, _ in _links_of(result)]
        for result in results:
            for added, node in _expansion(result).items():
                self._graph.add_ephemeral_node(added, node, node_id, node.get("override_display_id", node_id))
                if self._class(added).GET_SCHEMA().is_output_node:
                    wanted.append(added)
        for needed in self._needed(wanted):
            if needed not in self._keys:
                await self._key(needed)
                self._waiting.append(needed)

    def _settle(self) -> None:
        """A node that added others is done once those are whose outputs it hands on as its own."""
        for node_id, results in list(self._expanding.items()):
            if not all(source in self._done for result in results for source, _ in _links_of(result)):
                continue
            del self._expanding[node_id]
            for result in results:
                if _expansion(result):
                    result.args = tuple(
                        self._done[value[0]].outputs[value[1]][0] if _is_link(value) else value for value in result.args
                    )
            done = _collected(self._class(node_id).GET_SCHEMA(), results)
            self._done[node_id] = self._cache[self._keys[node_id]] = done
            if done.ui and self._run.client_id is not None:
                shown = {"node": node_id, "display_node": self._graph.get_display_node_id(node_id), "output": done.ui}
                self._host.server.send_sync("executed", shown, self._run.client_id)
            self._settle()
            return


def _expansion(result: Any) -> dict[str, dict[str, Any]]:
    return getattr(result, "expand", None) or {}


def _links_of(result: Any) -> list[list[Any]]:
    """The outputs of added nodes that a call hands on as its own."""
    return [value for value in result.args if _is_link(value)] if _expansion(result) else []


def _collected(schema: io.Schema, results: list[Any]) -> _Done:
    """One list per output slot over all calls, and the `ui` dictionaries joined."""
    done = _Done(outputs=[[] for _ in schema.outputs])
    for result in results:
        if isinstance(result, ExecutionBlocker):
            values: tuple[Any, ...] = tuple(itertools.repeat(result, len(schema.outputs)))
        else:
            values = result.args
            shown = result.ui.as_dict() if hasattr(result.ui, "as_dict") else result.ui or {}
            for name, entries in shown.items():
                done.ui.setdefault(name, []).extend(entries)
        for slot, declared in enumerate(schema.outputs):
            value: Any = values[slot] if slot < len(values) else None
            if declared.is_output_list and not isinstance(value, ExecutionBlocker):
                done.outputs[slot].extend(value)
            else:
                done.outputs[slot].append(value)
    return done
