"""DragonComposite: the edited part from the edit, every other pixel from the source, bit for bit; and the mask that says which."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.linear_vae import LinearVAE


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def through(run: Any, mini: Any, picture: torch.Tensor) -> torch.Tensor:
    """A picture through the VAE and back."""
    (latent,) = run("VAEEncode", vae=mini.vae, pixels=picture)
    decoded: torch.Tensor = run("VAEDecode", vae=mini.vae, samples=latent)[0]
    return decoded


def test_each_pixel_comes_from_where_the_mask_says(run: Any) -> None:
    image, source, changed = noise(1, 16, 24, 3, seed=1), noise(1, 16, 24, 3, seed=2), torch.zeros(1, 16, 24)
    changed[:, 4:8, 4:12], changed[:, 9] = 1, 0.25
    (result,) = run("DragonComposite", image=image, source=source, changed=changed)
    torch.testing.assert_close(result[:, 4:8, 4:12], image[:, 4:8, 4:12])
    torch.testing.assert_close(result[:, 9], 0.75 * source[:, 9] + 0.25 * image[:, 9])
    untouched = changed[0] == 0
    assert torch.equal(result[0][untouched], source[0][untouched])


def test_result_is_as_large_as_the_source_the_edit_in_the_middle(run: Any) -> None:
    image, source = noise(1, 16, 24, 3, seed=3), noise(1, 21, 27, 3, seed=4)
    (result,) = run("DragonComposite", image=image, source=source, changed=torch.ones(1, 16, 24))
    assert result.shape == source.shape
    torch.testing.assert_close(result[:, 2:18, 1:25], image)
    assert torch.equal(result[:, :2], source[:, :2]) and torch.equal(result[:, 18:], source[:, 18:])


def test_one_source_and_mask_serve_a_batch(run: Any) -> None:
    image, source = noise(3, 16, 16, 3, seed=5), noise(1, 16, 16, 3, seed=6)
    (result,) = run("DragonComposite", image=image, source=source, changed=torch.ones(1, 16, 16))
    torch.testing.assert_close(result, image)


@pytest.mark.parametrize(
    ("image", "source", "changed", "says"),
    [
        ((1, 16, 16, 3), (1, 128, 128, 3), (1, 16, 16), "the edited picture is 16×16, the source 128×128"),
        ((1, 16, 16, 3), (1, 16, 16, 3), (1, 32, 32), "the mask is 32×32 pixels, the edited picture 16×16"),
        ((3, 16, 16, 3), (2, 16, 16, 3), (1, 16, 16), "cannot be put together"),
    ],
)
def test_what_does_not_fit_is_refused(run: Any, image: Any, source: Any, changed: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"DragonComposite: .*{says}"):
        run("DragonComposite", image=torch.zeros(image), source=torch.zeros(source), changed=torch.zeros(changed))


@pytest.mark.parametrize("count", [1, 5])
def test_a_vae_that_knows_of_frames(run: Any, count: int) -> None:
    """A video's, and Qwen-Image's with its one frame: pictures come back with a dimension more."""
    vae = LinearVAE(16, frames=True)
    source, draft = noise(count, 32, 48, 3, seed=9), noise(count, 32, 48, 3, seed=10)
    assert vae.decode(vae.encode(draft)).shape == (1, count, 32, 48, 3)
    (image,) = run("VAEDecode", vae=vae, samples=run("VAEEncode", vae=vae, pixels=draft)[0])
    (result,) = run("DragonComposite", image=image, source=source, changed=torch.ones(count, 32, 48), draft=draft, vae=vae)
    assert result.shape == source.shape


def test_an_edit_that_is_its_draft_gets_the_drafts_own_pixels(run: Any, mini: Any, scene: Any) -> None:
    draft = scene.image
    decoded = through(run, mini, draft)
    links = {"image": decoded, "source": torch.zeros_like(draft), "changed": torch.ones(draft.shape[:3])}
    (plain,) = run("DragonComposite", **links)
    assert torch.equal(plain, decoded)
    (result,) = run("DragonComposite", **links, draft=draft, vae=mini.vae)
    torch.testing.assert_close(result, draft, atol=1e-6, rtol=0)
    assert float((plain - draft).abs().max()) > 0.05  # there was something to give back
    (off,) = run("DragonComposite", **links, draft=draft, vae=mini.vae, detail=0.0)
    assert torch.equal(off, plain)


def test_detail_of_a_picture_that_the_vae_crops(run: Any, mini: Any, scene: Any) -> None:
    draft = torch.nn.functional.pad(scene.image.movedim(-1, 1), (3, 2, 1, 4), mode="replicate").movedim(1, -1)
    inner = draft[:, 2:-3, 2:-3]  # what is left of 5 pixels too many, taken from both sides
    decoded = through(run, mini, inner)
    assert decoded.shape == inner.shape == scene.image.shape
    links = {"image": decoded, "source": torch.zeros_like(draft), "changed": torch.ones(decoded.shape[:3])}
    (result,) = run("DragonComposite", **links, draft=draft, vae=mini.vae)
    torch.testing.assert_close(result[:, 2:-3, 2:-3], inner, atol=1e-6, rtol=0)


def test_a_draft_that_does_not_fit_is_refused(run: Any, mini: Any) -> None:
    image = torch.zeros(1, 64, 64, 3)
    links = {"image": image, "source": image, "changed": torch.ones(1, 64, 64)}
    with pytest.raises(ValueError, match="DragonComposite: a draft is connected but no vae"):
        run("DragonComposite", **links, draft=image)
    with pytest.raises(ValueError, match="DragonComposite: the edited picture is 64×64, the draft 256×64"):
        run("DragonComposite", **links, draft=torch.zeros(1, 64, 256, 3), vae=mini.vae)
    with pytest.raises(ValueError, match="DragonComposite: 3 drafts do not fit 1 edited pictures"):
        run("DragonComposite", **links, draft=torch.zeros(3, 64, 64, 3), vae=mini.vae)


def test_the_models_light_falls_on_what_was_moved_and_on_nothing_else(run: Any, mini: Any, scene: Any, move: Any) -> None:
    energy = move(scene, dx=16, dy=0)
    (draft,) = run("DragonDraft", image=scene.image, energy=energy)
    target = torch.roll(scene.mask[0], 16, 1) > 0.5
    dimmed = through(run, mini, draft) * (1 - 0.4 * target[None, ..., None].float())
    links = {"image": dimmed, "source": scene.image, "changed": torch.zeros_like(scene.mask), "draft": draft, "vae": mini.vae}
    (result,) = run("DragonComposite", **links, energy=energy)
    assert float(result[0][target].mean() / draft[0][target].mean()) == pytest.approx(0.6, abs=0.06)
    far = torch.nn.functional.max_pool2d((target | (scene.mask[0] > 0.5))[None].float(), 33, stride=1, padding=16)[0] == 0
    assert bool(far.any()) and torch.equal(result[0][far], scene.image[0][far])


def test_masks_and_edits_that_do_not_fit_are_refused(run: Any, mini: Any, scene: Any, move: Any) -> None:
    links = {"image": scene.image, "source": scene.image, "changed": scene.mask}
    with pytest.raises(ValueError, match="DragonComposite: changed has values that are not numbers"):
        run("DragonComposite", **{**links, "changed": torch.full_like(scene.mask, torch.nan)})
    drafted = {**links, "draft": scene.image, "vae": mini.vae}
    with pytest.raises(ValueError, match="DragonComposite: there are 3 masks for 1 picture"):
        run("DragonComposite", **drafted, energy=move(scene, mask=scene.mask.repeat(3, 1, 1)))
    with pytest.raises(ValueError, match="DragonComposite: energy was made for a picture of 48×32 pixels"):
        run("DragonComposite", **drafted, energy=move(scene, mask=scene.mask[:, :32, :48]))


def test_the_samplers_mask_covers_the_edit_and_fades(run: Any, mini: Any, scene: Any, move: Any) -> None:
    links = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch}
    latent, changed, readings = run("DragonSampler", **links, energy=move(scene, dx=16, dy=0))
    old, new = scene.mask[0] > 0.5, torch.roll(scene.mask[0], 16, 1) > 0.5
    assert changed.shape == scene.mask.shape
    assert float(changed[0][old | new].min()) == 1
    assert float(changed.min()) == 0 and bool(((changed > 0) & (changed < 1)).any())
    assert latent["samples"].shape[-1] * 8 == changed.shape[-1]
    assert len(readings) > 0


def test_nothing_edited_nothing_changed(run: Any, mini: Any, scene: Any) -> None:
    links = {"model": mini.model, "positive": scene.positive, "negative": scene.negative, "branch": scene.branch}
    _, changed, readings = run("DragonSampler", **links)
    assert float(changed.abs().max()) == 0 and readings == ()
