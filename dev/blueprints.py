"""The one-node editions of the templates: `subgraphs/*.json`, which ComfyUI lists as blueprints, and the template that shows one.

A blueprint is a template's graph without what a user brings (loaders, model, notes, the saved picture): those are its inputs and its
output. The masks and numbers of the edit come from a Dragon Canvas, which web/ shows on the face of the node. Nothing is written
here that a template has: `python3 -m dev templates` makes all of them anew.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dev import layout, workflow
from dev.graph_file import Graph, Node, of_types, save, slot, titled
from dev.paths import SUBGRAPHS, WORKFLOWS

#: Where a canvas is found whose slots are those of the node today.
CANVAS_FROM = "dragon_move_with_canvas"
CANVAS = "Draw here: what goes where"
#: Where the two nodes around the graph are found that make it one for pictures of any size.
CROP_FROM = "dragon_large_picture"
#: Pixels of a side of the crop: what SD 1.5 was made for. It is on the face.
SIDE = 512
OUTSIDE = ("LoadImage", "LoadImageMask", "DragonMiniModel", "SaveImage", "DragonPreview", "MarkdownNote")
INPUT_NODE, OUTPUT_NODE = -10, -20
#: What ids of ours are made from, so that they stay the same.
NAMESPACE = uuid.UUID("3b1c6a52-6f0e-4d53-9a57-d2a90b9e0000")

Slot = tuple[str, str]
"""A node's title (or type), and one of its inputs or outputs."""


@dataclass(frozen=True)
class Blueprint:
    """How a template becomes one node."""

    name: str
    template: str
    description: str
    aliases: tuple[str, ...]
    pictures: dict[str, str]
    """Input's name → title of the loader in whose place it is; the first is what the result is of."""
    prompts: dict[str, str]
    """Input's name → title of the text node whose text it is."""
    drawn: dict[str, Slot]
    """Output of the canvas → where it goes. A mask takes the place of the template's."""
    masks: dict[str, str] = field(default_factory=dict)
    """Input's name → title of the mask loader in whose place it is."""
    drawn_on: str = "image"
    """The picture on the canvas; where it is not the first, the first is what is pasted into."""


MOVED = ("mask", "dx", "dy")


def _into(node: str, *names: str, **renamed: str) -> dict[str, Slot]:
    return {name: (node, name) for name in names} | {name: (node, other) for name, other in renamed.items()}


BLUEPRINTS = (
    Blueprint(
        "Dragon move",
        "dragon_move_object",
        "Moves an object: paint over it and its shadow, press V, drag it to its place.",
        ("drag", "move object", "DragonDiffusion"),
        {"image": "Source picture"},
        {"prompt": "What the picture shows"},
        _into("DragonMoveLoss", *MOVED),
    ),
    Blueprint(
        "Dragon resize",
        "dragon_resize_object",
        "Makes an object larger, smaller or turned: paint over it, press V, drag its corners.",
        ("scale object", "rotate object", "DragonDiffusion"),
        {"image": "Source picture"},
        {"prompt": "What the picture shows"},
        _into("DragonResizeLoss", *MOVED, "scale_y", "rotation", scale_x="scale"),
    ),
    Blueprint(
        "Dragon drag points",
        "dragon_drag_points",
        "Drags points of the picture along arrows; what is masked goes along, without a mask what lies round them.",
        ("DragGAN", "drag points", "DragDiffusion"),
        {"image": "Source picture"},
        {"prompt": "What the picture shows"},
        _into("DragonDragLoss", "points", "mask"),
    ),
    Blueprint(
        "Dragon paste",
        "dragon_paste_object",
        "Pastes an object of a second picture: paint over it there, press V, drag it to its place in yours.",
        ("insert object", "composite", "DragonDiffusion"),
        {"image": "Source picture", "second": "Second picture"},
        {"prompt": "What the source shows", "second_prompt": "What the second picture shows", "result_prompt": "What the result shows"},
        _into("DragonPasteLoss", "x", "y", "rotation", scale_x="scale", mask="reference_mask"),
        drawn_on="second",
    ),
    Blueprint(
        "Dragon recolour",
        "dragon_replace_appearance",
        "Gives an object the look of one in a second picture: paint over the object; look_mask says what has the look.",
        ("recolor", "replace appearance", "texture transfer", "DragonDiffusion"),
        {"image": "Source picture", "look": "Second picture"},
        {"prompt": "What the source shows", "look_prompt": "What the second picture shows", "result_prompt": "What the result shows"},
        _into("DragonAppearanceLoss", "mask"),
        masks={"look_mask": "Whose look is wanted"},
    ),
    Blueprint(
        "Dragon remove",
        "dragon_remove_object",
        "Takes an object away: paint over it and its shadow.",
        ("erase object", "inpaint", "object removal", "DragonDiffusion"),
        {"image": "Source picture"},
        {"prompt": "What the picture shows", "result_prompt": "What is left without it"},
        _into("DragonInpaintLoss", "mask"),
    ),
)

