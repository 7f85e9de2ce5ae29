class Good:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING",)}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    def run(self, text):
        return text


class Raising(Good):
    @classmethod
    def INPUT_TYPES(s):
        raise RuntimeError("no list today")


NODE_CLASS_MAPPINGS = {"HalfGood": Good, "HalfRaising": Raising, "KSampler": Good}
