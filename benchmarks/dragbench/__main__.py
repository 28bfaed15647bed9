"""Run and score DragBench.

``python3 -m dev run -- -m benchmarks.dragbench --root DIR --checkpoint SD15 --dift-checkpoint SD21 --out results.json``

Any model that the nodes take: a checkpoint, or with ``--diffusion-model``, ``--text-encoder``, ``--text-encoder-type`` and ``--vae`` files
of its own (FLUX, Qwen-Image, Z-Image, …). Every picture goes through the nodes as a user would wire them: DragonInvert, DragonDragLoss
with the sample's pairs and mask, and DragonSampler. Outputs are resized to their source's size before anything is measured. Beside
results.json come the pictures and ``results.md``. A run that was stopped goes on where it was.

MD (mean distance) needs ``--dift-checkpoint``, Stable Diffusion 2.1; without it only pictures and IF are made. IF needs ``lpips``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import methods
from benchmarks.cases import Case, Edit, Picture, load_picture, save_picture
from benchmarks.dragbench import fidelity, matching, report
from benchmarks.dragbench.samples import Sample, SampleError, find_samples, fitted, load_sample, resized
from benchmarks.model_files import ModelFiles
from benchmarks.settings import SettingError, Settings, parse_overrides
from benchmarks.tasks import find_task

if TYPE_CHECKING:
    from benchmarks.dragbench.dift import Dift
    from benchmarks.host import Host

MASKS = Settings({"DragonDragLoss.mask_means": "area"})
"""DragBench's masks are the area in which the picture may change, not an object."""

LOG = logging.getLogger("benchmarks.dragbench")


class Run:
    """Samples through the nodes, then through the measures."""

    def __init__(self, out: Path, host: Host, settings: Settings) -> None:
        self.out = out
        self.host = host
        self.settings = settings
        self.rows = report.load_rows(out)

    def edit_all(self, samples: Iterable[Sample]) -> None:
        """The pictures. All of them before any is measured: one checkpoint in memory at a time."""
        for sample in samples:
            known = self.rows.get(sample.name)
            if known and known.fingerprint == self._fingerprint(sample) and self._picture(sample).is_file():
                continue
            picture, seconds = self._edit(sample)
            self._picture(sample).parent.mkdir(parents=True, exist_ok=True)
            save_picture(picture, self._picture(sample))
            self.rows[sample.name] = report.Row(self._fingerprint(sample), sample.asked, [], [], None, round(seconds, 2))
            self._save()
            LOG.info("%s  %.1f s", sample.name, seconds)

    def measure_all(self, samples: Iterable[Sample], dift: Dift | None, checkpoint: str = "") -> None:
        """What is not measured yet, with DIFT features of that checkpoint."""
        measure = fidelity.fidelity_measure()
        if measure is None:
            LOG.info(fidelity.MISSING)
        for sample in samples:
            row, output = self.rows[sample.name], load_picture(self._picture(sample))
            if dift is not None and row.dift != checkpoint:
                before, after = (dift.features(fitted_picture(picture), sample.prompt) for picture in (sample.source, output))
                found = matching.distances(before, after, sample.points, sample.mask.shape)
                row = replace(row, md_px=found.pixels, md_near=found.near, dift=checkpoint)
                LOG.info("%s  MD %s px", sample.name, ", ".join(f"{value:.1f}" for value in found.pixels))
            if measure is not None and row.fidelity is None:
                row = replace(row, fidelity=measure(sample.source, output))
            self.rows[sample.name] = row
            self._save()

    def table(self, names: Iterable[str]) -> str:
        table = report.markdown(report.summary([self.rows[name] for name in names]))
        self.out.with_suffix(".md").write_text(f"{table}\n\n{report.PUBLISHED}\n", "utf-8")
        return table

    def _edit(self, sample: Sample) -> tuple[Picture, float]:
        """The edited picture in the sample's own size."""
        asked = fitted(sample, self.host.cell)
        edit = Edit("drag", asked.prompt, points=asked.points)
        # There is no true answer here: the source stands in its place, which nothing on this path looks at.
        case = Case(sample.name, edit, asked.source, asked.source, asked.source, asked.mask, asked.mask)
        self.host.begin(case)
        before = self.host.meter.read()
        picture = methods.edit(case, self.host, self.settings)
        return resized(picture, sample.source.shape[:2]), (self.host.meter.read() - before).seconds

    def _picture(self, sample: Sample) -> Path:
        return self.out.with_name(f"{self.out.stem}-pictures") / f"{sample.name}.png"

    def _fingerprint(self, sample: Sample) -> str:
        total = hashlib.sha256(sample.source.tobytes() + sample.mask.tobytes())
        what = [sample.prompt, sample.points, self.host.weights, self._resolved()]
        total.update(json.dumps(what, sort_keys=True, default=str).encode())
        return total.hexdigest()[:16]

    def _resolved(self) -> dict[str, object]:
        return self.host.resolved(self.settings, (*methods.NODES, find_task("drag").node))

    def _save(self) -> None:
        about = {**self.host.about(), "settings": self._resolved()}
        report.save(self.out, about, self.rows)


