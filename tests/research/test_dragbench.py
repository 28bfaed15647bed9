"""DragBench on a fabricated sample: read safely, scored as its two protocols say."""

from __future__ import annotations

import argparse
import builtins
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.cases import load_picture
from benchmarks.dragbench import matching, report, safe_pickle
from benchmarks.dragbench.__main__ import _model
from benchmarks.dragbench.safe_pickle import UnsafePickleError
from benchmarks.dragbench.samples import SampleError, find_samples, fitted, load_sample, resized
from benchmarks.model_files import ModelFiles
from benchmarks.settings import SettingError
from dev import environment
from dev.paths import REPOSITORY

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def sample_folder(root: Path, width: int = 52, height: int = 36, **fields: object) -> Path:
    """DragBench's layout with a picture of noise."""
    folder = root / "animals" / "JH_2023-09-14-1820-16"
    folder.mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(picture).save(folder / "original_image.png")
    Image.fromarray(picture).save(folder / "user_edited.png")
    mask = np.zeros((height, width), np.uint8)
    mask[4:20, 8:40] = 1
    meta = {"prompt": "a dog", "points": [[10, 8], [20, 8], (30, 18), np.array([30, 12])], "mask": mask, **fields}
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(meta))
    return folder


def test_a_sample_is_read(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path)
    assert find_samples(tmp_path) == [folder]
    sample = load_sample(folder)
    assert sample.name == "animals/JH_2023-09-14-1820-16" and sample.prompt == "a dog"
    assert sample.points == (((10, 8), (20, 8)), ((30, 18), (30, 12))) and sample.asked == [10, 6]
    assert sample.mask.sum() == 16 * 32 and sample.source.shape == (36, 52, 3)


