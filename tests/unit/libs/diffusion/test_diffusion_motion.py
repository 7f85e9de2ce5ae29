"""AnimateDiff: a model of pictures makes videos of sixteen to thirty-two frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNetMotionModel

from libs.core.errors import Refused
from libs.diffusion.architectures.animatediff import Window
from libs.diffusion.loader.motion import MotionShape
from libs.diffusion.values import Latents, Picture
from libs.sampling.control import Call
from tests.unit.libs.diffusion import tiny, tiny_video


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("motion")
    network = tiny_video.motion_network()
    first = tiny_video.first_motion_names(network)
    tiny.written(folder / "sd1.safetensors", tiny.sd1())
    tiny.written(folder / "first.safetensors", first, torch.float32)
    tiny.written(folder / "diffusers.safetensors", network.state_dict(), torch.float32)
    return folder


@pytest.fixture(scope="module")
def parts(files) -> Any:
    loader = tiny.loader()
    model, clip, vae = loader.checkpoint(files / "sd1.safetensors")
    motion = loader.motion_model(files / "first.safetensors")
    return motion.applied_to(model, 16, 4), clip, vae, model


def sample(parts: Any, latent: Any, **changed: Any) -> Any:
    model, clip = parts[:2]
    given = {"seed": 1, "steps": 2, "cfg": 5.0, "sampler": "euler", "scheduler": "normal"}
    return model.sample(
        Latents(latent),
        positive=clip.encode("a fox"),
        negative=clip.encode(""),
        on_step=tiny.no_step,
        **(given | changed),
    )


@pytest.mark.parametrize("layout", ["first", "diffusers"])
def test_both_layouts_of_motion_modules_are_read(files, layout):
    motion = tiny.loader().motion_model(files / f"{layout}.safetensors")
    assert motion.shape == MotionShape((16, 32), 1, 32, has_middle=True)
    wanted = tiny_video.motion_network().state_dict()
    tensors = motion.network.get().state_dict()
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[name], one) for name, one in wanted.items())


def test_a_module_of_the_first_version_has_no_middle(tmp_path, parts):
    tensors = tiny_video.first_motion_names(tiny_video.motion_network(middle=False, frames_max=24))
    path = tiny.written(tmp_path / "v1.safetensors", tensors)
    motion = tiny.loader().motion_model(path)
    assert motion.shape == MotionShape((16, 32), 1, 24, has_middle=False)
    model: Any = motion.applied_to(parts[3], 32, 4)
    assert model.architecture.window == Window(24, 4)
    end = sample((model, parts[1]), torch.zeros(32, 4, 8, 8), steps=1)
    assert end.samples.isfinite().all()


@pytest.mark.covers("R002", "R142", "R143")
def test_a_text_becomes_a_video_of_sixteen_or_thirty_two_frames(parts):
    for frames in (16, 32):
        end = sample(parts, torch.zeros(frames, 4, 8, 8), steps=1)
        assert end.samples.shape == (frames, 4, 8, 8)
        assert end.samples.isfinite().all()
    assert parts[2].decode(end).pixels.shape == (32, 64, 64, 3)


@pytest.mark.covers("R142")
def test_a_picture_becomes_a_video(parts):
    picture = Picture(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3)))
    start = parts[2].encode(picture).samples.repeat(16, 1, 1, 1)
    end = sample(parts, start, denoise=0.5)
    far = sample(parts, torch.zeros(16, 4, 8, 8))
    assert (end.samples - start).abs().mean() < (far.samples - start).abs().mean()


@pytest.mark.covers("R143")
@pytest.mark.parametrize("frames", [15, 33])
def test_other_lengths_are_refused_whatever_node_the_latent_came_from(parts, frames):
    with pytest.raises(Refused, match="16 to 32 frames") as refused:
        sample(parts, torch.zeros(frames, 4, 8, 8))
    assert refused.value.facts["received"] == frames


def test_frames_know_each_other(parts):
    """Change one frame, and what is seen in another changes; without motion it does not."""
    model, clip, _, still = parts
    x = torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    other = x.clone()
    other[0] += 1
    context = clip.encode("a fox").entries[0].context.expand(16, -1, -1)
    seen = []
    for kind in (model, still):
        with torch.inference_mode(), kind.evaluated() as network:
            calls = [Call(one, torch.full((16,), 500.0), context, {}) for one in (x, other)]
            seen.append([network(call)[15] for call in calls])
    moving, still_ones = ((one - two).abs().max() for one, two in seen)
    assert moving > 1e-4
    assert still_ones < 1e-5


def test_both_sides_are_seen_as_diffusers_sees_each(parts):
    model, clip, _, still = parts
    wanted = UNetMotionModel.from_unet2d(still.network.get(), tiny_video.motion_network()).eval()
    x = torch.randn(32, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    texts = [clip.encode(text).entries[0].context for text in ("a fox", "")]
    context = torch.cat([text.expand(16, -1, -1) for text in texts])
    call = Call(x, torch.full((32,), 500.0), context, {}, positive=(False, True))
    with torch.inference_mode(), model.evaluated() as network:
        seen = network(call)
        for side in range(2):
            half = slice(16 * side, 16 * side + 16)
            video = x[half].movedim(0, 1)[None]
            one = wanted(video, torch.tensor([500.0]), context[half])[0][0].movedim(1, 0)
            assert torch.allclose(seen[half], one, atol=1e-4)


def test_it_samples_at_the_levels_that_motion_modules_were_trained_at(parts):
    wanted = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="linear")
    signal = wanted.alphas_cumprod.double().numpy()
    sigmas = ((1 - signal) / signal) ** 0.5
    assert np.allclose(parts[0].levels.sigmas, sigmas, rtol=1e-4)
    assert parts[0].levels.sigmas[-1] > 1.5 * parts[3].levels.sigmas[-1]


def test_the_weights_of_both_are_shared_and_not_copied(parts):
    model, _, _, still = parts
    pictures = still.network.get()
    assert model.network.get().conv_in.weight.data_ptr() == pictures.conv_in.weight.data_ptr()


@pytest.mark.parametrize(
    ("frames", "length", "overlap", "spans"),
    [
        (16, 16, 4, [(0, 16)]),
        (17, 16, 4, [(0, 16), (1, 17)]),
        (28, 16, 4, [(0, 16), (12, 28)]),
        (32, 16, 4, [(0, 16), (12, 28), (16, 32)]),
        (32, 8, 0, [(0, 8), (8, 16), (16, 24), (24, 32)]),
    ],
)
def test_long_videos_are_seen_in_spans_that_overlap(frames, length, overlap, spans):
    seen = [(span.start, span.stop) for span in Window(length, overlap).spans(frames)]
    assert seen == spans


def test_a_frame_in_two_spans_is_their_mean(parts):
    model, clip, _, _ = parts
    short = replace(model, architecture=replace(model.architecture, window=Window(16, 8)))
    x = torch.randn(24, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    context = clip.encode("a fox").entries[0].context

    def seen(frames: slice) -> Any:
        part = x[frames]
        count = len(part)
        call = Call(part, torch.full((count,), 9.0), context.expand(count, -1, -1), {})
        with torch.inference_mode(), short.evaluated() as network:
            return network(call)

    first, second, whole = seen(slice(0, 16)), seen(slice(8, 24)), seen(slice(0, 24))
    assert torch.allclose(whole[:8], first[:8], atol=1e-5)
    assert torch.allclose(whole[8:16], (first[8:] + second[:8]) / 2, atol=1e-5)
    assert torch.allclose(whole[16:], second[8:], atol=1e-5)


def test_what_does_not_fit_is_refused(tmp_path, parts):
    loader = tiny.loader()
    with pytest.raises(Refused, match="no motion module"):
        loader.motion_model(tiny.written(tmp_path / "none.safetensors", {"a": torch.zeros(1)}))
    path = tiny.written(tmp_path / "xl.safetensors", tiny.sdxl())
    narrow = tiny.written(
        tmp_path / "mm.safetensors", tiny_video.first_motion_names(tiny_video.motion_network())
    )
    motion = loader.motion_model(narrow)
    with pytest.raises(Refused, match="another kind of model"):
        motion.applied_to(loader.checkpoint(path)[0], 16, 4)
    with pytest.raises(Refused, match="seen again") as refused:
        motion.applied_to(parts[3], 8, 8)
    assert refused.value.facts["limit"] == 7
    with pytest.raises(Refused, match="Stable Diffusion 1 and SDXL"):
        motion.applied_to(parts[0], 16, 4)
