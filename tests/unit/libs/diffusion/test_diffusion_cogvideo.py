"""CogVideoX: a text becomes a video of up to six seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXPipeline

from libs.core.errors import Refused
from libs.diffusion.architectures.cogvideo import CogVideo, fitted_within
from libs.diffusion.architectures.cogvideo_names import transformer_from_release
from libs.diffusion.values import Latents, Picture
from libs.sampling.conditioning import Conditioning, Entry
from tests.fidelity.cogvideo_names import release_transformer
from tests.unit.libs.diffusion import tiny, tiny_video


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Any:
    files = tiny_video.write_cogvideo(tmp_path_factory.mktemp("cog"))
    return tiny.loader().video_model(*files)


@pytest.fixture(scope="module")
def later(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("cog15")
    tiny_video.write_cogvideo_folder(folder, tiny_video.COGVIDEO_15, 1.0)
    return tiny.loader().checkpoint(folder)


def sample(parts: Any, latent: Any, **changed: Any) -> Any:
    model, clip = parts[:2]
    given = {
        "positive": clip.encode("red fox"), "negative": clip.encode(""), "seed": 1, "steps": 2,
        "cfg": 6.0, "sampler": "ddim", "scheduler": "simple", "on_step": tiny.no_step,
    }  # fmt: skip
    return model.sample(Latents(latent), **(given | changed))


def test_the_releases_names_give_the_networks_they_were_written_from(parts):
    model, _, vae = parts
    for made, wanted in (
        (model.network.get(), tiny_video.cogvideo()),
        (vae.network.get(), tiny_video.cogvideo_vae()),
    ):
        tensors = made.state_dict()
        assert tensors.keys() == wanted.state_dict().keys()
        assert all(torch.equal(tensors[name], one) for name, one in wanted.state_dict().items())


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"use_learned_positional_embeddings": True, "in_channels": 32},
        {**tiny_video.COGVIDEO_15, "ofs_embed_dim": 16, "in_channels": 32},
    ],
    ids=["text", "learned places", "1.5 from a picture"],
)
def test_every_release_is_read_back_tensor_by_tensor(changed):
    config = {**tiny_video.COGVIDEO_5B, "sample_height": 4, "sample_width": 4, **changed}
    wanted = tiny_video.cogvideo(config).state_dict()
    named = transformer_from_release(release_transformer(wanted))
    assert named.keys() == wanted.keys()
    assert all(torch.equal(named[name], one) for name, one in wanted.items())


def test_a_folder_gives_the_same_video_as_the_three_files(tmp_path, parts):
    folder = tiny_video.write_cogvideo_folder(tmp_path, tiny_video.COGVIDEO, 3.0)
    latent = torch.zeros(1, 16, 2, 4, 4)
    one, other = (
        sample(source, latent).samples for source in (parts, tiny.loader().checkpoint(folder))
    )
    assert torch.equal(one, other)


def test_one_file_with_diffusers_names_is_read_too(tmp_path, parts):
    path = tiny.written(tmp_path / "c.safetensors", tiny_video.cogvideo().state_dict())
    architecture: Any = tiny.loader().diffusion_model(path).architecture
    assert architecture.name == "cogvideox"
    assert architecture.config["num_layers"] == 2
    assert architecture.is_small


@pytest.mark.covers("R002", "R146")
def test_a_text_becomes_frames(parts):
    end = sample(parts, torch.zeros(1, 16, 3, 8, 12))
    assert end.samples.shape == (1, 16, 3, 8, 12)
    assert end.samples.isfinite().all()
    pixels = parts[2].decode(end).pixels
    assert pixels.shape == (9, 64, 96, 3)
    assert pixels.std() > 0.01


def test_the_course_is_the_one_of_its_own_scheduler(parts):
    """Walk the same steps with diffusers' scheduler, from the same noise."""
    clip = parts[1]
    network, steps = tiny_video.cogvideo(), 5
    scheduler = CogVideoXDDIMScheduler(
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        snr_shift_scale=3.0,
    )
    scheduler.set_timesteps(steps)
    noise = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    x = noise.movedim(2, 1)
    texts = torch.cat([clip.encode(text).entries[0].context for text in ("", "red fox")])
    with torch.inference_mode():
        for step in scheduler.timesteps:
            without, with_text = network(
                torch.cat([x, x]), texts, step.expand(2), return_dict=False
            )[0].chunk(2)
            output = without + 6.0 * (with_text - without)
            x = scheduler.step(output, step, x, return_dict=False)[0]
    seen = sample(parts, torch.zeros(1, 16, 2, 4, 4), steps=steps).samples
    wanted = x.movedim(2, 1) / 1.15258426
    assert (seen - wanted).abs().max() < 2e-3 * wanted.abs().max()
    assert (seen - noise).abs().mean() > 0.1


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_levels_are_those_of_its_scheduler(shift):
    scheduler = CogVideoXDDIMScheduler(rescale_betas_zero_snr=True, snr_shift_scale=shift)
    signal = scheduler.alphas_cumprod[:-1].double().numpy()
    levels = CogVideo({}, single_file=False, signal_shift=shift).levels
    assert levels.sigmas[:-1] == pytest.approx(((1 - signal) / signal) ** 0.5, rel=1e-4)
    assert levels.sigmas[-1] > 4000
    assert levels.prediction == "v"