def fitted_picture(picture: Picture) -> Picture:
    """With sides that a VAE can divide."""
    height, width = (max(8, round(side / 8) * 8) for side in picture.shape[:2])
    return resized(picture, (height, width))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="DragBench's folder: <root>/<category>/<sample>/meta_data.pkl")
    parser.add_argument("--checkpoint", help="the edit's checkpoint, in ComfyUI's models folder (default: the bundled model)")
    parser.add_argument("--diffusion-model", metavar="NAME", help="a file of ComfyUI's UNETLoader, in the place of --checkpoint")
    parser.add_argument("--text-encoder", nargs="+", metavar="NAME", default=[], help="its text encoder, or two of them")
    parser.add_argument("--text-encoder-type", metavar="TYPE", help="their type, as CLIPLoader or DualCLIPLoader calls it")
    parser.add_argument("--vae", metavar="NAME", help="its VAE")
    parser.add_argument("--dift-checkpoint", metavar="NAME", help="a Stable Diffusion 2.1 checkpoint, for the mean distance")
    parser.add_argument("--out", type=Path, required=True, help="results.json; pictures and table go beside it")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="node inputs, as for benchmarks.ground_truth")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")
    args = parser.parse_args()
    try:
        settings = parse_overrides(",".join(args.set)).over(MASKS)
        samples = [load_sample(folder) for folder in find_samples(args.root)[: args.limit]]
        from benchmarks.host import Host  # ComfyUI starts here

        host = Host(_model(args))
        host.check(settings)
    except (SampleError, SettingError) as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)  # ComfyUI's chatter aside
    LOG.setLevel(logging.INFO)
    run = Run(args.out, host, settings)
    run.edit_all(samples)
    run.measure_all(samples, _dift(host, args.dift_checkpoint), args.dift_checkpoint or "")
    LOG.info("\n%s\n\n%s", run.table([sample.name for sample in samples]), report.PUBLISHED)


def _model(args: argparse.Namespace) -> str | ModelFiles | None:
    """The model that is asked for; raises :class:`SettingError`."""
    parts = (args.diffusion_model, args.text_encoder, args.text_encoder_type, args.vae)
    if not any(parts):
        checkpoint: str | None = args.checkpoint
        return checkpoint
    if not all(parts) or len(args.text_encoder) > 2 or args.checkpoint:
        raise SettingError("Give --checkpoint, or all of --diffusion-model, --text-encoder (one or two), --text-encoder-type and --vae.")
    return ModelFiles(args.diffusion_model, tuple(args.text_encoder), args.text_encoder_type, args.vae)


def _dift(host: Host, checkpoint: str | None) -> Dift | None:
    if checkpoint is None:
        LOG.info("The mean distance (MD) is left out: give --dift-checkpoint, Stable Diffusion 2.1, for it.")
        return None
    from benchmarks.dragbench.dift import Dift

    return Dift(host.run, host.run("CheckpointLoaderSimple", ckpt_name=checkpoint)[:3])


if __name__ == "__main__":
    main()
