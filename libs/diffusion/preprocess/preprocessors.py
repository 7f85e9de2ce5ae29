"""All preprocessors in one place, as nodes ask for them; networks are shared while they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from libs import weights
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.preprocess import depth, hed, retouch, skeleton, strokes
from libs.diffusion.preprocess.canny import canny, canny_graded
from libs.diffusion.preprocess.canvas import Bytes, at_resolution, drawn, stacked
from libs.diffusion.preprocess.depth import DepthNetwork, read_depth_network
from libs.diffusion.preprocess.hed import EdgeNetwork, read_edge_network
from libs.diffusion.preprocess.people import find_people
from libs.diffusion.preprocess.program import Program, read_program
from libs.diffusion.residency import Resident
from libs.diffusion.upscale import OnStep
from libs.diffusion.values import Mask, Picture

M = TypeVar("M", bound=nn.Module)

# The networks that ship with the house.
SHIPPED = Path(weights.__file__).with_name("preprocess")


@dataclass(frozen=True)
class Preprocessors:
    """Makes control pictures. Sizes are of the shorter side; the proportions are kept."""

    shelf: Shelf

    def canny(
        self, image: Picture, *, low: int, high: int, resolution: int, on_step: OnStep
    ) -> Picture:
        """Return white edges, with thresholds as OpenCV counts them."""
        sized = at_resolution(image, resolution)
        return drawn(sized, lambda frame: canny(frame, low, high), on_step)

    def canny_graded(self, image: Picture, *, low: float, high: float) -> Picture:
        """Return white edges, with thresholds of pictures from 0 to 1."""
        edges = canny_graded(image.pixels, low, high)
        return Picture(edges[..., None].expand(-1, -1, -1, 3).contiguous())

    def scribble(self, image: Picture, *, resolution: int, on_step: OnStep) -> Picture:
        """Return the dark strokes of drawings, white on black."""
        return drawn(at_resolution(image, resolution), strokes.of_drawing, on_step)

    def scribble_photograph(
        self, image: Picture, *, threshold: int, resolution: int, on_step: OnStep
    ) -> Picture:
        """Return strokes where photographs darken, white on black."""
        sized = at_resolution(image, resolution)
        return drawn(sized, lambda frame: strokes.of_photograph(frame, threshold), on_step)

    def tile(self, image: Picture, *, halvings: int, resolution: int) -> Picture:
        """Return pictures without their details."""
        return retouch.coarse(at_resolution(image, resolution), halvings)

    def inpaint(self, image: Picture, mask: Mask, *, black: bool) -> Picture:
        """Return pictures with the masked pixels marked as missing."""
        return retouch.holed(image, mask, black=black)

    def soft_edges(
        self, image: Picture, *, safe: bool, strokes_only: bool, resolution: int, on_step: OnStep
    ) -> Picture:
        """Return soft edges, or strokes along them."""
        sized = at_resolution(image, resolution)
        network = self._shipped("hed", read_edge_network)

        def edges() -> Iterator[Bytes]:
            for pixels in self._placed(sized):
                seen = _run(network.get(), pixels[None])[0].cpu()
                frame = hed.as_bytes(hed.stepped(seen) if safe else seen)
                yield strokes.of_edges(frame) if strokes_only else frame

        return stacked(edges(), sized.count, on_step)

    def poses(self, image: Picture, *, resolution: int, on_step: OnStep) -> Picture:
        """Return the skeletons of everybody in pictures, on black."""
        sized = at_resolution(image, resolution)
        detector: Resident[Program] = self._shipped("pose-detection", read_program)
        marker: Resident[Program] = self._shipped("pose-landmarks", read_program)

        def skeletons() -> Iterator[Bytes]:
            for pixels in self._placed(sized):
                people = find_people(pixels, detector.get(), marker.get())
                yield skeleton.draw(people, sized.height, sized.width)

        return stacked(skeletons(), sized.count, on_step)

    def depth(self, image: Picture, path: Path, *, resolution: int, on_step: OnStep) -> Picture:
        """Return how near everything is, white in front, by the network in a file."""
        frames = (depth.as_bytes(near) for near in self._near(image, path, resolution))
        return stacked(frames, image.count, on_step)

    def _near(self, image: Picture, path: Path, resolution: int) -> Iterator[Tensor]:
        file = WeightsFile.open(path)
        network: Resident[DepthNetwork] = self._resident(file, "depth", read_depth_network)
        for pixels in self._placed(at_resolution(image, resolution)):
            yield _run(network.get(), pixels)

    def _placed(self, picture: Picture) -> Iterator[Tensor]:
        """Yield each picture as [3, height, width] where networks compute."""
        for pixels in picture.pixels:
            yield pixels.movedim(-1, 0).to(self.shelf.placement.device)

    def _shipped(self, name: str, read: Callable[[WeightsFile], M]) -> Resident[M]:
        return self._resident(WeightsFile.open(SHIPPED / f"{name}.safetensors"), name, read)

    def _resident(
        self, file: WeightsFile, part: str, read: Callable[[WeightsFile], M]
    ) -> Resident[M]:
        return self.shelf.resident(file, part, lambda: read(file))


@torch.inference_mode()
def _run(network: EdgeNetwork | DepthNetwork, pixels: Tensor) -> Tensor:
    answer: Tensor = network(pixels)
    return answer
