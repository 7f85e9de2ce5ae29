import type { Model } from "../src/model";

export const MODEL: Model = {
  name: "sdxl",
  title: "SDXL",
  note: "",
  usable: true,
  demo: null,
  shapes: [
    { name: "1:1", width: 1024, height: 1024 },
    { name: "16:9", width: 1344, height: 768 },
  ],
  countMax: 4,
  takesExclude: true,
  reference: "adapter",
  controls: ["canny"],
  lacking: {},
  inpaint: true,
};

/** A generation as the service tells it. */
export const WIRE = {
  generation_id: "g1",
  kind: "generate",
  status: "running",
  images: [
    {
      index: 0,
      url: "http://127.0.0.1:3035/api/generations/g1/images/0?x=1",
      width: 64,
      height: 64,
      seed: 7,
      workflow_id: "w",
    },
  ],
  usage: { model: "sdxl", steps: 4, compute_ms: 0, cost_credits: 0 },
  settings: {
    prompt: "a fox",
    negative_prompt: "",
    model: "sdxl",
    width: 1344,
    height: 768,
    steps: 4,
    cfg_scale: 1,
    seed: 7,
    style: "none",
    num_images: 2,
  },
  created: "2026-11-25T20:00:00.000Z",
  ended: null,
  seconds: null,
  place: null,
  progress: { step: 1, steps: 4, fraction: 0.25 },
  favourite: false,
  error: null,
  studio_url: "http://127.0.0.1:8188/?workflow=w",
};
