from comfy.ldm.modules.attention import optimized_attention

NODE_CLASS_MAPPINGS = {}
