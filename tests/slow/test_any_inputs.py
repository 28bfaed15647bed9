"""A thousand cases of any inputs for any node."""

from __future__ import annotations

from any_inputs import Playground, check_any_inputs

from real_comfyui import Execute, Pack


def test_any_inputs(run: Execute, pack: Pack) -> None:
    check_any_inputs(Playground(run), pack.node_classes, 1000)
