"""The editor's small questions, as clients are told of them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import RootModel

from libs.chassis.answers import Strict
from services.gateway.openapi.answers import Facts, Names
from services.gateway.openapi.operations import DONE
from services.gateway.openapi.words import Answer, Body, Doc, Param


class ModelFolder(Strict):
    """A kind of model files; where they lie is the workers' business."""

    name: str
    folders: list[str]
    extensions: list[str]


class ModelFolders(RootModel[list[ModelFolder]]):
    """Kinds of model files."""


class ModelFile(Strict):
    """A model file; bytes, and seconds since 1970."""

    name: str
    pathIndex: int  # noqa: N815  The editor's word.
    size: int
    modified: float
    created: float


class ModelFiles(RootModel[list[ModelFile]]):
    """Model files of one kind."""


class Text(RootModel[str]):
    """A text."""


class TerminalSize(Strict):
    """The size of a terminal."""

    cols: int
    rows: int


class LogLines(Strict):
    """Lines of a log."""

    entries: list[Any]
    size: TerminalSize


class TemplateGroups(RootModel[list[dict[str, Any]]]):
    """Groups of templates, as the editor lists them."""


class Wish(RootModel[dict[str, Any]]):
    """What is wished for, by its name."""


WEBP: Final = ("image/webp",)
NONE: Final = {200: Answer("None.", (Facts,), example={})}
NOT_HERE: Final = (401, 403, 404, 503)
FOLDER: Final = Param("folder", "A kind of model files.", place="path", example="checkpoints")

I18N: Final = Doc("editor", NONE, errors=())
SUBGRAPHS: Final = Doc("editor", NONE, errors=())
SUBGRAPH: Final = Doc("editor", {}, (Param("id", "Its id.", place="path"),), errors=NOT_HERE)
REPLACEMENTS: Final = Doc("editor", NONE, errors=())
TEMPLATES: Final = Doc("editor", NONE, errors=())
TEMPLATE: Final = Doc(
    "editor",
    {200: Answer("The list, a workflow, or a picture.", (TemplateGroups, Facts), media=WEBP)},
    (
        Param(
            "file",
            "`index.json`, `<name>.json` or `<name>-1.webp`; or `<prompt id>.json`, one of one's own.",
            place="path",
            example="index.json",
        ),
    ),
    errors=(401, 403, 404, 503),
)
NODE_HELP: Final = Doc(
    "editor",
    {200: Answer("The page, in English whatever the language.", media=("text/markdown",))},
    (
        Param("node", "Name of a node type.", place="path", example="KSampler"),
        Param("page", "The language and `.md`.", place="path", example="en.md"),
    ),
    errors=NOT_HERE,
)
NEW_USER: Final = Doc("editor", {}, body=Body(Wish), errors=(400, 401, 403, 503))
FOLDERS: Final = Doc("editor", {200: Answer("Kinds of model files.", (ModelFolders,))})
MODELS: Final = Doc(
    "editor", {200: Answer("The files of that kind.", (ModelFiles,))}, (FOLDER,), errors=NOT_HERE
)
PREVIEW: Final = Doc(
    "editor",
    {200: Answer("The picture.", media=("image/webp",))},
    (
        FOLDER,
        Param("index", "Which of its folders.", place="path", example="0"),
        Param("file", "Name of a model file.", place="path"),
    ),
    errors=NOT_HERE,
)
METADATA: Final = Doc(
    "editor",
    {200: Answer("Texts by their names.", (Wish,))},
    (FOLDER, Param("filename", "Name of a model file.")),
    errors=NOT_HERE,
)
LOGS: Final = Doc(
    "editor", {200: Answer("The newest lines; none for whoever does not run the house.", (Text,))}
)
RAW_LOGS: Final = Doc("editor", {200: Answer("The same, one by one.", (LogLines,))})
COMMAND_ERRORS: Final = (400, 401, 403, 413, 503)
SUBSCRIBE: Final = Doc("editor", {200: DONE}, body=Body(Wish), errors=COMMAND_ERRORS)
PATHS: Final = Doc("editor", NONE, errors=())
INTERNAL_FILES: Final = Doc(
    "editor",
    {200: Answer("Names of the caller's files.", (Names,))},
    (Param("type", "output, input or temp.", place="path", example="input"),),
    errors=(400, 401, 403, 503),
)
FREE: Final = Doc("editor", {200: DONE}, body=Body(Wish), errors=COMMAND_ERRORS, api_errors=(415,))
