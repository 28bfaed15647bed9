"""One ComfyUI server for all tests of this tier, with the pack installed as the registry would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev import environment
from dev.environment import Environment
from dev.paths import WORKFLOWS
from dev.server import Server, copy_inputs, running
from tests.support.servers import install


@pytest.fixture(scope="session")
def comfy_environment() -> Environment:
    return environment.ensure()


@pytest.fixture(scope="session")
def server(comfy_environment: Environment) -> Iterator[Server]:
    with running(comfy_environment, install=install) as started:
        copy_inputs(started, WORKFLOWS / "inputs")
        yield started
