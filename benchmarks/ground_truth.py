"""Measure edits against the true answer: ``python3 -m dev run -- -m benchmarks.ground_truth --cases DIR --out results.json``.

Every case goes through every method, by the same nodes that a user runs. Beside results.json come the outputs
(``results-pictures/``), the table (``results.md``) and a contact sheet (``results.png``). A run that was stopped goes on
where it was; rows made with other settings, weights or cases are made again. Machines or processes share the work with
``--shard 1/2`` and ``--shard 2/2`` (each writes its own file); the same command without it then gathers them. Or with
``--ray``: actors on a Ray cluster, or on this machine, each of which holds a model (:mod:`benchmarks.spread`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import methods, sheet
from benchmarks.cases import Case, CaseError, Picture, digest, load_cases, load_picture, save_picture
from benchmarks.metrics import Score
from benchmarks.results import Row, load_results, markdown
from benchmarks.runner import Job, Outcome, Runner, loosened
from benchmarks.settings import SettingError, Settings, Variant, parse_overrides, parse_variant
from benchmarks.spread import RayPool, SpreadError
from benchmarks.tasks import find_task

if TYPE_CHECKING:
    from benchmarks.host import Host

LOG = logging.getLogger("benchmarks.ground_truth")
SHEET_ROWS = 16


@dataclass(frozen=True)
class Files:
    """Where a run keeps things; ``shard`` is '' or '.1-of-2'."""

    out: Path
    shard: str = ""

    @property
    def results(self) -> Path:
        return self.out.with_name(f"{self.out.stem}{self.shard}.json")

    @property
    def shards(self) -> list[Path]:
        return sorted(self.out.parent.glob(f"{self.out.stem}.*-of-*.json"))

    def picture(self, case: Case, method: str) -> Path:
        return self.out.with_name(f"{self.out.stem}-pictures") / case.name / f"{method}.png"


class Bench:
    """One run: cases through methods, into results. ``host`` tells the settings and weights that a row is valid for."""

    def __init__(self, files: Files, wanted: Sequence[Variant], host: Host | None, loose: int = 0) -> None:
        self.files = files
        self.wanted, self.loose = wanted, loose
        self.host = host
        self.results = load_results(files.results)
        for path in files.shards:
            self.results.rows |= load_results(path).rows
        self.names = [variant.name for variant in wanted]
        self.results.about = self._about()

    def todo(self, cases: Iterable[Case]) -> Iterator[Job]:
        """Every case with the wanted methods that it has no valid row of yet."""
        for case in cases:
            missing = tuple(variant for variant in self.wanted if not self._is_done(case, variant))
            if missing:
                yield Job(case, missing, self.loose)

    def record(self, outcome: Outcome) -> None:
        """Keep the picture and the row."""
        case, name, score = outcome.case, outcome.variant.name, outcome.score
        path = self.files.picture(case, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(outcome.picture, path)
        self.results.add(Row(case.name, name, self._fingerprint(case, outcome.variant), score, outcome.cost))
        self.save()
        LOG.info("%s  %-18s %s  %.1f s", case.name, name, _in_short(score), outcome.cost["seconds"])

    def _is_done(self, case: Case, variant: Variant) -> bool:
        has_row = self.results.has(case.name, variant.name, self._fingerprint(case, variant))
        return has_row and self.files.picture(case, variant.name).is_file()

    def save(self) -> None:
        self.results.save(self.files.results, self.names)

    def report(self, cases: Sequence[Case]) -> str:
        """Write table and sheet; returns the table."""
        self.save()
        table = markdown(self.results.only([case.name for case in cases], self.names).summary(self.names))
        self.files.results.with_suffix(".md").write_text(table + "\n", "utf-8")
        shown = list(cases[:SHEET_ROWS])
        outputs = [self._pictures(case) for case in shown]
        sheet.save_sheet(sheet.contact_sheet(shown, outputs, self.names), self.files.results.with_suffix(".png"))
        return table

    def _pictures(self, case: Case) -> dict[str, Picture]:
        paths = {name: self.files.picture(case, name) for name in self.names}
        return {name: load_picture(path) for name, path in paths.items() if path.is_file()}

    def _fingerprint(self, case: Case, variant: Variant) -> str:
        parts: dict[str, Any] = {"case": digest(loosened(case, self.loose)), "method": variant.method}
        if variant.method in methods.MODEL_METHODS and self.host is not None:
            task = find_task(case.edit.task)
            settings = self.host.resolved(variant.settings, (*methods.NODES, task.node))
            parts |= {"weights": self.host.weights, "settings": settings}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = {"methods": {v.name: {"method": v.method, **v.settings.overrides} for v in self.wanted}}
        if self.host is not None:
            about |= {**self.host.about(), "defaults": self.host.shipped()}
        return about


def _in_short(score: Score) -> str:
    parts = [f"background {score.background_psnr:.1f} dB"]
    named = {"IoU": score.object_iou, "ghost": score.ghost, "distance": score.drag_distance, "colours": score.colour_distance}
    named |= {"light": score.light_error, "shadow": score.shadow_error, "seam": score.seam}
    return "  ".join(parts + [f"{name} {value:.3f}" for name, value in named.items() if value is not None])


def choose(names: Sequence[str] | None, variants: Sequence[str], common: Settings) -> list[Variant]:
    """The methods to run, in the table's order, then the variants."""
    unknown = set(names or ()) - set(methods.NAMES)
    if unknown:
        raise SettingError(f"No method '{sorted(unknown)[0]}'. There are: {', '.join(methods.NAMES)}.")
    chosen = [name for name in methods.NAMES if not names or name in names]
    wanted = [Variant(name, name, common if name in methods.MODEL_METHODS else Settings()) for name in chosen]
    for text in variants:
        variant = parse_variant(text)
        if variant.method not in methods.MODEL_METHODS or variant.name in [other.name for other in wanted]:
            raise SettingError(f"'{text}': the name must be new, and the method one of {', '.join(methods.MODEL_METHODS)}.")
        wanted.append(Variant(variant.name, variant.method, variant.settings.over(common)))
    return wanted


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"'{text}' is not i/n with 1 ≤ i ≤ n, such as 1/2")
    return int(index), int(count)


