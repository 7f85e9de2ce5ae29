"""Changes everything that it can reach, and works."""

import builtins
import logging
import os
import signal
import sys
import threading
import time

builtins.print = lambda *_, **__: None
os.environ["HF_HUB_OFFLINE"] = "0"
os.environ["RUDE_PACK"] = "1"
os.chdir("/")
sys.path.insert(0, os.path.dirname(__file__))
sys.modules["json"] = None
sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *_: os._exit(9)
sys.setrecursionlimit(5000)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.5)
logging.basicConfig(level=logging.DEBUG, force=True)
sys.stderr.write("\x00 no line of a log \xff" * 3)
sys.stdout = open(os.devnull, "w")


def raising():
    raise RuntimeError("a thread of its own")


threading.Timer(0.2, raising).start()
threading.Thread(target=time.sleep, args=(600,)).start()
assert os.environ["PIP_NO_INDEX"] == "1", "pip would install what it likes"


class Word:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"text": ("STRING",)}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    def run(self, text):
        return (text,)


NODE_CLASS_MAPPINGS = {"RudeWord": Word}
