class Word:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING",)}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    def run(self, text):
        return (text,)


NODE_CLASS_MAPPINGS = {"ZealousWord": Word}