def _start_host(wanted: Sequence[Variant], checkpoint: str | None) -> Host | None:
    if all(variant.method in methods.PIXEL_METHODS for variant in wanted):
        return None
    from benchmarks.host import Host  # ComfyUI starts here, and only when a model is asked for

    host = Host(checkpoint)
    for variant in wanted:
        host.check(variant.settings)
    return host


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True, help="folder of case folders, or one case folder")
    parser.add_argument("--out", type=Path, required=True, help="results.json; pictures, table and sheet go beside it")
    parser.add_argument("--method", nargs="+", metavar="NAME", help=f"default: {' '.join(methods.NAMES)}")
    parser.add_argument("--variant", nargs="+", default=[], metavar="NAME[@METHOD]:KEY=VALUE,…", help="settings under a name")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="node inputs for all model methods")
    parser.add_argument("--loose", type=int, default=0, metavar="PIXELS", help="masks larger all round, as people draw them")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N cases")
    parser.add_argument("--shard", type=_shard, metavar="I/N", help="only every N-th case, beginning with the I-th")
    parser.add_argument("--checkpoint", help="a checkpoint in ComfyUI's models folder, or bundled-flow, instead of the bundled model")
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help="spread over Ray actors (a running cluster, or this machine)")
    parser.add_argument("--actors", type=int, metavar="N", help="with --ray: how many models (default: one a GPU, or one a machine)")
    args = parser.parse_args()
    if args.ray is not None and args.shard:
        parser.error("--ray shares the work out itself; leave --shard away")
    try:
        wanted = choose(args.method, args.variant, parse_overrides(",".join(args.set)))
        cases = load_cases(args.cases)[: args.limit]
        host = _start_host(wanted, args.checkpoint)
        pool: Runner | RayPool = Runner(host)
        if args.ray is not None:
            pool = RayPool(with_model=host is not None, checkpoint=args.checkpoint, address=args.ray or None, actors=args.actors)
    except (CaseError, SettingError, SpreadError) as error:
        parser.error(str(error))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)  # ComfyUI's chatter aside
    LOG.setLevel(logging.INFO)
    shard = ""
    if args.shard:
        index, count = args.shard
        cases, shard = cases[index - 1 :: count], f".{index}-of-{count}"
    bench = Bench(Files(args.out, shard), wanted, host, args.loose)
    for outcome in pool.outcomes(bench.todo(cases)):
        bench.record(outcome)
    LOG.info("\n%s", bench.report(cases))


if __name__ == "__main__":
    main()