def test_sides_that_the_vae_cannot_divide_are_fitted_and_the_points_go_along(tmp_path: Path) -> None:
    sample = load_sample(sample_folder(tmp_path, width=52, height=36))
    working = fitted(sample, 8)
    assert fitted(sample, 16).source.shape == (32, 48, 3) and fitted(sample, 32).mask.shape == (32, 64)
    assert working.source.shape == (32, 48, 3) and working.mask.shape == (32, 48)
    assert working.points[0][0] == pytest.approx((10 * 48 / 52, 8 * 32 / 36))
    assert resized(working.source, (36, 52)).shape == sample.source.shape


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"points": [[1, 2]]}, "'points'"),
        ({"points": "no"}, "'points'"),
        ({"mask": np.ones((3, 3))}, "the mask is"),
    ],
)
def test_a_malformed_sample_is_refused(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    with pytest.raises(SampleError, match=words):
        load_sample(sample_folder(tmp_path, **fields))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_comes_back_from_every_protocol(tmp_path: Path, protocol: int) -> None:
    value = {
        "text": "naïve",
        "numbers": [1, 2.5, True, None, 2**80],
        "pair": (np.int64(3), np.float32(0.5)),
        "mask": np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        "wide": np.arange(4, dtype=">f8"),
        "bools": np.array([[True, False]]),
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    again = safe_pickle.load(path)
    assert isinstance(again, dict) and again.keys() == value.keys()
    assert again["text"] == value["text"] and again["numbers"] == value["numbers"] and again["pair"] == (3, 0.5)
    for name in ("mask", "wide", "bools"):
        np.testing.assert_array_equal(again[name], value[name])
        assert again[name].dtype == value[name].dtype


class Calls:
    """Pickles as a call of ``function(*arguments)``."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "witness"
    attacks = [
        Calls(os.system, f"touch {witness}"),
        Calls(subprocess.getoutput, f"touch {witness}"),
        Calls(builtins.eval, f"open({str(witness)!r}, 'w')"),
        Calls(builtins.open, str(witness), "w"),
        Calls(np.fromfile, str(witness)),
        Calls(np.load, str(witness)),
    ]
    for attack in attacks:
        content = pickle.dumps({"prompt": "", "points": attack, "mask": np.zeros((2, 2))}, protocol)
        path = tmp_path / "x.pkl"
        path.write_bytes(content)
        with pytest.raises(UnsafePickleError, match="it asks for"):
            safe_pickle.load(path)
        assert not witness.exists()
    pickle.loads(pickle.dumps(attacks[0], protocol))
    assert witness.exists(), "this test must be able to fail: plain pickle runs it"


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy.core.multiarray\n_reconstruct\n.",  # a function as the value
        b"cnumpy\nndarray\n((I1000000\ntR.",  # an array made by its class
        b"cnumpy\ndtype\n(VO8\ntR.",  # Python objects in an array
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        b"cbenchmarks.cases\nload_picture\n.",
        b"Pelsewhere\n.",  # a reference out of the file
        b"not a pickle",
        b"",
        pickle.dumps({1, 2}),
        pickle.dumps(Path("x")),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(UnsafePickleError):
        safe_pickle.load(path)


def test_an_array_whose_bytes_do_not_fill_its_shape_is_refused(tmp_path: Path) -> None:
    good = pickle.dumps(np.zeros((7, 3), np.uint8), 2)
    path = tmp_path / "x.pkl"
    path.write_bytes(good.replace(b"K\x07K\x03\x86", b"K\x7fK\x7f\x86"))
    with pytest.raises(UnsafePickleError, match="21 bytes for an array of the shape"):
        safe_pickle.load(path)


def test_a_small_file_that_unfolds_endlessly_is_refused(tmp_path: Path) -> None:
    nested: list[object] = ["x"] * 50
    for _ in range(6):
        nested = [nested] * 50
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(nested))
    with pytest.raises(UnsafePickleError, match="too much"):
        safe_pickle.load(path)


def test_distances_against_enlarging_the_whole_map() -> None:
    torch.manual_seed(0)
    source, size = torch.randn(24, 6, 9), (44, 70)
    output = torch.roll(source, 2, dims=2) + 0.1 * torch.randn(24, 6, 9)
    points = (((20.0, 15.0), (36.0, 15.0)), ((50.0, 30.0), (50.0, 10.0)))
    found = matching.distances(source, output, points, size)
    big_source, big_output = (F.interpolate(f[None], size=size, mode="bilinear")[0] for f in (source, output))
    ys, xs = np.mgrid[: size[0], : size[1]]
    for k, (handle, target) in enumerate(points):
        wanted = big_source[:, int(handle[1]), int(handle[0])]
        likeness = F.cosine_similarity(big_output, wanted[:, None, None], dim=0).numpy()
        y, x = np.unravel_index(likeness.argmax(), size)
        assert found.pixels[k] == pytest.approx(np.hypot(x - target[0], y - target[1]))
        radius = max(5, np.hypot(handle[0] - target[0], handle[1] - target[1]) / np.sqrt(2))
        near = np.min([np.hypot(xs - p[0], ys - p[1]) for p in (handle, target)], axis=0) <= radius
        y, x = np.unravel_index(np.where(near, likeness, -2).argmax(), size)
        assert found.near[k] == pytest.approx(np.hypot((x - target[0]) / size[1], (y - target[1]) / size[0]))


def test_an_unedited_picture_scores_the_distance_asked_for() -> None:
    features = torch.randn(32, 8, 8, generator=torch.Generator().manual_seed(1))
    points = (((20.0, 20.0), (36.0, 32.0)),)
    assert matching.distances(features, features, points, (64, 64)).pixels == [pytest.approx(20)]


def test_means_are_over_pairs_for_one_protocol_and_over_pictures_for_the_other() -> None:
    rows = [
        report.Row("a", [10, 10, 10], [3.0, 3.0, 3.0], [0.03, 0.03, 0.03], 0.9, 1),
        report.Row("b", [30], [7.0], [0.05], None, 2),
    ]
    found = report.summary(rows)
    assert found["md_px"] == 4 and found["md_near_x100"] == pytest.approx(4.0) and found["no_edit_md_px"] == 15
    assert found["image_fidelity"] == 0.9 and found["pairs"] == 4
    assert "| 2 | 4 | 15.0 | 4.0 | 4.0 | 0.900 | 1.5 |" in report.markdown(found)
    unmeasured = report.summary([report.Row("a", [10], [], [], None, 1)])
    assert unmeasured["md_px"] is None and unmeasured["md_near_x100"] is None and "–" in report.markdown(unmeasured)


def test_rows_come_back_from_their_file(tmp_path: Path) -> None:
    rows = {"animals/x": report.Row("a", [10.0], [3.5], [0.02], None, 1.5)}
    report.save(tmp_path / "r.json", {"device": "test"}, rows)
    assert report.load_rows(tmp_path / "r.json") == rows


#: With a model in the place of files that nobody has here.
OF_RANDOM_MODEL = """
import sys
from pathlib import Path
from benchmarks.dragbench.__main__ import MASKS, Run
from benchmarks.dragbench.samples import find_samples, load_sample
from benchmarks.host import REPOSITORY, Host
import random_models
root, out, family = sys.argv[1:]
host = Host()
vae = random_models.vae(family, REPOSITORY / "mini_model" / "vae.safetensors")
host.loaded = host.meter.metered(random_models.diffusion_model(family)), random_models.text_encoder(), vae
Run(Path(out), host, MASKS).edit_all([load_sample(folder) for folder in find_samples(Path(root))])
print(host.meter.read().row_forwards, host.meter.read().row_backwards)
"""


@pytest.mark.parametrize("family", ["Z_IMAGE_LIKE", "QWEN_IMAGE"])
def test_a_flow_transformer_makes_a_picture(tmp_path: Path, family: str) -> None:
    """With what the nodes ship with: no inversion and no gradient. The picture has its sample's size and differs where it may."""
    sample = load_sample(sample_folder(tmp_path, width=130, height=94, mask=_mask(94, 130), points=[[40, 40], [80, 40]]))
    ready, out = environment.ensure(), tmp_path / "results.json"
    folders = (ready.comfyui.root, REPOSITORY, REPOSITORY / "tests" / "support")
    command = [str(ready.python), "-P", "-c", OF_RANDOM_MODEL, str(tmp_path), str(out), family]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(command, check=True, env=variables, capture_output=True, text=True)
    forwards, backwards = map(int, done.stdout.split()[-2:])
    assert forwards > 0 and backwards == 0
    picture = load_picture(tmp_path / "results-pictures" / f"{sample.name}.png")
    assert picture.shape == sample.source.shape
    before = resized(fitted(sample, 8).source, sample.mask.shape)  # on a VAE's cells and back, which blurs noise
    change = np.abs(picture - before).mean(-1)
    assert change[sample.mask].mean() > 0.02 and change[:8].mean() < 0.01
    assert report.load_rows(out).keys() == {sample.name}


def _mask(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[24:56, 24:104] = 1
    return mask


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({}, None),
        ({"checkpoint": "sd15"}, "sd15"),
        (
            {"diffusion_model": "a", "text_encoder": ["b", "c"], "text_encoder_type": "flux", "vae": "d"},
            ModelFiles("a", ("b", "c"), "flux", "d"),
        ),
        ({"diffusion_model": "a", "vae": "d"}, SettingError),
        ({"checkpoint": "sd15", "diffusion_model": "a", "text_encoder": ["b"], "text_encoder_type": "wan", "vae": "d"}, SettingError),
    ],
)
def test_a_model_is_one_checkpoint_or_all_of_its_files(given: dict[str, object], model: object) -> None:
    parts = {"checkpoint": None, "diffusion_model": None, "text_encoder": [], "text_encoder_type": None, "vae": None}
    args = argparse.Namespace(**{**parts, **given})
    if model is SettingError:
        with pytest.raises(SettingError, match="all of --diffusion-model"):
            _model(args)
    else:
        assert _model(args) == model
