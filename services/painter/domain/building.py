"""The one builder: a plan and its pictures become a workflow out of the model's template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.core.jsonvalue import JsonObject
from services.painter.domain.families import UNION_TYPES
from services.painter.domain.plan import Plan
from services.painter.domain.sheet import Sheet, Wire
from services.painter.domain.shelf import Fleet, adapter_of, control_of

# How much of a picture is painted anew.
DENOISE: Final = {"reference": 0.75, "subtle": 0.4, "strong": 0.7, "inpaint": 0.95}
ADAPTER_WEIGHT: Final = 0.7
# At 1 Redux leaves hardly anything to the words.
REDUX_STRENGTH: Final = 0.5
CONTROL_STRENGTH: Final = 0.9
CONTROL_UNTIL: Final = 0.8
# Control pictures are drawn at this resolution of their shorter side.
MAP_PIXELS: Final = 512
MAP_NODES: Final = {
    "canny": "CannyEdgePreprocessor",
    "pose": "OpenposePreprocessor",
    "scribble": "FakeScribblePreprocessor",
}


@dataclass(frozen=True)
class Pictures:
    """The names of pictures that the workflow reads; `denoise` says what `source` is for."""

    reference: str | None = None
    control: str | None = None
    source: str | None = None
    mask: str | None = None
    denoise: str = "reference"


@dataclass(frozen=True)
class Built:
    """A workflow, and which of its nodes saves which image."""

    workflow: dict[str, JsonObject]
    savers: tuple[str, ...]
    width: int
    height: int


def build(plan: Plan, fleet: Fleet, pictures: Pictures) -> Built:
    """Return the workflow of a plan."""
    sheet = Sheet.of(plan.model.family.template)
    _load(sheet, plan)
    _say(sheet, plan)
    _adapt(sheet, plan, fleet)
    _begin(sheet, plan, pictures)
    if pictures.reference is not None:
        _follow_reference(sheet, plan, fleet, pictures.reference)
    if pictures.control is not None and plan.control_type is not None:
        _follow_control(sheet, plan, fleet, pictures.control)
    _finish(sheet, plan, pictures)
    savers = _for_each_seed(sheet, plan)
    return Built(sheet.nodes, savers, plan.width, plan.height)


def build_upscale(source: str, upscaler: str | None, width: int, height: int) -> Built:
    """Return the workflow that makes a picture larger."""
    sheet = Sheet.of("upscale")
    sheet.set("source", image=source)
    sheet.set("sized", width=width, height=height)
    if upscaler is None:
        del sheet.nodes["upscaler"], sheet.nodes["upscaled"]
        sheet.set("sized", image=("source", 0))
    else:
        sheet.set("upscaler", model_name=upscaler)
    return Built(sheet.nodes, ("save",), width, height)


def _load(sheet: Sheet, plan: Plan) -> None:
    """Name the model's files."""
    node, name = plan.model.family.loader
    if not plan.model.whole:
        sheet.set(node, **{name: plan.model.file})
        for part, file in plan.model.parts.items():
            sheet.set(part.node, **{part.input: file})
        return
    old = (_model(sheet), _clip(sheet), sheet.wire("decode", "vae"))
    sheet.add("checkpoint", "CheckpointLoaderSimple", ckpt_name=plan.model.file)
    for output, wire in enumerate(old):
        sheet.reroute(wire, ("checkpoint", output))
        sheet.nodes.pop(wire[0], None)


def _say(sheet: Sheet, plan: Plan) -> None:
    """Write the texts and the course."""
    sheet.set("positive", text=plan.positive)
    if sheet.nodes["negative"]["class_type"] == "CLIPTextEncode":
        sheet.set("negative", text=plan.negative)
    sheet.set("sampler", steps=plan.steps, cfg=plan.cfg_scale)