def test_small_and_large_differ_in_scale_and_levels():
    small = CogVideo(tiny_video.COGVIDEO, single_file=False)
    large = CogVideo(tiny_video.COGVIDEO_5B, single_file=False)
    assert (small.latent.scale, large.latent.scale) == (1.15258426, 0.7)
    assert (small.half, large.half) == (torch.float16, torch.bfloat16)
    assert small.levels.sigmas[500] == pytest.approx(3.0**0.5 * large.levels.sigmas[500], rel=0.05)


@pytest.mark.parametrize(
    ("config", "frames", "sides"),
    [
        (tiny_video.COGVIDEO_5B, 3, (60, 90)),
        (tiny_video.COGVIDEO_5B, 2, (96, 40)),
        (tiny_video.COGVIDEO_15, 4, (20, 30)),
    ],
)
def test_places_are_told_as_its_own_pipeline_does(config, frames, sides):
    pipeline = SimpleNamespace(
        vae_scale_factor_spatial=8,
        transformer=SimpleNamespace(
            config=SimpleNamespace(
                **({"sample_height": 60, "sample_width": 90, "patch_size_t": None} | config),
                patch_size=2,
            )
        ),
    )
    wanted = CogVideoXPipeline._prepare_rotary_positional_embeddings(
        pipeline, sides[0] * 8, sides[1] * 8, frames, torch.device("cpu")
    )
    architecture: Any = CogVideo(config, single_file=False)
    told = architecture._angles(frames, *sides, torch.device("cpu"))
    assert all(torch.equal(one, two) for one, two in zip(told, wanted, strict=True))


def test_a_picture_of_another_shape_is_placed_in_the_middle():
    assert fitted_within((30, 45), (30, 45)) == ((0, 0), (30, 45))
    assert fitted_within((30, 30), (30, 45)) == ((0, 8), (30, 38))


def test_version_1_5_takes_two_frames_at_a_time(later):
    """Three frames are padded in front to four, and come back as three."""
    end = sample(later, torch.zeros(1, 16, 3, 4, 4))
    assert end.samples.shape == (1, 16, 3, 4, 4)
    assert end.samples.isfinite().all()
    form = later[0].architecture.latent
    video = torch.arange(3.0).reshape(1, 1, 3, 1, 1)
    assert form.padded(video).flatten().tolist() == [0.0, 0.0, 1.0, 2.0]
    assert form.padded(video[:, :, :2]).flatten().tolist() == [0.0, 1.0]


