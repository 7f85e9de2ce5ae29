"""What ComfyUI's editor asks for besides prompts and files, as clients are told of it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, RootModel

from libs.chassis.answers import Strict
from services.gateway.openapi.answers import Facts
from services.gateway.openapi.operations import DONE
from services.gateway.openapi.words import Answer, Body, Doc, Param

BYTES: Final = ("application/octet-stream", "text/css")
READING: Final = (400, 401, 403, 503)
FINDING: Final = (400, 401, 403, 404, 503)
SAVING: Final = (400, 401, 403, 404, 409, 413, 503)


class Anything(RootModel[Any]):
    """Any JSON at all, or bytes of any kind."""


class Settings(RootModel[dict[Annotated[str, Field(min_length=1, max_length=200)], Any]]):
    """Settings by their ids."""


class SavedFile(Strict):
    """A saved file; bytes, and milliseconds since 1970."""

    path: str
    size: int
    modified: int
    created: int


class Saved(RootModel[SavedFile | str]):
    """The saved file, or only its name."""


class SavedList(RootModel[list[SavedFile] | list[str] | list[list[str]]]):
    """Files with their facts, their names, or their names in parts."""


class FolderEntry(Strict):
    """A file or folder; a folder has no size."""

    name: str
    path: str
    type: Literal["file", "directory"]
    size: int | None = None
    modified: int | None = None


class Folder(RootModel[list[FolderEntry]]):
    """What lies right inside a folder."""


NAME: Final = Param("file", "Name of a file, a slash inside it as %2F.", place="path")
SETTING_ID: Final = Param("id", "Id of a setting.", place="path", example="Comfy.ColorPalette")
OVERWRITE: Final = Param("overwrite", "`false` leaves a file of that name alone.")
FULL_INFO: Final = Param("full_info", "`true` asks for size and times too.")

SETTINGS: Final = Doc("editor", {200: Answer("All settings.", (Facts,))})
POST_SETTINGS: Final = Doc(
    "editor",
    {200: DONE},
    body=Body(Settings, required=True),
    errors=(*READING, 413),
)
SETTING: Final = Doc(
    "editor", {200: Answer("Its value, or null.", (Anything,))}, (SETTING_ID,), errors=READING
)
POST_SETTING: Final = Doc(
    "editor",
    {200: DONE},
    (SETTING_ID,),
    body=Body(Anything, required=True),
    errors=(*READING, 413),
)
USERDATA: Final = Doc(
    "editor",
    {200: Answer("The files of a folder.", (SavedList,))},
    (
        Param("dir", "The folder.", {"type": "string", "minLength": 1}, required=True),
        Param("recurse", "`true` asks for the folders in it too."),
        FULL_INFO,
        Param("split", "`true` asks for the names in parts."),
    ),
    errors=FINDING,
)
USERDATA_FOLDER: Final = Doc(
    "editor",
    {200: Answer("What lies in a folder.", (Folder,))},
    (Param("path", "The folder; the user's own without it."),),
    errors=FINDING,
)
FILE: Final = Doc("editor", {200: Answer("The file.", media=BYTES)}, (NAME,), errors=FINDING)
POST_FILE: Final = Doc(
    "editor",
    {200: Answer("It is kept.", (Saved,))},
    (NAME, OVERWRITE, FULL_INFO),
    body=Body(Anything, "application/octet-stream"),
    errors=SAVING,
)
MOVE_FILE: Final = Doc(
    "editor",
    {200: Answer("It has the new name.", (Saved,))},
    (NAME, Param("dest", "The new name.", place="path"), OVERWRITE, FULL_INFO),
    errors=SAVING,
)
DELETE_FILE: Final = Doc("editor", {204: Answer("It is gone.")}, (NAME,), errors=FINDING)
