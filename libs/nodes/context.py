"""What a node may use of the world while it executes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from libs.core.errors import StudioError
from libs.core.jsonvalue import JsonObject
from libs.media.frames import Pixels
from libs.nodes.adapter_sockets import ControlNet, IpAdapter, Lora, StyleModel
from libs.nodes.picture_sockets import Channel
from libs.nodes.preprocessors import Preprocessors
from libs.nodes.sockets import (
    Clip,
    ClipVision,
    Image,
    Latent,
    Mask,
    Model,
    MotionModel,
    Preview,
    UpscaleModel,
    Vae,
)
from libs.nodes.solids import ShapE

Folder: TypeAlias = Literal["output", "temp"]
# Of one file that a node keeps: it is handed from process to process in one piece.
OUTPUT_BYTES_MAX: Final = 2 * 1024 * 1024 * 1024


class Interrupted(StudioError):
    """The run was cancelled; raised out of a step and not to be caught by a node."""

    code = "interrupted"


@dataclass(frozen=True, kw_only=True)
class OutputFile:
    """A file that a node wants kept; the context gives it its name."""

    data: bytes
    extension: str
    mime: str
    filename_prefix: str
    folder: Folder = "output"
    width: int = 0
    height: int = 0
    batch_number: int = 0


@dataclass(frozen=True, kw_only=True)
class SavedFile:
    """The name under which a file was kept, as clients see it."""

    filename: str
    subfolder: str
    type: Folder

    def as_json(self) -> JsonObject:
        """Return it as it stands in a node's `ui`."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


class Loader(Protocol):
    """Makes values out of files and numbers; weights in use are shared and bounded."""

    def checkpoint(self, path: Path) -> tuple[Model, Clip, Vae]:
        """Return the three parts of a checkpoint file, or of a diffusers folder."""

    def diffusion_model(self, path: Path, weight_format: str = "default") -> Model:
        """Return the diffusion model that a file holds alone."""

    def text_encoders(self, paths: Sequence[Path], family: str, device: str = "default") -> Clip:
        """Return text encoders that lie in files of their own, as a family reads them."""

    def image_checkpoint(self, path: Path) -> tuple[Model, ClipVision, Vae]:
        """Return the three parts of a checkpoint that takes a picture in place of a text."""

    def vae(self, path: Path) -> Vae:
        """Return the VAE in a file of its own."""

    def clip_vision(self, path: Path) -> ClipVision:
        """Return the vision network in a file of its own, or in a checkpoint."""

    def video_model(self, model: Path, text_encoder: Path, vae: Path) -> tuple[Model, Clip, Vae]:
        """Return the three parts of CogVideoX, out of a file for each."""

    def motion_model(self, path: Path) -> MotionModel:
        """Return the motion module in a file."""

    def lora(self, path: Path) -> Lora:
        """Return the changes in a file."""

    def control_net(self, path: Path, model: Model | None = None) -> ControlNet:
        """Return the ControlNet in a file; one stored as a difference needs its model."""

    def ip_adapter(self, path: Path) -> IpAdapter:
        """Return the IP-Adapter in a file."""

    def style_model(self, path: Path) -> StyleModel:
        """Return the style model in a file."""

    def upscale_model(self, path: Path) -> UpscaleModel:
        """Return the network in a file."""

    def shap_e(self, path: Path) -> ShapE:
        """Return the Shap-E model in a folder."""

    def model_file(
        self,
        model: Model,
        clip: Clip | None,
        vae: Vae | None,
        about: Mapping[str, str],
        bytes_max: int,
    ) -> bytes:
        """Return a file of a diffusion model and what is beside it, with texts in its head."""

    def encoder_files(
        self, clip: Clip, about: Mapping[str, str], bytes_max: int
    ) -> Mapping[str, bytes]:
        """Return a file for each text encoder, by the name that such files have."""

    def vae_file(self, vae: Vae, about: Mapping[str, str], bytes_max: int) -> bytes:
        """Return a file of a VAE alone."""

    def lora_file(
        self,
        model: Model | None,
        clip: Clip | None,
        about: Mapping[str, str],
        bytes_max: int,
        *,
        rank: int,
        kind: Literal["standard", "full_diff"],
        with_biases: bool,
    ) -> bytes:
        """Return a LoRA of the differences of a model and of its text encoders."""

    @property
    def preprocessors(self) -> Preprocessors:
        """What makes control pictures."""

    def picture(self, data: bytes) -> tuple[Image, Mask]:
        """Return the pictures in an image file, and the mask in its alpha channel."""

    def picture_mask(self, data: bytes, channel: Channel) -> Mask:
        """Return one channel of an image file; of its alpha what is transparent."""

    def pictures(self, frames: Sequence[Pixels]) -> Image:
        """Return frames as pictures."""

    def blank_mask(self, *, width: int, height: int, value: float) -> Mask:
        """Return a mask of one value."""

    def blank_image(self, *, width: int, height: int, count: int, color: int) -> Image:
        """Return pictures of one colour, given as 0xRRGGBB."""

    def latents(self, data: bytes) -> Latent:
        """Return the latents in a file that was saved."""

    def blank_latent(self, *, width: int, height: int, count: int, channels: int = 4) -> Latent:
        """Return empty latents for pictures of that size in pixels."""

    def blank_video(self, *, width: int, height: int, length: int) -> Latent:
        """Return an empty latent of a video of so many frames."""


class Context(Protocol):
    """The world of one execution, seen from one node.

    `prompt` is the graph in ComfyUI's flat form, `extra_pnginfo` what the client wants inside
    its pictures, and `hip_workflow` the document of a client that speaks HIP-35.
    """

    @property
    def node_id(self) -> str:
        """The node that is executing."""

    @property
    def prompt(self) -> JsonObject:
        """The graph in ComfyUI's flat form."""

    @property
    def extra_pnginfo(self) -> JsonObject:
        """What the client wants inside its pictures, by chunk name."""

    @property
    def hip_workflow(self) -> JsonObject | None:
        """The workflow as a HIP-35 client sent it."""

    @property
    def loader(self) -> Loader:
        """The process-wide source of models and fresh values."""

    def step(self, value: int, total: int, preview: Preview | None = None) -> None:
        """Report that `value` of `total` steps are done; raise Interrupted if cancelled.

        `preview` draws a JPEG of the present state, and is only called if wanted. It is given
        what finds the decoder of a tiny VAE, where the client wants those, and nothing otherwise.
        """

    def weights(self, folder: str, name: str) -> Path:
        """Return where the weights file lies; raise NotFound if it does not exist."""

    def read_input(self, name: str) -> bytes:
        """Return an uploaded file; `name [output]` and `name [temp]` read those folders."""

    def save(self, file: OutputFile) -> SavedFile:
        """Keep a file under the next free name; raise Refused if the prefix escapes."""
