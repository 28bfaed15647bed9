"""Installing as ComfyUI-Manager does: a clone in custom_nodes of a fresh ComfyUI, pip install -r, start."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib

from dev.environment import Environment
from dev.errors import DevError
from dev.pack import archive, install_clone
from dev.paths import PACK_NAME, REPOSITORY, WORKFLOWS
from dev.server import Server, running

NODE_IDS = (
    "DragonInvert",
    "DragonGuidanceBranch",
    "DragonMoveLoss",
    "DragonCrossAttnPatch",
    "DragonSampler",
    "DragonGuider",
    "DragonEulerSampler",
    "DragonMiniModel",
)

# What ComfyUI itself says of a pack that is well; digits are '#'.
EXPECTED = re.compile(rf"#\.# seconds: .*/{PACK_NAME}|Import times for custom nodes:|Automatically register web folder.*|")


@pytest.fixture(scope="module")
def installed(comfy_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("fresh")

    def as_manager(custom_nodes: Path) -> None:
        folder = install_clone(custom_nodes)
        subprocess.run(
            [str(comfy_environment.python), "-m", "pip", "install", "--quiet", "-r", str(folder / "requirements.txt")],
            check=True,
        )

    with running(comfy_environment, install=as_manager, base=base) as server:
        yield server


def test_every_node_is_there(installed: Server) -> None:
    info = installed.client.object_info()
    assert [name for name in NODE_IDS if name not in info] == []
    assert {info[name]["python_module"] for name in NODE_IDS} == {f"custom_nodes.{PACK_NAME}"}


def test_nothing_of_ours_in_the_log(installed: Server, comfy_environment: Environment) -> None:
    """What the server says on starting with the pack, and does not say without it, is the line that reports success."""

    def lines(server: Server) -> list[str]:
        text = server.log().replace(str(server.base), "BASE")
        text = re.sub(r"\x1b\[[\d;]*m|\[INFO\]", "", text)  # newer releases print the level, in colour
        return [re.sub(r"\d+", "#", line).strip() for line in text.splitlines()]

    with running(comfy_environment) as bare:
        usual = set(lines(bare))
    assert [line for line in lines(installed) if line not in usual and not EXPECTED.fullmatch(line)] == []


def test_templates_are_listed(installed: Server) -> None:
    shipped = sorted(file.stem for file in WORKFLOWS.glob("*.json"))
    assert shipped, "no workflow is shipped"
    assert sorted(installed.client.get_json("/api/workflow_templates")[PACK_NAME]) == shipped
    for name in shipped:
        assert installed.client.get_json(f"/api/workflow_templates/{PACK_NAME}/{name}.json")["nodes"]
        assert installed.client.get_bytes(f"/api/workflow_templates/{PACK_NAME}/{name}.jpg").startswith(b"\xff\xd8")


def test_samples_are_in_the_input_folder(installed: Server) -> None:
    """Copied when the pack is loaded, whole, and offered by the Load nodes that the templates use."""
    shipped = sorted((WORKFLOWS / "inputs").iterdir())
    for sample in shipped:
        assert (installed.base / "input" / sample.name).read_bytes() == sample.read_bytes()
    info = installed.client.object_info()
    for node, widget, kind in (("LoadImage", "image", ".png"), ("LoadImageMask", "image", ".png"), ("LoadVideo", "file", ".mp4")):
        choices = info[node]["input"]["required"][widget][0]
        choices = info[node]["input"]["required"][widget][1]["options"] if choices == "COMBO" else choices
        wanted = {sample.name for sample in shipped if sample.suffix == kind}
        assert wanted and wanted <= set(choices), node


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_help_page_is_served(installed: Server, node_id: str) -> None:
    page = installed.client.get_bytes(f"/extensions/{PACK_NAME}/docs/{node_id}.md").decode("utf-8")
    assert page.startswith("# ")
    chinese = installed.client.get_bytes(f"/extensions/{PACK_NAME}/docs/{node_id}/zh.md").decode("utf-8")
    assert chinese.startswith(page.splitlines()[0] + "（"), "the same title, with the Chinese one after it"


def test_texts_are_served_in_both_languages(installed: Server) -> None:
    """Where the frontend asks for what packs bring; all of it is compared with the nodes in tests/nodes/test_locales.py."""
    served = installed.client.get_json("/i18n")
    assert served["en"]["nodeDefs"]["DragonSampler"]["display_name"] == "Dragon Sampler"
    assert served["zh"]["nodeDefs"]["DragonSampler"]["display_name"] == "Dragon 采样器"
    assert served["zh"]["nodeCategories"]["Dragon"] == "Dragon 拖拽编辑"


def test_what_is_not_there_is_refused(installed: Server) -> None:
    """So that the tests above cannot pass by a catch-all page."""
    with pytest.raises(DevError, match="404"):
        installed.client.get_bytes(f"/extensions/{PACK_NAME}/docs/NoSuchNode.md")


def test_release_leaves_out_what_users_do_not_need(server: Server, tmp_path: Path) -> None:
    """This server runs what the registry's archive holds, as do all tests of its tier that do not say otherwise."""
    folder = server.base / "custom_nodes" / PACK_NAME
    with zipfile.ZipFile(archive(tmp_path / "pack.zip")) as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert there == names
    parts = {name.split("/")[0] for name in names}
    wanted = {"__init__.py", "nodes", "dragon_core", "web", "workflows", "subgraphs", "locales", "mini_model", "README.md", "LICENSE"}
    assert wanted <= parts
    assert not parts & {"dev", "tests", "toy_world", "training", "benchmarks", ".ci", ".git", ".gitignore", ".comfyignore"}
    assert set(NODE_IDS) <= set(server.client.object_info())


def test_the_repositorys_address_stands_in_one_place() -> None:
    """It is not published yet, and moves once: in pyproject.toml, which the registry reads."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    address = project["urls"]["Repository"].removeprefix("https://")
    files = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("web/docs/**/*.md"), REPOSITORY / "pyproject.toml"]
    counts = {file.name: file.read_text("utf-8").count(address) for file in files}
    assert {name: count for name, count in counts.items() if count} == {"pyproject.toml": 1}