@pytest.mark.covers("R147")
def test_latents_of_more_than_six_seconds_are_refused(parts, later):
    fits, too_long = (torch.zeros(1, 16, frames, 2, 2) for frames in (13, 14))
    assert sample(parts, fits, steps=1).samples.shape == fits.shape
    with pytest.raises(Refused, match="up to 6 seconds") as refused:
        sample(parts, too_long, steps=1)
    assert refused.value.facts["maximum"] == 49
    assert sample(later, torch.zeros(1, 16, 25, 2, 2), steps=1).samples.isfinite().all()
    with pytest.raises(Refused, match="up to 6 seconds") as refused:
        sample(later, torch.zeros(1, 16, 27, 2, 2), steps=1)
    assert refused.value.facts["maximum"] == 97


def test_what_the_network_cannot_place_is_refused(parts):
    with pytest.raises(Refused, match="multiple of 16"):
        sample(parts, torch.zeros(1, 16, 1, 3, 4))
    short = Conditioning((Entry(torch.zeros(1, 77, 32)),))
    with pytest.raises(Refused, match="CogVideoXLoader"):
        sample(parts, torch.zeros(1, 16, 1, 4, 4), positive=short)


def test_a_text_is_filled_up_and_cut_to_the_networks_places(parts, later):
    assert parts[1].encode("red fox").entries[0].context.shape == (1, 226, 32)
    assert parts[1].encode(" ".join(["fox"] * 500)).entries[0].context.shape == (1, 226, 32)
    assert later[1].encode("red fox").entries[0].context.shape == (1, 224, 32)


def test_the_text_tells(parts):
    latent = torch.zeros(1, 16, 1, 4, 4)
    one, other = (
        sample(parts, latent, positive=parts[1].encode(text)).samples
        for text in ("red fox", "old house")
    )
    assert (one - other).abs().max() > 1e-3


def test_frames_come_back_out_of_the_vae_as_diffusers_gives_them(parts):
    vae, wanted = parts[2], tiny_video.cogvideo_vae()
    frames = Picture(torch.rand(10, 32, 48, 3, generator=torch.Generator().manual_seed(1)))
    latent = vae.encode(frames)
    assert latent.samples.shape == (1, 16, 3, 4, 6)
    video = frames.pixels[:9].movedim(-1, 0)[None] * 2 - 1
    with torch.inference_mode():
        assert torch.equal(latent.samples, wanted.encode(video).latent_dist.mode())
        decoded = wanted.decode(latent.samples).sample[0].movedim(0, -1)
    assert torch.allclose(vae.decode(latent).pixels, (decoded / 2 + 0.5).clamp(0, 1))
    with pytest.raises(Refused, match="latents of videos"):
        vae.decode(Latents(torch.zeros(1, 16, 4, 4)))


def picture_model(tmp_path: Any, base: Any, shift: float = 1.0) -> Any:
    config = {**base, "in_channels": 32}
    return tiny.loader().checkpoint(tiny_video.write_cogvideo_folder(tmp_path, config, shift))


@pytest.mark.parametrize("base", [tiny_video.COGVIDEO_5B, tiny_video.COGVIDEO_15])
def test_a_video_begins_with_a_picture(tmp_path, base):
    extra = {"ofs_embed_dim": 16} if base is tiny_video.COGVIDEO_15 else {}
    model, clip, vae = picture_model(tmp_path, {**base, **extra})
    picture = Picture(torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(2)))
    first = vae.beginning(picture, 9)
    assert first.samples.shape == (1, 16, 3, 4, 4)
    assert torch.equal(first.samples[:, :, :1], vae.encode(picture).samples)
    assert not first.samples[:, :, 1:].any()
    positive = first.leading(clip.encode("red fox"))
    latent = model.start(Latents(torch.zeros(1, 16, 3, 4, 4))).latent
    beside = model.architecture.extras(positive.entries[0], True, latent, None)["concat"]
    if base is tiny_video.COGVIDEO_15:
        assert torch.allclose(
            beside[:, :, :2], first.samples[:, :, :1].expand(-1, -1, 2, -1, -1) / 0.7
        )
    else:
        assert torch.allclose(beside[:, :, 0], first.samples[:, :, 0] * 0.7)
    seen = []
    for side in (positive, clip.encode("red fox")):
        end = sample((model, clip), torch.zeros(1, 16, 3, 4, 4), positive=side)
        seen.append(end.samples)
    assert seen[0].shape == (1, 16, 3, 4, 4)
    assert not torch.allclose(*seen)