#: Widgets of the sampler that are on the face.
ON_FACE = ("seed", "hold_object_until")
CROP_ON_FACE = "side"

#: The template in which one node does the whole edit; its notes are in the file.
FIRST_EDIT, FIRST_BLUEPRINT = "dragon_first_edit", "Dragon move"
#: Where the object goes there, as a share of the picture: 104 of 256 pixels to the right, as in the template of the blueprint.
FIRST_MOVE = [0.40625, 0]


def write() -> list[str]:
    """Make all blueprints and what shows one; returns the names of the files that changed."""
    SUBGRAPHS.mkdir(exist_ok=True)
    made = {SUBGRAPHS / f"{each.name}.json": blueprint(each) for each in BLUEPRINTS}
    made[WORKFLOWS / f"{FIRST_EDIT}.json"] = first_edit()
    return [file.name for file, graph in made.items() if save(graph, file)]


def blueprint(recipe: Blueprint) -> Graph:
    """The file that ComfyUI lists: one node, and the graph inside of it."""
    inside = Inside(recipe)
    return {
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [inside.face()],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [inside.definition()]},
        "extra": {"BlueprintDescription": recipe.description, "BlueprintSearchAliases": list(recipe.aliases)},
    }


def first_edit() -> Graph:
    """A loader, a model, one blueprint with the edit drawn on it, and the result."""
    recipe = next(each for each in BLUEPRINTS if each.name == FIRST_BLUEPRINT)
    drawn = json.loads(titled(workflow.load(WORKFLOWS / f"{CANVAS_FROM}.json"), CANVAS)["widgets_values"][0])
    for thing in drawn["objects"]:
        thing.update(move=FIRST_MOVE, scale=[1, 1], rotation=0)
    file = WORKFLOWS / f"{FIRST_EDIT}.json"
    notes = of_types(workflow.load(file), "MarkdownNote") if file.is_file() else []
    return shown(recipe, json.dumps(drawn, separators=(",", ":")), FIRST_EDIT, notes)


def shown(recipe: Blueprint, drawing: str, name: str, notes: Sequence[Node] = ()) -> Graph:
    """A workflow that is one blueprint with the pictures, prompts and model of its template, and what is drawn."""
    inside = Inside(recipe, drawing, is_filled=True)
    template = workflow.load(WORKFLOWS / f"{recipe.template}.json")
    titles = {**recipe.pictures, **recipe.masks}
    loaders = [copy.deepcopy(titled(template, title)) for title in titles.values()]
    model, saved = (copy.deepcopy(titled(template, title)) for title in ("DragonMiniModel", "SaveImage"))
    face = inside.face()
    saved["widgets_values"] = [name.replace("dragon_", "dragon/")]
    nodes = [*loaders, model, face, saved]
    for number, node in enumerate(nodes, 1):
        node.update(id=number, order=number - 1)
        for entry in node["inputs"]:
            entry["link"] = None
        for entry in node["outputs"]:
            entry["links"] = []
    links: list[list[Any]] = []

    def join(origin: Node, output: int, target: Node, into: str) -> None:
        place = slot(target["inputs"], into)
        links.append([len(links) + 1, origin["id"], output, target["id"], place, target["inputs"][place]["type"]])
        target["inputs"][place]["link"] = len(links)
        origin["outputs"][output]["links"].append(len(links))

    for number, each in enumerate(("model", "clip", "vae")):
        join(model, number, face, each)
    for into, loader in zip(titles, loaders, strict=True):
        join(loader, 0, face, into)
    join(face, 0, saved, "images")
    view = layout.arrange_first((*loaders, model), face, saved, notes)
    return {
        "id": str(uuid.uuid5(NAMESPACE, name)),
        "revision": 0,
        "last_node_id": len(nodes) + len(notes),
        "last_link_id": len(links),
        "nodes": [*nodes, *notes],
        "links": links,
        "groups": [],
        "definitions": {"subgraphs": [inside.definition()]},
        "config": {},
        "extra": {"ds": view, "frontendVersion": template["extra"]["frontendVersion"]},
        "version": 0.4,
    }


