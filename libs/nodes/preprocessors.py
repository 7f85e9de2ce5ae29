"""What nodes ask of the engine's preprocessors: control pictures out of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from libs.nodes.sockets import Image, Mask, OnStep


class Preprocessors(Protocol):
    """Makes control pictures. `resolution` is of the shorter side; the proportions are kept."""

    def canny(
        self, image: Image, *, low: int, high: int, resolution: int, on_step: OnStep
    ) -> Image:
        """Return white edges, with thresholds as OpenCV counts them."""

    def canny_graded(self, image: Image, *, low: float, high: float) -> Image:
        """Return white edges, with thresholds of pictures from 0 to 1."""

    def scribble(self, image: Image, *, resolution: int, on_step: OnStep) -> Image:
        """Return the dark strokes of drawings, white on black."""

    def scribble_photograph(
        self, image: Image, *, threshold: int, resolution: int, on_step: OnStep
    ) -> Image:
        """Return strokes where photographs darken, white on black."""

    def tile(self, image: Image, *, halvings: int, resolution: int) -> Image:
        """Return pictures without their details."""

    def inpaint(self, image: Image, mask: Mask, *, black: bool) -> Image:
        """Return pictures with the masked pixels marked as missing."""

    def soft_edges(
        self, image: Image, *, safe: bool, strokes_only: bool, resolution: int, on_step: OnStep
    ) -> Image:
        """Return soft edges, or strokes along them."""

    def poses(self, image: Image, *, resolution: int, on_step: OnStep) -> Image:
        """Return the skeletons of everybody in pictures, on black."""

    def depth(self, image: Image, path: Path, *, resolution: int, on_step: OnStep) -> Image:
        """Return how near everything is, white in front, by the network in a file."""
