"""Turn a workflow as the frontend saves it (`workflows/*.json`) into the API prompt that a server takes.

The frontend does this in JavaScript (`app.graphToPrompt`): widget values are stored as a bare list, so their names come
from the server's `/object_info`, in the order in which the frontend makes the widgets. Doing it here lets the demo and the
tests queue the very files that ship. It is stricter than the frontend: a list that does not fit is an error.

Not handled, and said so when met: bypassed nodes, reroutes and primitive nodes, and values that a subgraph's node has of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.errors import DevError

Prompt = dict[str, dict[str, Any]]

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
SEED_NAMES = frozenset({"seed", "noise_seed"})
CONTROL_VALUES = frozenset({"fixed", "increment", "decrement", "randomize"})
UPLOAD_OPTIONS = ("image_upload", "animated_image_upload", "video_upload", "audio_upload")
FRONTEND_ONLY = frozenset({"Note", "MarkdownNote"})
MUTED, BYPASSED = 2, 4
SUBGRAPH_INPUT = -10
"""The frontend's id of the side that a subgraph's inputs come in by."""


class WorkflowError(DevError):
    """The file cannot be turned into a prompt; the message names file, node and widget."""


@dataclass(frozen=True)
class Input:
    """One declared input of a node, as `/object_info` gives it."""

    name: str
    kind: str
    options: Mapping[str, Any]
    is_required: bool

    def is_widget(self, saved: Mapping[str, Any] | None) -> bool:
        """Whether the frontend makes a widget for it; `saved` is the input's own entry in the workflow, if any."""
        if self.options.get("forceInput"):
            return False
        saved_as_widget = saved is not None and saved.get("widget") is not None
        return self.kind in WIDGET_TYPES or bool(self.options.get("socketless")) or saved_as_widget

    @property
    def has_control(self) -> bool:
        """A 'control after generate' widget may follow it in the list."""
        control = self.options.get("control_after_generate")
        return bool(control) or (control is None and self.kind == "INT" and self.name in SEED_NAMES)


def load(file: Path) -> dict[str, Any]:
    """Read a UI-format file, or say why it is none."""
    try:
        workflow = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WorkflowError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(workflow, dict) or not isinstance(workflow.get("nodes"), list):
        raise WorkflowError(f"{file}: has no list of nodes: not in UI format (save it with Workflow → Save, not Export (API)).")
    return workflow


def to_prompt(workflow: Mapping[str, Any], object_info: Mapping[str, Any], name: str = "workflow") -> Prompt:
    """The API prompt of a UI-format workflow, with ids as strings and titles under `_meta`."""
    workflow = flattened(workflow, name)
    nodes = [node for node in workflow["nodes"] if node["type"] not in FRONTEND_ONLY and node.get("mode") != MUTED]
    unknown = sorted({node["type"] for node in nodes if node["type"] not in object_info})
    if unknown:
        raise WorkflowError(f"{name}: the server has no node {', '.join(unknown)}; is the pack installed, did it import?")
    bypassed = [_label(node) for node in nodes if node.get("mode") == BYPASSED]
    if bypassed:
        raise WorkflowError(f"{name}: {', '.join(bypassed)} bypassed, which this converter does not handle.")
    sources = _link_sources(workflow, name)
    kept = {str(node["id"]) for node in nodes}
    return {str(node["id"]): _node(node, object_info[node["type"]], sources, kept, name) for node in nodes}


@dataclass(frozen=True)
class _Scope:
    """A graph as it is seen from one node that stands for it: the file's own graph, or a subgraph's."""

    path: str
    nodes: Mapping[int, Mapping[str, Any]]
    links: Mapping[int, tuple[int, int]]
    """Link id → (node id, output slot)."""
    node: Mapping[str, Any] | None = None
    around: _Scope | None = None
    outputs: Sequence[Mapping[str, Any]] = ()


