"""Talk to a ComfyUI server as its frontend does: upload, queue a prompt, follow it on the websocket, fetch the pictures.

`/prompt`, `/ws`, `/history`, `/view`, `/upload/image`, `/object_info`. One call, one connection: nothing to close.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from dev.errors import DevError

Prompt = Mapping[str, Mapping[str, Any]]
"""API form: node id → {"class_type": …, "inputs": {…}, "_meta": {"title": …}}."""


@dataclass(frozen=True)
class Progress:
    """One step of a node that reports progress, or the start of a node (`maximum` is 0)."""

    node_id: str
    title: str
    value: int
    maximum: int


@dataclass(frozen=True)
class SavedImage:
    """A picture that an output node left on the server."""

    node_id: str
    filename: str
    subfolder: str
    kind: str
    """'output' or 'temp'."""


@dataclass(frozen=True)
class Result:
    """What a finished prompt left behind."""

    prompt_id: str
    images: tuple[SavedImage, ...]
    executed: tuple[str, ...]
    """Ids of the nodes that ran, in order; the others came from ComfyUI's cache."""


class PromptRejected(DevError):
    """The server would not queue the prompt."""


class ExecutionFailed(DevError):
    """A node raised, or the run was interrupted; `node_id` and `node_type` say where."""

    def __init__(self, message: str, node_id: str, node_type: str, exception_type: str) -> None:
        super().__init__(message)
        self.node_id = node_id
        self.node_type = node_type
        self.exception_type = exception_type


def _ignore(_: Progress) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class Client:
    """A server's address. Every method opens its own connection."""

    url: str

    def get_json(self, path: str) -> Any:  # noqa: ANN401 - JSON is whatever the endpoint gives
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        return asyncio.run(self._get(path))

    def object_info(self) -> dict[str, Any]:
        """Every node's declaration, by node id."""
        info: dict[str, Any] = self.get_json("/object_info")
        return info

    def upload_image(self, file: Path, name: str | None = None) -> str:
        """Put a picture into the server's input folder; returns the name that LoadImage takes."""
        return asyncio.run(self._upload(file, name or file.name))

    def interrupt(self) -> None:
        """What the frontend's Cancel button does."""
        asyncio.run(self._post("/interrupt", {}))

    def fetch(self, image: SavedImage) -> bytes:
        query = f"filename={image.filename}&subfolder={image.subfolder}&type={image.kind}"
        return self.get_bytes(f"/view?{query}")

    def run(self, prompt: Prompt, on_progress: Callable[[Progress], None] = _ignore, timeout: float = 1800) -> Result:
        """Queue `prompt` and wait for its end; raises PromptRejected or ExecutionFailed, with the node's own words."""
        try:
            return asyncio.run(asyncio.wait_for(self._run(prompt, on_progress), timeout))
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise DevError(f"The prompt had not finished after {timeout:.0f} s.") from error

    async def _get(self, path: str) -> bytes:
        async with aiohttp.ClientSession(self.url) as session, session.get(path) as response:
            body = await response.read()
            if response.status != 200:
                raise DevError(f"GET {path}: HTTP {response.status}: {body[:200].decode('utf-8', 'replace')}")
            return body

    async def _post(self, path: str, payload: Mapping[str, Any]) -> None:
        async with aiohttp.ClientSession(self.url) as session, session.post(path, json=payload) as response:
            response.raise_for_status()

    async def _upload(self, file: Path, name: str) -> str:
        form = aiohttp.FormData()
        form.add_field("image", file.read_bytes(), filename=name, content_type="image/png")
        form.add_field("overwrite", "true")
        async with aiohttp.ClientSession(self.url) as session, session.post("/upload/image", data=form) as response:
            if response.status != 200:
                raise DevError(f"The server would not take {file}: HTTP {response.status}.")
            answer = await response.json()
            return f"{answer['subfolder']}/{answer['name']}".lstrip("/")

    async def _run(self, prompt: Prompt, on_progress: Callable[[Progress], None]) -> Result:
        client_id = uuid.uuid4().hex
        async with aiohttp.ClientSession(self.url) as session:
            # The websocket comes first: a short prompt may be over before a later one is open.
            async with session.ws_connect(f"/ws?clientId={client_id}", max_msg_size=0) as socket:
                prompt_id = await _queue(session, prompt, client_id)
                executed = await _follow(socket, prompt, prompt_id, on_progress)
            return Result(prompt_id, await _images(session, prompt_id), executed)


