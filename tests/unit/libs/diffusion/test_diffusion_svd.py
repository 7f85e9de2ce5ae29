"""Stable Video Diffusion: one picture in, fourteen to twenty-five frames out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from libs.core.errors import Refused
from libs.diffusion.architectures.stable_video import StableVideo
from libs.diffusion.loader.spatiotemporal import unet_names
from libs.diffusion.values import Latents, Picture
from libs.diffusion.video_vae import MARGIN, pieces
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call
from tests.fidelity.svd_names import svd_unet_name
from tests.unit.libs.diffusion import tiny, tiny_video


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Any:
    path = tmp_path_factory.mktemp("svd") / "svd.safetensors"
    return tiny.loader().image_checkpoint(tiny.written(path, tiny_video.svd(), torch.float32))


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture(torch.rand(1, 50, 90, 3, generator=torch.Generator().manual_seed(7)))


def animating(parts: Any, picture: Picture, **changed: Any) -> Any:
    _, vision, vae = parts
    given = {"width": 64, "height": 64, "motion_bucket_id": 127, "fps": 6}
    return vision.animating(picture, vae, **(given | {"augmentation_level": 0.0} | changed))


def sample(model: Any, sides: Any, frames: int = 14, **changed) -> Any:
    given = {"seed": 1, "steps": 2, "cfg": 2.5, "sampler": "euler", "scheduler": "karras"}
    return model.sample(
        Latents(torch.zeros(frames, 4, 8, 8)),
        positive=sides[0],
        negative=sides[1],
        on_step=tiny.no_step,
        **(given | changed),
    )


def test_every_name_of_the_single_file_leads_back_to_its_own_tensor():
    unet = tiny_video.svd_parts()[0]
    shapes = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
    file = {svd_unet_name(name, tiny_video.SVD_UNET): shape for name, shape in shapes.items()}
    back = unet_names(file)
    assert len(file) == len(shapes)
    assert all(back[svd_unet_name(name, tiny_video.SVD_UNET)] == name for name in shapes)


def test_both_layouts_give_the_networks_they_were_written_from(tmp_path, parts):
    unet, vae = tiny_video.svd_parts()
    folder = tmp_path / "folder.safetensors"
    tiny.written(folder, tiny_video.svd_folder(), torch.float32)
    for model, _, decoder in (parts, tiny.loader().image_checkpoint(folder)):
        for made, wanted in ((model.network.get(), unet), (decoder.network.get(), vae)):
            tensors = made.state_dict()
            assert all(torch.equal(tensors[name], one) for name, one in wanted.state_dict().items())


@pytest.mark.covers("R002", "R138", "R139")
def test_a_picture_becomes_a_video_of_fourteen_or_twenty_five_frames(parts, picture):
    model, _, vae = parts
    for frames in (14, 25):
        end = sample(model, animating(parts, picture), frames)
        assert end.samples.shape == (frames, 4, 8, 8)
        assert end.samples.isfinite().all()
    pixels = vae.decode(end).pixels
    assert pixels.shape == (25, 64, 64, 3)
    assert pixels.std() > 0.01


@pytest.mark.covers("R139")
@pytest.mark.parametrize("frames", [13, 26])
def test_other_lengths_are_refused_whatever_node_the_latent_came_from(parts, picture, frames):
    with pytest.raises(Refused, match="14 to 25 frames") as refused:
        sample(parts[0], animating(parts, picture), frames)
    assert refused.value.facts["received"] == frames


def test_the_network_is_asked_once_with_all_frames_of_both_sides(parts, picture):
    model = parts[0]
    positive, negative = animating(parts, picture, motion_bucket_id=40, fps=9)
    unet = model.network.get()
    seen: list[dict[str, torch.Tensor]] = []
    hook = unet.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append({"x": args[0], "t": args[1], "c": args[2], **kwargs}),
        with_kwargs=True,
    )
    sample(model, (positive, negative), steps=1)
    hook.remove()
    (call,) = seen
    assert call["x"].shape == (2, 14, 8, 8, 8)
    # Euler begins at the highest level, which the network is told a quarter of the logarithm of.
    assert torch.allclose(call["t"], torch.full((2,), 0.25 * math.log(700.0)))
    assert call["added_time_ids"].tolist() == [[8.0, 40.0, 0.0]] * 2
    first = positive.entries[0].extras["first_frame"][0]
    assert torch.allclose(call["x"][0, :, 4:], torch.zeros(14, 4, 8, 8))
    assert torch.allclose(call["x"][1, :, 4:], first.expand(14, -1, -1, -1))
    assert torch.allclose(call["c"][0], torch.zeros(1, 32))
    assert torch.allclose(call["c"][1], positive.entries[0].context[0])


def test_the_picture_goes_beside_the_frames_as_it_was_encoded(parts, picture):
    positive, _ = animating(parts, picture)
    pixels = picture.scaled("bilinear", 64, 64, "center")
    wanted = parts[2].encode(pixels).samples
    assert torch.allclose(positive.entries[0].extras["first_frame"], wanted)


def test_noise_on_the_picture_is_told_and_always_the_same(parts, picture):
    clean, _ = animating(parts, picture)
    noisy, _ = animating(parts, picture, augmentation_level=0.5)
    again, _ = animating(parts, picture, augmentation_level=0.5)
    one, two, three = (side.entries[0].extras["first_frame"] for side in (clean, noisy, again))
    assert not torch.allclose(one, two)
    assert torch.equal(two, three)
    told = StableVideo().extras(noisy.entries[0], True, torch.zeros(14, 4, 8, 8))
    assert told["time_ids"].tolist() == [[5.0, 127.0, 0.5]]


def test_a_picture_of_another_size_is_fitted_and_several_are_spread_over_the_frames():
    entry = Entry(torch.zeros(1, 1, 32), extras={"first_frame": torch.ones(1, 4, 4, 16)})
    beside = StableVideo().extras(entry, True, torch.zeros(14, 4, 8, 8))["concat"]
    assert beside.shape == (14, 4, 8, 8)
    two = torch.stack([torch.zeros(4, 8, 8), torch.ones(4, 8, 8)])
    spread = entry.with_extras(first_frame=two)
    beside = StableVideo().extras(spread, True, torch.zeros(14, 4, 8, 8))["concat"]
    assert beside[:, 0, 0, 0].tolist() == [0.0] * 7 + [1.0] * 7


def test_velocity_is_read_at_a_deviation_of_one():
    levels = StableVideo().levels
    x, output, sigma = 3.0, 0.5, 2.0
    assert levels.denoised(x, output, sigma) == x / (sigma**2 + 1) - output * sigma / math.sqrt(5.0)
    assert (levels.sigmas[0], levels.sigmas[-1]) == pytest.approx((0.002, 700.0))


def test_frames_in_pieces_are_nearly_those_of_one_piece(parts, monkeypatch):
    vae = parts[2]
    samples = torch.randn(14, 4, 4, 4, generator=torch.Generator().manual_seed(8))
    whole = vae.decoded(samples)
    monkeypatch.setattr("libs.diffusion.video_vae.PIXELS_AT_ONCE", 8 * 32 * 32)
    cut = vae.decoded(samples)
    alone = torch.cat([vae.decoded(one) for one in torch.split(samples, 1)])
    assert cut.shape == whole.shape
    # A frame at a seam misses only frames further away than its neighbours.
    assert (cut - whole).abs().mean() < 0.5 * (alone - whole).abs().mean()


@pytest.mark.parametrize("count", [1, 8, 9, 14, 25])
def test_pieces_cover_each_frame_once_and_hold_no_more_than_fits(count):
    spans = list(pieces(count, 8))
    assert [frame for first, last in spans for frame in range(first, last)] == list(range(count))
    assert all(last - first + 2 * MARGIN <= 8 or len(spans) == 1 for first, last in spans)


def test_text_nodes_say_which_loader_fits(tmp_path, parts):
    with pytest.raises(Refused, match="ImageOnlyCheckpointLoader"):
        _ = StableVideo().reading


def test_an_evaluation_alone_is_one_video(parts):
    frames = 15
    call = Call(
        x=torch.zeros(frames, 4, 8, 8),
        timestep=torch.zeros(frames),
        context=torch.zeros(frames, 1, 32),
        extras={"concat": torch.zeros(frames, 4, 8, 8), "time_ids": torch.zeros(frames, 3)},
    )
    with torch.inference_mode():
        assert StableVideo().evaluate(parts[0].network.get(), call).shape == (frames, 4, 8, 8)


def test_a_preview_shows_a_frame(parts, picture):
    shown = []
    model = parts[0]
    model.sample(
        Latents(torch.zeros(14, 4, 8, 8)),
        positive=animating(parts, picture)[0],
        negative=animating(parts, picture)[1],
        seed=1,
        steps=1,
        cfg=1.0,
        sampler="euler",
        scheduler="normal",
        on_step=lambda _v, _t, preview: shown.append(preview()),
    )
    assert shown[0].startswith(b"\xff\xd8")