def flattened(workflow: Mapping[str, Any], name: str = "workflow") -> dict[str, Any]:
    """The same graph with what is in its subgraphs in their place; ids of nodes are the frontend's execution ids, "4:21"."""
    definitions = {each["id"]: each for each in (workflow.get("definitions") or {}).get("subgraphs") or ()}
    if not definitions:
        return dict(workflow)
    nodes: list[dict[str, Any]] = []
    links: list[list[Any]] = []
    inner: dict[tuple[str, int], _Scope] = {}

    def walk(scope: _Scope) -> None:
        for node in scope.nodes.values():
            definition = definitions.get(node["type"])
            if definition is None:
                continue
            if any(value is not None for value in node.get("widgets_values") or ()):
                raise WorkflowError(f"{name}: {_label(node)} has values of its own, which this converter does not handle.")
            by_id = {each["id"]: each for each in definition["nodes"]}
            path = f"{scope.path}{node['id']}:"
            inner[scope.path, node["id"]] = _Scope(path, by_id, _origins(definition["links"], name), node, scope, definition["outputs"])
            walk(inner[scope.path, node["id"]])

    def source(scope: _Scope, link: int | None) -> tuple[str, int] | None:
        """The node, by execution id, and the output that a link comes from in the end."""
        if link is None:
            return None
        if link not in scope.links:
            raise WorkflowError(f"{name}: link {link} is not in the file.")
        node_id, slot = scope.links[link]
        if node_id == SUBGRAPH_INPUT:
            if scope.node is None or scope.around is None:
                raise WorkflowError(f"{name}: link {link} comes from outside of the graph.")
            return source(scope.around, scope.node["inputs"][slot].get("link"))
        below = inner.get((scope.path, node_id))
        if below is None:
            return f"{scope.path}{node_id}", slot
        return source(below, below.outputs[slot]["linkIds"][0])

    def collect(scope: _Scope) -> None:
        for node in scope.nodes.values():
            if node["type"] in definitions:
                collect(inner[scope.path, node["id"]])
                continue
            inputs = [dict(entry) for entry in node.get("inputs") or ()]
            for entry in inputs:
                found = source(scope, entry.get("link"))
                entry["link"] = None
                if found is not None:
                    links.append([len(links) + 1, *found, f"{scope.path}{node['id']}", 0, entry["type"]])
                    entry["link"] = len(links)
            nodes.append({**node, "id": f"{scope.path}{node['id']}", "inputs": inputs})

    top = _Scope("", {each["id"]: each for each in workflow["nodes"]}, _origins(workflow.get("links") or (), name))
    walk(top)
    collect(top)
    return {**workflow, "nodes": nodes, "links": links, "definitions": {}}


def _origins(links: Sequence[Any], name: str) -> dict[int, tuple[int, int]]:
    return {number: (int(node), slot) for number, (node, slot) in _link_sources({"links": links}, name).items()}


def _node(
    node: Mapping[str, Any],
    declaration: Mapping[str, Any],
    sources: Mapping[int, tuple[str, int]],
    kept: set[str],
    name: str,
) -> dict[str, Any]:
    where = f"{name}: {_label(node)}"
    declared = _declared_inputs(declaration)
    saved = {entry["name"]: entry for entry in node.get("inputs") or ()}
    strangers = sorted(set(saved) - {each.name for each in declared} - {"upload"})
    if strangers:
        raise WorkflowError(f"{where}: has inputs the node does not declare: {', '.join(strangers)}; save the workflow again.")
    inputs = _widget_inputs(node.get("widgets_values"), declared, saved, where)
    for input_name, entry in saved.items():
        if entry.get("link") is None:
            continue
        if entry["link"] not in sources:
            raise WorkflowError(f"{where}: input {input_name} names link {entry['link']}, which is not in the file.")
        node_id, slot = sources[entry["link"]]
        if node_id in kept:  # a muted node gives nothing
            inputs[input_name] = [node_id, slot]
    missing = [each.name for each in declared if each.is_required and each.name not in inputs]
    if missing:
        raise WorkflowError(f"{where}: required input not connected: {', '.join(missing)}.")
    return {"class_type": node["type"], "inputs": inputs, "_meta": {"title": node.get("title") or node["type"]}}


