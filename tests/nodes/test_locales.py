"""What users read on the nodes, in each language: locales/ against the nodes themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from dev import locales

LANGUAGES = ("en", "zh")
#: What the frontend's message format would read as its own (vue-i18n: placeholders, links, plurals).
SYNTAX = set("{}@|")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
#: Texts that are the same in Chinese.
UNTRANSLATED = {"cfg", "clip", "vae", "x", "y", "Latent"}
NODE = re.compile(r"\bDragon(?: ?[A-Z][a-z]+|-)+")
WIDGET = re.compile(r"\b[a-z]+_[a-z_]+\b")


@pytest.fixture(scope="module")
def infos(pack: Any) -> dict[str, Any]:
    """What /object_info says of our nodes."""
    return {name: node.GET_NODE_INFO_V1() for name, node in pack.node_classes.items()}


def read(pack: Any, language: str, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((pack.folder / "locales" / language / f"{name}.json").read_text("utf-8"))
    return read


def leaves(texts: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in texts.items():
        if isinstance(value, str):
            yield (*path, key), value
        else:
            yield from leaves(value, (*path, key))


def test_english_is_what_the_nodes_say(pack: Any, infos: dict[str, Any]) -> None:
    assert read(pack, "en", "nodeDefs") == locales.texts(infos), "a text has changed: python3 -m dev locales, then locales/zh by hand"


def test_chinese_has_every_text_and_no_other(pack: Any, infos: dict[str, Any]) -> None:
    wanted, found = dict(leaves(locales.texts(infos))), dict(leaves(read(pack, "zh", "nodeDefs")))
    assert set(wanted) - set(found) == set(), "lacking in locales/zh/nodeDefs.json"
    assert set(found) - set(wanted) == set(), "stale in locales/zh/nodeDefs.json"
    assert [path for path, text in found.items() if not CHINESE.search(text) and text not in UNTRANSLATED] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_frontend_can_read_every_text(pack: Any, language: str) -> None:
    texts = [*leaves(read(pack, language, "nodeDefs")), *leaves(read(pack, language, "main"))]
    assert [path for path, text in texts if not text.strip() or SYNTAX & set(text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_category_has_a_name(pack: Any, infos: dict[str, Any], language: str) -> None:
    assert set(read(pack, language, "main")["nodeCategories"]) == {part for info in infos.values() for part in info["category"].split("/")}


def test_chinese_names_the_same_nodes_widgets_and_choices(pack: Any, infos: dict[str, Any]) -> None:
    """As a Chinese user sees them: nodes by their Chinese titles, widgets by their Chinese labels, choices as they are in the list."""
    english, chinese = locales.texts(infos), read(pack, "zh", "nodeDefs")
    titles = {form: chinese[name]["display_name"] for name in english for form in (name, english[name]["display_name"])}
    labels: dict[str, set[str]] = {}
    for name, node in english.items():
        for group in ("inputs", "outputs"):
            for key, texts in node[group].items():
                labels.setdefault(texts["name"], {texts["name"]}).add(chinese[name][group][key]["name"])
    translated = dict(leaves(chinese))
    wrong = []
    for path, text in leaves(english):
        if path[-1] not in ("description", "tooltip"):
            continue
        accepted = [{titles[name]} for name in NODE.findall(text) if name in titles]
        accepted += [labels[name] for name in WIDGET.findall(text) if name in labels]
        if "inputs" in path:
            accepted += [{choice} for choice in choices(infos[path[0]], path[2]) if re.search(rf"\b{choice}\b[:)]", text)]
        accepted += [{number} for number in re.findall(r"\d+(?:\.\d+)?", text)]
        wrong += [(path, names) for names in accepted if not any(name in translated[path] for name in names)]
    assert wrong == []


def choices(info: Mapping[str, Any], name: str) -> list[str]:
    kind, options = next(group[name] for group in info["input"].values() if name in group)
    listed = options.get("options", []) if kind == "COMBO" else []
    return [choice for choice in listed if isinstance(choice, str)]