async def _queue(session: aiohttp.ClientSession, prompt: Prompt, client_id: str) -> str:
    async with session.post("/prompt", json={"prompt": prompt, "client_id": client_id}) as response:
        answer = await response.json()
    if response.status != 200 or answer.get("node_errors"):
        raise PromptRejected(f"The server refused the prompt: {_rejection(answer, prompt)}")
    prompt_id: str = answer["prompt_id"]
    return prompt_id


def _rejection(answer: Mapping[str, Any], prompt: Prompt) -> str:
    error = answer.get("error") or {}
    lines = [f"{error.get('message', '')} {error.get('details', '')}".strip() if isinstance(error, dict) else str(error)]
    for node_id, found in (answer.get("node_errors") or {}).items():
        lines += [f"{_title(prompt, node_id)}: {each['message']} ({each['details']})" for each in found["errors"]]
    return "\n  ".join(line for line in lines if line)


async def _follow(
    socket: aiohttp.ClientWebSocketResponse, prompt: Prompt, prompt_id: str, on_progress: Callable[[Progress], None]
) -> tuple[str, ...]:
    executed: list[str] = []
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue  # latent previews are binary
        event = json.loads(message.data)
        kind, data = event["type"], event.get("data") or {}
        if data.get("prompt_id") != prompt_id:
            continue
        if kind == "executing" and data.get("node") is not None:
            node_id = str(data["node"])
            executed.append(node_id)
            on_progress(Progress(node_id, _title(prompt, node_id), 0, 0))
        elif kind == "progress":
            node_id = str(data["node"])
            on_progress(Progress(node_id, _title(prompt, node_id), int(data["value"]), int(data["max"])))
        elif kind == "execution_error":
            raise _failure(data, prompt, f"{data['exception_message'].strip()}\n{''.join(data['traceback'])}")
        elif kind == "execution_interrupted":
            raise _failure(data, prompt, "interrupted")
        elif kind == "execution_success":
            return tuple(executed)
    raise DevError("The server closed the connection before the prompt had finished.")


def _failure(data: Mapping[str, Any], prompt: Prompt, words: str) -> ExecutionFailed:
    node_id = str(data["node_id"])
    return ExecutionFailed(
        f"{_title(prompt, node_id)} ({data['node_type']}): {words}",
        node_id,
        str(data["node_type"]),
        str(data.get("exception_type", "interrupted")),
    )


async def _images(session: aiohttp.ClientSession, prompt_id: str) -> tuple[SavedImage, ...]:
    """From the history; the server writes it a moment after it has announced success."""
    history: dict[str, Any] = {}
    for _ in range(100):
        async with session.get(f"/history/{prompt_id}") as response:
            history = await response.json()
        if prompt_id in history:
            break
        await asyncio.sleep(0.1)
    else:
        raise DevError(f"The server announced success but has no history of prompt {prompt_id}.")
    return tuple(
        SavedImage(node_id, image["filename"], image["subfolder"], image["type"])
        for node_id, output in history[prompt_id]["outputs"].items()
        for image in output.get("images", ())
    )


def _title(prompt: Prompt, node_id: str) -> str:
    node = prompt.get(node_id, {})
    name: str = node.get("_meta", {}).get("title") or node.get("class_type") or "node"
    return f"{name} #{node_id}"