def _declared_inputs(declaration: Mapping[str, Any]) -> list[Input]:
    order = declaration.get("input_order") or {}
    found: list[Input] = []
    for group in ("required", "optional"):
        specs = declaration["input"].get(group) or {}
        for name in order.get(group) or specs:
            spec = specs[name]
            kind = "COMBO" if isinstance(spec[0], list) else str(spec[0])
            options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
            found.append(Input(name, kind, options, group == "required"))
    return found


def _widget_inputs(
    values: Sequence[Any] | Mapping[str, Any] | None,
    declared: Sequence[Input],
    saved: Mapping[str, Mapping[str, Any]],
    where: str,
) -> dict[str, Any]:
    widgets = [each for each in declared if each.is_widget(saved.get(each.name))]
    if isinstance(values, Mapping):  # some frontends' widgets are saved by name
        return {each.name: values[each.name] for each in widgets if each.name in values}
    left = list(values or ())
    inputs: dict[str, Any] = {}
    for widget in widgets:
        if not left:
            names = ", ".join(each.name for each in widgets if each.name not in inputs)
            raise WorkflowError(f"{where}: no widget value left for {names}; the node has changed since: save it again.")
        inputs[widget.name] = _checked(left.pop(0), widget, where)
        if widget.has_control and left and left[0] in CONTROL_VALUES:
            left.pop(0)
    if left and any(each.options.get(option) for each in widgets for option in UPLOAD_OPTIONS):
        left.pop(0)  # the upload button is a widget too, made after all others
    if left:
        raise WorkflowError(f"{where}: {len(left)} widget value(s) too many, from {left[0]!r} on; save the workflow again.")
    return inputs


def _checked(value: Any, widget: Input, where: str) -> Any:  # noqa: ANN401 - a widget's value is any JSON
    """`value`, if it is of the widget's type: a shifted list shows here, not as a strange result."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "INT": is_number and float(value).is_integer() if is_number else False,
        "FLOAT": is_number,
        "BOOLEAN": isinstance(value, bool),
        "STRING": isinstance(value, str),
    }.get(widget.kind, True)
    if not fits:
        raise WorkflowError(f"{where}: widget {widget.name} is {widget.kind} but the file has {value!r} for it.")
    # Lists are links in a prompt, so the frontend wraps a list that is a value.
    return {"__value__": value} if isinstance(value, list) else value


def _link_sources(workflow: Mapping[str, Any], name: str) -> dict[int, tuple[str, int]]:
    """Link id → (node id, output slot). Links are lists in file version 0.4 and objects in version 1."""
    sources: dict[int, tuple[str, int]] = {}
    for link in workflow.get("links") or ():
        if isinstance(link, list) and len(link) >= 5:
            sources[link[0]] = (str(link[1]), int(link[2]))
        elif isinstance(link, dict) and "origin_id" in link:
            sources[link["id"]] = (str(link["origin_id"]), int(link["origin_slot"]))
        else:
            raise WorkflowError(f"{name}: cannot read link {link!r}.")
    return sources


def _label(node: Mapping[str, Any]) -> str:
    return f"{node.get('title') or node['type']} #{node['id']}"


def of_type(prompt: Prompt, class_type: str) -> list[str]:
    """Ids of the nodes of a type."""
    return [node_id for node_id, node in prompt.items() if node["class_type"] == class_type]


def set_input(prompt: Prompt, node_id: str, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Change one widget's value; refuses an input that the node does not have."""
    node = prompt[node_id]
    if name not in node["inputs"]:
        raise WorkflowError(f"{node['class_type']} #{node_id} has no input {name}; it has {', '.join(node['inputs'])}.")
    node["inputs"][name] = value


def upstream(prompt: Prompt, node_id: str, name: str) -> Iterator[str]:
    """Ids of the nodes that feed input `name` of a node, nearest first."""
    waiting = [prompt[node_id]["inputs"].get(name)]
    seen: set[str] = set()
    while waiting:
        link = waiting.pop(0)
        if isinstance(link, list) and link[0] not in seen:
            seen.add(link[0])
            yield link[0]
            waiting += prompt[link[0]]["inputs"].values()
