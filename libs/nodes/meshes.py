"""Nodes that make and keep meshes: solids with a surface of coloured triangles."""

from __future__ import annotations

import json
from typing import Annotated

from libs.core.jsonvalue import Json, JsonObject
from libs.glb import MIME
from libs.nodes.context import Context, OutputFile
from libs.nodes.declare import Choices, Shown, Widget, node
from libs.nodes.sockets import SEED_MAX, STEPS_MAX, Image
from libs.nodes.solids import Mesh, ShapE

_Seed = Annotated[
    int,
    Widget(min=0, max=SEED_MAX, control_after_generate=True),
    "The same seed makes the same solid again.",
]
_Steps = Annotated[int, Widget(min=1, max=STEPS_MAX), "More steps make a finer solid."]
_Guidance = Widget(min=1.0, max=100.0, step=0.1)
_Cells = Annotated[
    int,
    Widget(min=16, max=256, step=8),
    "Of the grid that the surface is cut out of, along each side: more show finer details.",
]


@node("ShapELoader", title="Load Shap-E", category="loaders/3d")
def load_shap_e(
    context: Context,
    *,
    model_name: Annotated[
        str,
        Choices("shap_e"),
        "A folder in models/shap_e as diffusers writes it: openai/shap-e makes solids of texts, "
        "openai/shap-e-img2img of pictures.",
    ],
) -> ShapE:
    """Load a Shap-E model, which makes solids out of texts or of pictures."""
    return context.loader.shap_e(context.weights("shap_e", model_name))


@node(
    "ShapETextToMesh",
    title="Shap-E Text to Mesh",
    category="3d",
    search_aliases=("3d", "text to 3d", "glb"),
)
def mesh_of_text(
    context: Context,
    *,
    shap_e: Annotated[ShapE, "A model that works from texts (openai/shap-e)."],
    text: Annotated[str, Widget(multiline=True, dynamic_prompts=True), "What to make."],
    seed: _Seed = 0,
    steps: _Steps = 25,
    guidance: Annotated[float, _Guidance, "How closely the solid keeps to the text."] = 15.0,
    resolution: _Cells = 128,
) -> Mesh:
    """Make a solid that fits a text."""
    return shap_e.mesh_of_text(
        text,
        seed=seed,
        steps=steps,
        guidance=guidance,
        cells=resolution,
        on_step=context.step,
    )


@node(
    "ShapEImageToMesh",
    title="Shap-E Image to Mesh",
    category="3d",
    search_aliases=("3d", "image to 3d", "glb"),
)
def mesh_of_picture(
    context: Context,
    *,
    shap_e: Annotated[ShapE, "A model that works from pictures (openai/shap-e-img2img)."],
    image: Annotated[Image, "One thing, best in front of white."],
    seed: _Seed = 0,
    steps: _Steps = 25,
    guidance: Annotated[float, _Guidance, "How closely the solid keeps to the picture."] = 3.0,
    resolution: _Cells = 128,
) -> Mesh:
    """Make a solid of what each picture shows."""
    return shap_e.mesh_of_picture(
        image,
        seed=seed,
        steps=steps,
        guidance=guidance,
        cells=resolution,
        on_step=context.step,
    )


@node(
    "SaveGLB",
    title="Save GLB",
    category="3d",
    output_node=True,
    hidden={"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
    search_aliases=("export 3d", "save mesh"),
)
def save_glb(
    context: Context,
    *,
    mesh: Annotated[Mesh, "What to save."],
    filename_prefix: Annotated[
        str, "Start of the file's name; may hold a folder."
    ] = "mesh/ComfyUI",
) -> Shown[None]:
    """Save solids as GLB files, with the workflow that made them inside."""
    told: JsonObject = {"prompt": context.prompt, **context.extra_pnginfo}
    extras: JsonObject = {name: json.dumps(value) for name, value in told.items()}
    saved: list[Json] = []
    for number, data in enumerate(mesh.to_glb(extras)):
        file = OutputFile(
            data=data,
            extension="glb",
            mime=MIME,
            filename_prefix=filename_prefix,
            batch_number=number,
        )
        saved.append(context.save(file).as_json())
    return Shown(None, {"3d": saved})
