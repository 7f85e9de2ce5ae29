class PagedWord:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING", {"default": "paged"})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "paged"

    def run(self, text):
        return (text,)


NODE_CLASS_MAPPINGS = {"PagedWord": PagedWord}
WEB_DIRECTORY = "./js"
