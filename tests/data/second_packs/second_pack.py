"""A pack of the newer protocol: groups, hidden inputs, lazy ones, lists, judging, async, expansion."""
from enum import Enum

import folder_paths
from comfy_api.latest import ComfyExtension, Input, io, ui
from comfy_api.v0_0_2 import io as stable
from comfy_execution.graph_utils import GraphBuilder
from server import PromptServer


@PromptServer.instance.routes.get("/second/hello")
async def hello(request):
    return None


class Mode(Enum):
    FULL = "full"
    HALF = "half"


Pipe = io.Custom("SECOND_PIPE")


@io.comfytype(io_type="SECOND_NOTE")
class Note(io.ComfyTypeIO):
    class Input(io.Input):
        def __init__(self, id, **kwargs):
            super().__init__(id, **kwargs)


class SecondBright(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SecondBright",
            display_name="Second: Bright",
            category="second/colour",
            description="Makes a picture brighter.",
            search_aliases=["light"],
            is_experimental=True,
            inputs=[
                io.Image.Input("image", tooltip="What to change."),
                io.Float.Input("strength", default=1.0, min=0.0, max=2.0, step=0.05, display_mode=io.NumberDisplay.slider),
                io.Combo.Input("mode", options=Mode, default=Mode.HALF),
                io.Combo.Input("checkpoint", options=folder_paths.get_filename_list("checkpoints"), optional=True),
                io.Mask.Input("mask", optional=True),
                io.Int.Input("seed", default=1, control_after_generate=True, force_input=True, optional=True),
            ],
            outputs=[io.Image.Output(display_name="picture", tooltip="It."), io.Mask.Output()],
        )

    @classmethod
    def execute(cls, image: Input.Image, strength, mode, checkpoint=None, mask=None, seed=0):
        changed = (image * strength if mode == "full" else image * strength / 2).clamp(0, 1)
        return io.NodeOutput(changed, changed.mean(dim=-1), ui=ui.PreviewText(f"{mode} {strength}"))


class SecondShow(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SecondShow",
            is_output_node=True,
            inputs=[io.AnyType.Input("value"), io.String.Input("prompt", default="", optional=True)],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    def execute(cls, value, prompt=""):
        cls.seen = True
        assert cls.hidden.dynprompt.has_node(cls.hidden.unique_id)
        kind = type(cls.hidden.prompt).__name__
        return {"ui": {"text": [str(value), prompt, kind, str(cls.hidden.api_key_comfy_org)]}}


class SecondSave(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SecondSave",
            is_output_node=True,
            inputs=[io.Image.Input("images"), io.Boolean.Input("keep", default=True, label_on="keep", label_off="show")],
        )

    @classmethod
    def execute(cls, images, keep):
        if keep:
            return io.NodeOutput(ui=ui.ImageSaveHelper.get_save_images_ui(images, "second/shot", cls=cls))
        return io.NodeOutput(ui=ui.PreviewImage(images, cls=cls))


class SecondSum(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        same = io.MatchType.Template("number", allowed_types=[io.Int, io.Float])
        grown = io.Autogrow.TemplatePrefix(io.MatchType.Input("operand", template=same), prefix="operand", min=2, max=4)
        return io.Schema(
            node_id="SecondSum",
            inputs=[io.Autogrow.Input("operands", template=grown)],
            outputs=[io.MatchType.Output(template=same, display_name="sum")],
        )

    @classmethod
    def validate_inputs(cls, operands):
        return True if all(one != 13 for one in operands.values()) else "13 is no number"

    @classmethod
    def execute(cls, operands: io.Autogrow.Type):
        return io.NodeOutput(sum(operands.values()))


class SecondChoice(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        length = io.Int.Input("length", default=3, min=1, max=9)
        return io.Schema(
            node_id="SecondChoice",
            inputs=[
                io.DynamicCombo.Input("mode", options=[
                    io.DynamicCombo.Option("none", []),
                    io.DynamicCombo.Option("cut", [length, io.String.Input("word", default="-")]),
                ]),
            ],
            outputs=[io.String.Output()],
        )

    @classmethod
    async def execute(cls, mode):
        return io.NodeOutput(",".join(f"{k}={v}" for k, v in sorted(mode.items())))


class SecondSwitch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SecondSwitch",
            inputs=[
                io.Boolean.Input("on", default=True),
                io.AnyType.Input("yes", lazy=True),
                io.MultiType.Input("no", types=[io.String, io.Int], lazy=True, optional=True),
                Note.Input("note", optional=True),
            ],
            outputs=[io.AnyType.Output("out"), Pipe.Output()],
        )

    @classmethod
    def check_lazy_status(cls, on, yes=None, no=None, note=None):
        return ["yes"] if on else ["no"]

    @classmethod
    def execute(cls, on, yes=None, no=None, note=None):
        return io.NodeOutput(yes if on else no, {"pipe": 1})


class SecondWords(io.ComfyNode):
    calls = []

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SecondWords",
            is_deprecated=True,
            inputs=[io.String.Input("text", multiline=True, default="a b"), io.Boolean.Input("always", default=False)],
            outputs=[io.String.Output(is_output_list=True), io.Int.Output("count")],
        )

    @classmethod
    def fingerprint_inputs(cls, text, always):
        return float("nan") if always else text

    @classmethod
    def validate_inputs(cls, text):
        return True if text != "bad" else "that is a bad word"

    @classmethod
    def execute(cls, text, always):
        cls.calls.append(text)
        return io.NodeOutput(text.split(), len(cls.calls))


class SecondJoin(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SecondJoin",
            is_input_list=True,
            inputs=[stable.String.Input("texts", force_input=True), stable.String.Input("between", default="-")],
            outputs=[stable.String.Output()],
        )

    @classmethod
    def execute(cls, texts, between):
        return stable.NodeOutput(between[0].join(texts))


class SecondTwice(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SecondTwice",
            enable_expand=True,
            inputs=[io.Int.Input("number", force_input=True), io.Boolean.Input("stop", default=False)],
            outputs=[io.Int.Output()],
        )

    @classmethod
    def execute(cls, number, stop):
        if stop:
            return io.NodeOutput(block_execution="no way")
        graph = GraphBuilder()
        both = graph.node("SecondSum", **{"operands.operand0": number, "operands.operand1": number})
        return io.NodeOutput(both.out(0), expand=graph.finalize())


class SecondMany(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="SecondMany", inputs=[io.MultiCombo.Input("several", options=["a"])])


class Extension(ComfyExtension):
    ready = False

    async def on_load(self):
        self.ready = True

    async def get_node_list(self):
        assert self.ready
        return [one for name, one in list(globals().items()) if name.startswith("Second")]


async def comfy_entrypoint():
    return Extension()