def test_a_model_without_pictures_and_a_vae_without_videos_say_so(parts, tmp_path):
    clip, vae = parts[1:]
    picture = Picture(torch.zeros(1, 32, 32, 3))
    positive = vae.beginning(picture, 1).leading(clip.encode("fox"))
    with pytest.raises(Refused, match="takes no picture"):
        sample(parts, torch.zeros(1, 16, 1, 4, 4), positive=positive)
    path = tiny.written(tmp_path / "vae.safetensors", tiny.vae_tensors(""))
    with pytest.raises(Refused, match="none of a video model"):
        tiny.loader().vae(path).beginning(picture, 9)


def test_another_model_in_its_place_is_refused(tmp_path, parts):
    model, text, vae = tiny_video.write_cogvideo(tmp_path)
    other = tiny.written(tmp_path / "sd1.safetensors", tiny.sd1())
    with pytest.raises(Refused, match="no CogVideoX"):
        tiny.loader().video_model(other, text, vae)
    with pytest.raises(Refused, match="no text encoder"):
        tiny.loader().video_model(model, vae, vae)


def test_a_preview_shows_the_frame_in_the_middle(parts):
    shown: list[bytes] = []
    sample(
        parts,
        torch.zeros(1, 16, 2, 4, 4),
        steps=1,
        on_step=lambda _value, _total, preview: shown.append(preview()),
    )
    assert shown[0].startswith(b"\xff\xd8")


def test_a_long_video_is_decoded_in_pieces_that_overlap_in_time_and_space(parts):
    vae = parts[2]
    latent = Latents(torch.randn(1, 16, 5, 8, 8, generator=torch.Generator().manual_seed(3)))
    whole = vae.decode(latent).pixels
    assert torch.equal(vae.decode_in_tiles(latent, 64, 16, 24, 8).pixels, whole)
    tiles = vae.decode_in_tiles(latent, 64, 16, 12, 4).pixels
    assert tiles.shape == whole.shape == (17, 64, 64, 3)
    # Each piece is a video of its own: three frames of the latent, of which one is shared.
    first, second = (vae.decoded(latent.samples[:, :, at : at + 3]) for at in (0, 2))
    wanted = torch.cat([first[:8], (first[8:] + second[:1]) / 2, second[1:]])
    assert torch.allclose(tiles, (wanted / 2 + 0.5).clamp(0, 1).movedim(1, -1), atol=1e-6)
    assert vae.decode_in_tiles(latent, 32, 8, 12, 4).pixels.shape == whole.shape
    even = Latents(latent.samples[:, :, :4])
    assert vae.decode_in_tiles(even, 64, 16, 8, 4).pixels.shape == vae.decode(even).pixels.shape


def test_a_long_video_is_encoded_in_pieces_that_overlap_in_time_and_space(parts):
    vae = parts[2]
    film = Picture(torch.rand(21, 32, 32, 3, generator=torch.Generator().manual_seed(4)))
    whole = vae.encode(film).samples
    assert torch.equal(vae.encode_in_tiles(film, 64, 16, 64, 8).samples, whole)
    pieces = vae.encode_in_tiles(film, 64, 16, 12, 4).samples
    assert pieces.shape == whole.shape == (1, 16, 6, 4, 4)
    first = vae.encode(Picture(film.pixels[:9])).samples
    assert torch.allclose(pieces[:, :, :2], first[:, :, :2], atol=1e-6)
    with pytest.raises(Refused, match="less than they are long"):
        vae.encode_in_tiles(film, 64, 16, 8, 64)