def _adapt(sheet: Sheet, plan: Plan, fleet: Fleet) -> None:
    """Let the style's adapter in, where the fleet has it."""
    lora = plan.style.lora
    file = fleet.named("loras", *lora.words) if lora else None
    if lora is None or file is None or plan.model.family.paints:
        return
    model, clip = _model(sheet), _clip(sheet)
    sheet.add(
        "style",
        "LoraLoader",
        model=model,
        clip=clip,
        lora_name=file,
        strength_model=lora.strength,
        strength_clip=lora.strength,
    )
    sheet.reroute(model, ("style", 0), but="style")
    sheet.reroute(clip, ("style", 1), but="style")


def _begin(sheet: Sheet, plan: Plan, pictures: Pictures) -> None:
    """Begin from nothing, or from a picture."""
    width, height = _painted(plan)
    source, denoise = pictures.source, pictures.denoise
    if source is None and plan.reference == "start":
        source, denoise = pictures.reference, "reference"
    if source is None:
        sheet.set("latent", width=width, height=height, batch_size=1)
        return
    del sheet.nodes["latent"]
    picture = sheet.add("source", "LoadImage", image=source)
    fitted = _scaled(sheet, "fitted", picture, width, height)
    start = sheet.add("start", "VAEEncode", pixels=fitted, vae=sheet.wire("decode", "vae"))
    if pictures.mask is not None:
        mask = _mask(sheet, "mask", pictures.mask, width, height)
        start = sheet.add("masked", "SetLatentNoiseMask", samples=start, mask=mask)
    sheet.set("sampler", latent_image=start, denoise=DENOISE[denoise])


def _mask(sheet: Sheet, node_id: str, mask: str, width: int, height: int) -> Wire:
    """Bring a mask to a size: one of unknown size would count as a large picture."""
    picture = sheet.add("mask_picture", "LoadImage", image=mask)
    fitted = _scaled(sheet, f"{node_id}_fitted", picture, width, height)
    # Lanczos would leave waves along the edge.
    sheet.set(f"{node_id}_fitted", upscale_method="bilinear")
    return sheet.add(node_id, "ImageToMask", image=fitted, channel="red")


def _follow_reference(sheet: Sheet, plan: Plan, fleet: Fleet, reference: str) -> None:
    """Paint in the style of an example, where the model has an adapter for that."""
    files = adapter_of(plan.model, fleet)
    if plan.reference != "adapter" or files is None:
        return
    adapter, vision = files
    picture = sheet.add("reference", "LoadImage", image=reference)
    sees = sheet.add("vision", "CLIPVisionLoader", clip_name=vision)
    if plan.model.family.reference == "redux":
        _lay_to_text(sheet, adapter, sees, picture)
        return
    styled = sheet.add(
        "styled",
        "IPAdapterApply",
        model=_model(sheet),
        image=picture,
        weight=ADAPTER_WEIGHT,
        noise=0.0,
        ipadapter=sheet.add("adapter", "IPAdapterModelLoader", ipadapter_file=adapter),
        clip_vision=sees,
    )
    sheet.set("sampler", model=styled)


def _lay_to_text(sheet: Sheet, redux: str, sees: Wire, picture: Wire) -> None:
    """Lay what is seen in an example to the text."""
    styled = sheet.add(
        "styled",
        "StyleModelApply",
        conditioning=sheet.wire("sampler", "positive"),
        style_model=sheet.add("adapter", "StyleModelLoader", style_model_name=redux),
        clip_vision_output=sheet.add(
            "seen", "CLIPVisionEncode", clip_vision=sees, image=picture, crop="center"
        ),
        strength=REDUX_STRENGTH,
        strength_type="attn_bias",
    )
    sheet.set("sampler", positive=styled)


