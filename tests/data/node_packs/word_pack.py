"""A pack in one file: lists, lazy inputs, judging, expansion, blocking, async, any type."""
import asyncio

from comfy.comfy_types import IO, ComfyNodeABC
from comfy_execution.graph import ExecutionBlocker
from comfy_execution.graph_utils import GraphBuilder


class AnyType(str):
    def __ne__(self, other):
        return False


ANY = AnyType("*")


class WordSplit(ComfyNodeABC):
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": (IO.STRING, {"default": "a b", "multiline": True, "dynamicPrompts": True})}}

    RETURN_TYPES = (IO.STRING,)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"
    CATEGORY = "words"

    def run(self, text):
        return (text.split(),)


class WordUpper:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING", {"forceInput": True})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "words"

    async def run(self, text):
        await asyncio.sleep(0)
        return (text.upper(),)


class WordJoin:
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"texts": ("STRING", {"forceInput": True}), "between": ("STRING", {"default": "-"})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "words"

    def run(self, texts, between):
        return (between[0].join(texts),)


class WordShow:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {}, "optional": {"text": (ANY, {})}}

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    CATEGORY = "words"

    def run(self, text=None, **kwargs):
        more = [f"{k}={v}" for k, v in sorted(kwargs.items())]
        return {"ui": {"text": [str(text), *more]}}


class WordSwitch:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"on": ("BOOLEAN", {"default": True, "label_on": "yes", "label_off": "no"}), "yes": (ANY, {"lazy": True}), "no": (ANY, {"lazy": True})}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "words"

    def check_lazy_status(self, on, yes=None, no=None):
        return ["yes"] if on else ["no"]

    def run(self, on, yes=None, no=None):
        return (yes if on else no,)


class WordJudge:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING", {"default": ""}), "kind": ("COMBO", {"options": ["plain", "loud"]})}}

    @classmethod
    def VALIDATE_INPUTS(s, text, input_types=None):
        return True if text != "bad" else "that is a bad word"

    @classmethod
    def IS_CHANGED(s, text, kind):
        return float("nan") if kind == "loud" else text

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "words"
    DEPRECATED = True
    calls = 0

    def run(self, text, kind):
        WordJudge.calls += 1
        return (f"{text}{WordJudge.calls}",)


class WordTwice:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING", {"forceInput": True})}, "hidden": {"dynprompt": "DYNPROMPT", "unique_id": "UNIQUE_ID"}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "words"

    def run(self, text, dynprompt, unique_id):
        assert dynprompt.get_node(unique_id)["class_type"] == "WordTwice"
        graph = GraphBuilder()
        upper = graph.node("WordUpper", text=text)
        both = graph.node("WordGlue", a=upper.out(0), b=text)
        return {"result": (both.out(0),), "expand": graph.finalize()}


class WordGlue:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"a": ("STRING", {}), "b": ("STRING", {})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "words"

    def run(self, a, b):
        return (a + b,)


class WordStop:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING", {})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "words"

    def run(self, text):
        return (ExecutionBlocker(f"no {text}"),)


NODE_CLASS_MAPPINGS = {k: v for k, v in list(globals().items()) if k.startswith("Word")}
