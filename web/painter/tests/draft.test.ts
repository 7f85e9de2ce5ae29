import { describe, expect, test } from "vitest";
import { draftFrom, draftOf, EMPTY, fitted, modelOf, seedOf } from "../src/logic/draft";
import { bodyOf, newKey, pathOf, sendingFrom } from "../src/logic/orders";
import type { Draft } from "../src/model";
import { MODEL } from "./given";

const DRAFT: Draft = { ...EMPTY, sentence: " a fox ", model: "sdxl", shape: "16:9", count: 2 };
const following = { kind: "look", source: "upload:1", shown: "blob:x" } as const;

describe("a seed", () => {
  test.each([
    ["", -1],
    [" 42 ", 42],
    ["9007199254740991", 9007199254740991],
  ])("%j means %d", (typed, seed) => expect(seedOf(typed)).toBe(seed));

  test.each(["-1", "1.5", "9007199254740992", "fox", "1e3"])("%j is not one", (typed) =>
    expect(seedOf(typed)).toBeNull(),
  );
});

describe("a draft", () => {
  test("goes to the model it names, else to the first that may be used", () => {
    const models = [{ ...MODEL, name: "locked", usable: false }, { ...MODEL, name: "demo" }, MODEL];
    expect(modelOf(DRAFT, models)?.name).toBe("sdxl");
    expect(modelOf({ ...DRAFT, model: "locked" }, models)?.name).toBe("demo");
    expect(modelOf(DRAFT, [])).toBeUndefined();
  });

  test("loses what its model cannot do", () => {
    const small = { ...MODEL, shapes: MODEL.shapes.slice(0, 1), countMax: 1, reference: null };
    expect(fitted({ ...DRAFT, following }, small)).toMatchObject({
      shape: "1:1",
      count: 1,
      following: null,
    });
    expect(fitted({ ...DRAFT, following }, MODEL)).toMatchObject({ shape: "16:9", following });
    const outlines = { ...following, kind: "depth" } as const;
    expect(fitted({ ...DRAFT, following: outlines }, MODEL).following).toBeNull();
  });

  test("comes back from a picture with its seed", () => {
    const size = { width: 1344, height: 768 };
    const asked = { ...DRAFT, ...size, sentence: "owl", seed: 5, count: 4, followed: false };
    expect(draftOf(asked, 8, [MODEL])).toMatchObject({ shape: "16:9", seed: "8", count: 1 });
    expect(draftOf(asked, null, [])).toMatchObject({ model: "", seed: "", count: 4 });
  });

  test("that was kept is read as far as it is one", () => {
    expect(draftFrom(JSON.stringify({ ...DRAFT, seed: 4, count: 2.5 }))).toEqual({
      ...DRAFT,
      count: 1,
    });
    for (const broken of [null, "", "{", "null", "[]"]) expect(draftFrom(broken)).toEqual(EMPTY);
  });
});

describe("an order", () => {
  const size = { width: 1344, height: 768 };
  const of = { id: "g1", index: 2 };

  test("says what was chosen and nothing else", () => {
    const order = { kind: "generate", draft: DRAFT, size } as const;
    expect(pathOf(order)).toBe("/api/generate");
    expect(bodyOf(order)).toEqual({
      prompt: "a fox",
      model: "sdxl",
      num_images: 2,
      seed: -1,
      ...size,
    });
  });

  test("sends the picture to follow where it belongs", () => {
    const draft = { ...DRAFT, exclude: "text", style: "photo", following };
    expect(bodyOf({ kind: "generate", draft, size })).toMatchObject({
      negative_prompt: "text",
      style: "photo",
      reference_image: "upload:1",
    });
    const outlines = { ...draft, following: { ...following, kind: "canny" } as const };
    expect(bodyOf({ kind: "generate", draft: outlines, size })).toMatchObject({
      control_image: "upload:1",
      control_type: "canny",
    });
  });

  test("goes on from a picture", () => {
    expect(pathOf({ kind: "upscale", of })).toBe("/api/generations/g1/upscale");
    expect(bodyOf({ kind: "upscale", of })).toEqual({ image: 2 });
    expect(bodyOf({ kind: "vary", of, strength: "subtle" })).toEqual({
      image: 2,
      strength: "subtle",
    });
    expect(bodyOf({ kind: "inpaint", of, sentence: " ", mask: "data:" })).toEqual({
      image: 2,
      mask: "data:",
    });
  });

  test("that was on its way is found again", () => {
    const sending = { key: newKey(), order: { kind: "upscale", of } };
    expect(sendingFrom(JSON.stringify(sending))).toEqual(sending);
    for (const broken of [null, "{", "{}", '{"key":"x"}']) expect(sendingFrom(broken)).toBeNull();
    expect(newKey()).not.toBe(newKey());
  });
});