def _follow_control(sheet: Sheet, plan: Plan, fleet: Fleet, control: str) -> None:
    """Be led by the edges, depths, poses or strokes of a picture."""
    kind = str(plan.control_type)
    found = control_of(plan.model, fleet, kind)
    if found is None:
        return
    file, is_union = found
    net = sheet.add("control_net", "ControlNetLoader", control_net_name=file)
    if is_union:
        net = sheet.add(
            "control_kind", "SetUnionControlNetType", control_net=net, type=UNION_TYPES[kind]
        )
    picture = sheet.add("control_picture", "LoadImage", image=control)
    sheet.add(
        "controlled",
        "ControlNetApplyAdvanced",
        positive=sheet.wire("sampler", "positive"),
        negative=sheet.wire("sampler", "negative"),
        control_net=net,
        image=map_node(sheet, fleet, kind, picture),
        strength=CONTROL_STRENGTH,
        start_percent=0.0,
        end_percent=CONTROL_UNTIL,
    )
    if plan.model.family.control_takes_vae:
        sheet.set("controlled", vae=sheet.wire("decode", "vae"))
    sheet.set("sampler", positive=("controlled", 0), negative=("controlled", 1))


def map_node(sheet: Sheet, fleet: Fleet, kind: str, picture: Wire) -> Wire:
    """Add the node that turns a picture into edges, depths, poses or strokes."""
    if kind != "depth":
        return sheet.add("control_map", MAP_NODES[kind], image=picture, resolution=MAP_PIXELS)
    zoe = fleet.named("depth", "zoe")
    file = next((n for n in fleet.files.get("depth", ()) if n != zoe), zoe)
    node = "Zoe-DepthMapPreprocessor" if file == zoe else "MiDaS-DepthMapPreprocessor"
    return sheet.add("control_map", node, image=picture, resolution=MAP_PIXELS, model_name=file)


def _finish(sheet: Sheet, plan: Plan, pictures: Pictures) -> None:
    """Bring the picture to its size, and keep what was not to be painted anew."""
    made = sheet.wire("save", "images")
    family = plan.model.family
    if family.paints and (plan.width, plan.height) != (family.width, family.height):
        made = _scaled(sheet, "sized", made, plan.width, plan.height)
    if pictures.mask is not None:
        below = _scaled(sheet, "below", ("source", 0), plan.width, plan.height)
        mask: Wire = ("mask", 0)
        if _painted(plan) != (plan.width, plan.height):
            mask = _mask(sheet, "mask_whole", pictures.mask, plan.width, plan.height)
        made = sheet.add(
            "kept",
            "ImageCompositeMasked",
            destination=below,
            source=made,
            x=0,
            y=0,
            resize_source=False,
            mask=mask,
        )
    sheet.set("save", images=made)


def _for_each_seed(sheet: Sheet, plan: Plan) -> tuple[str, ...]:
    """Sample once for each seed, each image by itself, so that each comes again alone."""
    sheet.set("sampler", seed=plan.seeds[0])
    own = [node for node in sheet.nodes if _comes_from(sheet, node, "sampler")]
    savers = ["save"]
    for place, seed in enumerate(plan.seeds[1:], start=2):
        for node in own:
            copied = {
                name: [f"{value[0]}_{place}", value[1]]
                if isinstance(value, list) and value[0] in own
                else value
                for name, value in sheet.inputs(node).items()
            }
            sheet.add(f"{node}_{place}", str(sheet.nodes[node]["class_type"]), **copied)
        sheet.set(f"sampler_{place}", seed=seed)
        savers.append(f"save_{place}")
    return tuple(savers)


def _comes_from(sheet: Sheet, node_id: str, source: str) -> bool:
    if node_id == source:
        return True
    wires = [value for value in sheet.inputs(node_id).values() if isinstance(value, list)]
    return any(_comes_from(sheet, str(wire[0]), source) for wire in wires)


def _scaled(sheet: Sheet, node_id: str, picture: Wire, width: int, height: int) -> Wire:
    return sheet.add(
        node_id,
        "ImageScale",
        image=picture,
        upscale_method="lanczos",
        width=width,
        height=height,
        crop="center",
    )


def _painted(plan: Plan) -> tuple[int, int]:
    side = plan.model.family.paints
    return (side, side) if side else (plan.width, plan.height)


def _model(sheet: Sheet) -> Wire:
    return sheet.wire("sampler", "model")


def _clip(sheet: Sheet) -> Wire:
    return sheet.wire("positive", "clip")
