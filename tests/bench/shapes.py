"""Workflows of exactly 500 nodes of the house's own node types, in shapes that people draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libs.graph.limits import NODES_MAX

Workflow = dict[str, Any]

CHECKPOINT = "hanzo-demo-64.safetensors"
SENTENCE = "a red circle on blue, painted at dusk with a very soft brush "


def chain() -> Workflow:
    """Sample over and over, each sampler continuing what the one before it left."""
    nodes = _loaded()
    nodes["latent"] = _empty()
    last = "latent"
    for number in range(NODES_MAX - len(nodes) - 2):
        nodes[f"sampler {number}"] = _sampler(last, seed=number)
        last = f"sampler {number}"
    return _shown(nodes, last)


def wide() -> Workflow:
    """Make pictures side by side from one checkpoint, each with words of its own."""
    nodes = _loaded()
    number = 0
    while len(nodes) + 5 <= NODES_MAX:
        nodes[f"words {number}"] = _words(SENTENCE * 3 + str(number))
        nodes[f"latent {number}"] = _empty()
        nodes[f"sampler {number}"] = _sampler(f"latent {number}", f"words {number}", seed=number)
        nodes[f"decoded {number}"] = _decoded(f"sampler {number}")
        nodes[f"saved {number}"] = _saved(f"decoded {number}")
        number += 1
    return _filled(nodes)


def lattice() -> Workflow:
    """Blend words layer by layer: paths double with each layer, nodes do not."""
    nodes = _loaded()
    nodes["latent"] = _empty()
    left, right = "positive", "negative"
    for number in range((NODES_MAX - len(nodes) - 3) // 2):
        pair = {"conditioning_1": [left, 0], "conditioning_2": [right, 0]}
        nodes[f"left {number}"] = _node("ConditioningCombine", **pair)
        nodes[f"right {number}"] = _node("ConditioningCombine", **pair)
        left, right = f"left {number}", f"right {number}"
    nodes["sampler"] = _sampler("latent", left, right)
    return _filled(_shown(nodes, "sampler"))


def shared() -> Workflow:
    """Look at every step of a long chain of pictures: each output needs all before it."""
    nodes: Workflow = {"picture 0": _node("EmptyImage", width=64, height=64, batch_size=1, color=0)}
    for number in range(1, NODES_MAX // 2):
        nodes[f"picture {number}"] = _node("ImageInvert", image=[f"picture {number - 1}", 0])
    for number in range(NODES_MAX // 2):
        nodes[f"shown {number}"] = _node("PreviewImage", images=[f"picture {number}", 0])
    return nodes


def texts() -> Workflow:
    """Hand in nearly as many words as a submission may hold."""
    nodes = wide()
    words = [node for node in nodes.values() if node["class_type"] == "CLIPTextEncode"]
    for node in words:
        node["inputs"]["text"] = SENTENCE * (9_000 // len(SENTENCE))
    return nodes


def wrong() -> Workflow:
    """Get every sampler and every size wrong, and some links too."""
    nodes = wide()
    for node in nodes.values():
        if node["class_type"] == "KSampler":
            node["inputs"] |= {"sampler_name": "magic", "steps": -1, "cfg": "many"}
        elif node["class_type"] == "EmptyLatentImage":
            node["inputs"] |= {"width": 1, "height": 1_000_000}
        elif node["class_type"] == "VAEDecode":
            node["inputs"]["vae"] = ["nobody", 0]
    return nodes


def cycle() -> Workflow:
    """Close the chain, so that it needs itself."""
    nodes = chain()
    first, last = "sampler 0", [name for name in nodes if name.startswith("sampler")][-1]
    nodes[first]["inputs"]["latent_image"] = [last, 0]
    return nodes


SHAPES: dict[str, Callable[[], Workflow]] = {
    shape.__name__: shape for shape in (chain, wide, lattice, shared, texts, wrong, cycle)
}


def _node(class_type: str, **inputs: Any) -> Workflow:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}


def _loaded() -> Workflow:
    return {
        "checkpoint": _node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "positive": _words(SENTENCE),
        "negative": _words("blurred"),
    }


def _words(text: str) -> Workflow:
    return _node("CLIPTextEncode", text=text, clip=["checkpoint", 1])


def _empty() -> Workflow:
    return _node("EmptyLatentImage", width=64, height=64, batch_size=1)


def _sampler(
    latent: str, positive: str = "positive", negative: str = "negative", seed: int = 0
) -> Workflow:
    return _node(
        "KSampler",
        model=["checkpoint", 0],
        seed=seed,
        steps=12,
        cfg=4.0,
        sampler_name="euler",
        scheduler="normal",
        positive=[positive, 0],
        negative=[negative, 0],
        latent_image=[latent, 0],
        denoise=1.0,
    )


def _decoded(latent: str) -> Workflow:
    return _node("VAEDecode", samples=[latent, 0], vae=["checkpoint", 2])


def _saved(picture: str) -> Workflow:
    return _node("SaveImage", images=[picture, 0], filename_prefix="bench")


def _shown(nodes: Workflow, latent: str) -> Workflow:
    return nodes | {"decoded": _decoded(latent), "saved": _saved("decoded")}


def _filled(nodes: Workflow) -> Workflow:
    """Bring a workflow to exactly as many nodes as are allowed."""
    spare = NODES_MAX - len(nodes)
    return nodes | {f"spare {number}": _words(SENTENCE) for number in range(spare)}