def unlinked(node: Node) -> Node:
    """A copy of a node that nothing is linked to."""
    node = copy.deepcopy(node)
    for entry in node.get("inputs") or ():
        entry["link"] = None
    for entry in node.get("outputs") or ():
        entry["links"] = None
    return node


class Inside:
    """A template's graph as it is being made into a subgraph."""

    def __init__(self, recipe: Blueprint, drawing: str = "", *, is_filled: bool = False) -> None:
        """`is_filled`: with the template's own prompts, for its own picture."""
        self.recipe, self.is_filled = recipe, is_filled
        self.template = workflow.load(WORKFLOWS / f"{recipe.template}.json")
        self.nodes = [unlinked(node) for node in self.template["nodes"] if node["type"] not in OUTSIDE]
        self.links: dict[int, dict[str, Any]] = {}
        self.inputs: list[dict[str, Any]] = []
        self.canvas = self._taken(CANVAS_FROM, CANVAS, 1, [drawing])
        self.crop = self._taken(CROP_FROM, "DragonCrop", 2, [SIDE, 0.5])
        self.uncrop = self._taken(CROP_FROM, "DragonUncrop", 3, [])
        self.nodes += (self.canvas, self.crop, self.uncrop)
        self.by_id = {node["id"]: node for node in self.nodes}
        self._wire()
        self.output = self._link(self.uncrop, 0, OUTPUT_NODE, 0, "IMAGE")

    @property
    def graph(self) -> Graph:
        return {"nodes": self.nodes}

    def _taken(self, template: str, title: str, number: int, values: list[Any]) -> Node:
        """A node of another template, the ``number``-th that this one has not."""
        node = unlinked(titled(workflow.load(WORKFLOWS / f"{template}.json"), title))
        node["id"] = number + max(each["id"] for each in self.template["nodes"])
        # As the frontend orders them when it loads the node: by the number of another slot it would not find the widget on the face.
        node["inputs"].sort(key=lambda entry: "widget" in entry)
        node["widgets_values"] = values
        return node

    def _wire(self) -> None:
        """Links of the template among what is kept; from what is not, inputs of the subgraph or the canvas."""
        recipe = self.recipe
        (model,) = of_types(self.template, "DragonMiniModel")
        outside: dict[tuple[int, int], str] = {(model["id"], number): name for number, name in enumerate(("model", "clip", "vae"))}
        pictures = {**recipe.pictures, **recipe.masks}
        for name, title in pictures.items():
            outside[titled(self.template, title)["id"], 0] = name
        wanted: dict[str, list[tuple[Node, int]]] = {name: [] for name in ("model", "clip", "vae", *recipe.pictures, *recipe.masks)}
        drawn = {(node, name) for node, name in recipe.drawn.values()}
        for _, origin, origin_slot, target, target_slot, kind in self.template["links"]:
            if target not in self.by_id:
                continue
            node = self.by_id[target]
            if (node.get("title") or node["type"], node["inputs"][target_slot]["name"]) in drawn:
                continue  # the canvas gives it
            if kind == "DRAGON_ENERGY":  # of the edit as it is on the crop
                self._link(self.crop, slot(self.crop["outputs"], "energy"), target, target_slot, kind)
            elif origin in self.by_id:
                self._link(self.by_id[origin], origin_slot, target, target_slot, kind)
            elif (origin, origin_slot) not in outside:  # a mask that is now drawn
                self._link(self.canvas, slot(self.canvas["outputs"], "mask"), target, target_slot, kind)
            elif outside[origin, origin_slot] in recipe.pictures:
                is_first = outside[origin, origin_slot] == next(iter(recipe.pictures))
                self._link(self.crop, slot(self.crop["outputs"], "image" if is_first else "reference"), target, target_slot, kind)
            else:
                wanted[outside[origin, origin_slot]].append((node, target_slot))
        self._wire_crop(wanted)
        wanted[recipe.drawn_on].append((self.canvas, slot(self.canvas["inputs"], "image")))
        if recipe.drawn_on != "image":
            wanted["image"].append((self.canvas, slot(self.canvas["inputs"], "onto")))
        for name, (title, target_name) in recipe.drawn.items():
            node = titled(self.graph, title)
            origin_slot = slot(self.canvas["outputs"], name)
            self._link(self.canvas, origin_slot, node["id"], slot(node["inputs"], target_name), self.canvas["outputs"][origin_slot]["type"])
        for name, title in recipe.prompts.items():
            node = titled(self.graph, title)
            wanted[name] = [(node, slot(node["inputs"], "text"))]
            node["widgets_values"] = node["widgets_values"] if self.is_filled else [""]
        sampler = titled(self.graph, "DragonSampler")
        for name in ON_FACE:
            wanted[name] = [(sampler, slot(sampler["inputs"], name))]
        wanted[CROP_ON_FACE] = [(self.crop, slot(self.crop["inputs"], CROP_ON_FACE))]
        for name, targets in wanted.items():
            self._input(name, targets)

    def _wire_crop(self, wanted: dict[str, list[tuple[Node, int]]]) -> None:
        """The two nodes around the graph: the first picture in, the result out."""
        first, *others = self.recipe.pictures
        (loss,) = of_types(self.graph, *layout.LOSSES)
        result = titled(self.graph, "DragonComposite")
        wanted[first].append((self.crop, slot(self.crop["inputs"], "image")))
        if others:
            wanted[others[0]].append((self.crop, slot(self.crop["inputs"], "reference")))
        for origin, output, target, into in (
            (loss, "energy", self.crop, "energy"),
            (self.crop, "crop", self.uncrop, "crop"),
            (result, "image", self.uncrop, "image"),
        ):
            at, place = slot(origin["outputs"], output), slot(target["inputs"], into)
            self._link(origin, at, target["id"], place, origin["outputs"][at]["type"])

    def _link(self, origin: Node, origin_slot: int, target: int, target_slot: int, kind: str) -> int:
        number = self._number(origin["id"], origin_slot, target, target_slot, kind)
        links = origin["outputs"][origin_slot].get("links")
        origin["outputs"][origin_slot]["links"] = [*(links or ()), number]
        return number

    def _number(self, origin: int, origin_slot: int, target: int, target_slot: int, kind: str) -> int:
        number = len(self.links) + 1
        self.links[number] = {
            "id": number,
            "origin_id": origin,
            "origin_slot": origin_slot,
            "target_id": target,
            "target_slot": target_slot,
            "type": kind,
        }
        if target in self.by_id:
            self.by_id[target]["inputs"][target_slot]["link"] = number
        return number

    def _input(self, name: str, targets: list[tuple[Node, int]]) -> None:
        node, position = targets[0]
        kind = node["inputs"][position]["type"]
        place = len(self.inputs)
        numbers = [self._number(INPUT_NODE, place, each["id"], at, kind) for each, at in targets]
        widget = node["inputs"][position].get("widget")
        self.inputs.append({"name": name, "type": kind, "linkIds": numbers, "has_widget": widget is not None})

    def definition(self) -> dict[str, Any]:
        placed = layout.inside(self.nodes)
        inputs = [
            {"id": self._id(f"input {each['name']}"), **{key: value for key, value in each.items() if key != "has_widget"}}
            for each in self.inputs
        ]
        output = {"id": self._id("output image"), "name": "image", "type": "IMAGE", "linkIds": [self.output]}
        return {
            "id": self._id("graph"),
            "version": 1,
            "state": {
                "lastGroupId": len(placed.groups),
                "lastNodeId": max(self.by_id),
                "lastLinkId": len(self.links),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": self.recipe.name,
            "description": self.recipe.description,
            "category": "Dragon",
            "inputNode": {"id": INPUT_NODE, "bounding": placed.before},
            "outputNode": {"id": OUTPUT_NODE, "bounding": placed.after},
            "inputs": inputs,
            "outputs": [output],
            "widgets": [],
            "nodes": self.nodes,
            "groups": placed.groups,
            "links": list(self.links.values()),
            "extra": {},
        }

    def face(self) -> Node:
        """The node that stands for it."""
        inputs = [
            {
                "name": each["name"],
                "type": each["type"],
                **({"widget": {"name": each["name"]}} if each["has_widget"] else {}),
                "link": None,
            }
            for each in self.inputs
        ]
        return {
            "id": 1,
            "type": self._id("graph"),
            "pos": [0, 0],
            "size": list(layout.face_size(self.inputs)),
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": inputs,
            "outputs": [{"name": "image", "type": "IMAGE", "links": None}],
            "title": self.recipe.name,
            "properties": {},
            "widgets_values": [],
        }

    def _id(self, part: str) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{self.recipe.name}/{part}"))
