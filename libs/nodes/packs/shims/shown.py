"""`comfy_api.latest.ui`: what nodes of the newer protocol show, and the files that they save for it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from libs.nodes.packs.shims.folders import get_directory_by_type, get_save_image_path
from libs.nodes.packs.shims.wires import FolderType

COMPRESS_LEVEL: Final = 4
WHITE: Final = 255


class SavedResult(dict[str, Any]):
    """A file that is shown."""

    def __init__(self, filename: str, subfolder: str, type: FolderType | str) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=FolderType(type).value)

    @property
    def filename(self) -> str:
        """Return its name."""
        return str(self["filename"])

    @property
    def subfolder(self) -> str:
        """Return its folder below that of its type."""
        return str(self["subfolder"])

    @property
    def type(self) -> FolderType:
        """Return where it lies."""
        return FolderType(self["type"])


class Shown:
    """Something that is shown: lists by their names."""

    def __init__(self, **told: Any) -> None:
        self._told = told

    def as_dict(self) -> dict[str, Any]:
        """Return it as the older protocol says it."""
        return self._told


class SavedImages(Shown):
    """Pictures that lie in a folder already."""

    def __init__(self, results: Sequence[SavedResult], is_animated: bool = False) -> None:
        super().__init__(images=list(results), **({"animated": (True,)} if is_animated else {}))
        self.results = list(results)


class PreviewImage(Shown):
    """Pictures that are saved to be shown alone."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        prefix = f"preview_{uuid.uuid4().hex[:8]}"
        self.values = ImageSaveHelper.save_images(image, prefix, FolderType.temp, cls)
        super().__init__(images=self.values, animated=(animated,))


class PreviewMask(PreviewImage):
    """Masks that are shown as grey pictures."""

    def __init__(self, mask: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        grey = mask.reshape((-1, 1, mask.shape[-2], mask.shape[-1])).movedim(1, -1)
        super().__init__(grey.expand(-1, -1, -1, 3), animated, cls)


class PreviewText(Shown):
    """A text."""

    def __init__(self, value: str, **_: Any) -> None:
        super().__init__(text=(value,))


class PreviewVideo(Shown):
    """Films that lie in a folder already."""

    def __init__(self, values: Sequence[Mapping[str, Any]], **_: Any) -> None:
        super().__init__(images=list(values), animated=(True,))


class PreviewUI3D(Shown):
    """A solid that lies in a folder already, and where it is looked at from."""

    def __init__(self, model_file: Any, camera_info: Any = None, **_: Any) -> None:
        super().__init__(result=[model_file, camera_info])


class ImageSaveHelper:
    """Writes pictures into the node's folders; the house keeps what a node shows of them."""

    @staticmethod
    def save_images(
        images: Any,
        filename_prefix: str,
        folder_type: FolderType,
        cls: Any = None,
        compress_level: int = COMPRESS_LEVEL,
    ) -> list[SavedResult]:
        """Write a batch [count, height, width, channels] as PNG files."""
        import numpy as np
        from PIL import Image

        kind = FolderType(folder_type)
        height, width = images.shape[1], images.shape[2]
        root = str(get_directory_by_type(kind.value))
        folder, stem, number, subfolder, _ = get_save_image_path(
            filename_prefix, root, width, height
        )
        saved: list[SavedResult] = []
        for at, image in enumerate(images):
            pixels = np.clip(image.cpu().numpy() * WHITE, 0, WHITE).astype(np.uint8)
            picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
            name = f"{stem.replace('%batch_num%', str(at))}_{number + at:05}_.png"
            facts = _facts(getattr(cls, "hidden", None))
            picture.save(Path(folder, name), pnginfo=facts, compress_level=compress_level)
            saved.append(SavedResult(name, subfolder, kind))
        return saved

    @staticmethod
    def get_save_images_ui(
        images: Any, filename_prefix: str, cls: Any = None, compress_level: int = COMPRESS_LEVEL
    ) -> SavedImages:
        """Write a batch to be kept, and show it."""
        return SavedImages(
            ImageSaveHelper.save_images(
                images, filename_prefix, FolderType.output, cls, compress_level
            )
        )


def _facts(hidden: Any) -> Any:
    """Return what a picture says of its making, if the node asked for it."""
    from PIL.PngImagePlugin import PngInfo

    facts = PngInfo()
    if hidden is not None and hidden.prompt is not None:
        facts.add_text("prompt", json.dumps(hidden.prompt))
    for name, value in ((hidden and hidden.extra_pnginfo) or {}).items():
        facts.add_text(str(name), json.dumps(value))
    return facts
