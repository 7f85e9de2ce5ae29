import { describe, expect, test, vi } from "vitest";
import { Strange } from "../src/logic/decode";
import { askedOf, heard, readGeneration, readMap } from "../src/wire";
import { WIRE } from "./given";

vi.stubGlobal("location", { href: "http://page.example/" });

const told = (event: string, data: unknown) => ({ id: "", event, data: JSON.stringify(data) });

describe("a generation", () => {
  test("has its pictures where the page came from, whatever the service calls itself", () => {
    const read = readGeneration(WIRE, "");
    expect(read.pictures[0]?.url).toBe("/api/generations/g1/images/0?x=1");
    expect(read).toMatchObject({ status: "running", asked: { sentence: "a fox", style: "" } });
  });

  test("of an unknown status is strange", () => {
    expect(() => readGeneration({ ...WIRE, status: "melted" }, "")).toThrow(Strange);
  });
});

test("a control map lies where the page came from, or is not there yet", () => {
  const wire = { map_id: "m", status: "queued", image: null, error: null };
  expect(readMap(wire, "")).toEqual({ id: "m", status: "queued", image: "", wrong: "" });
  const there = { ...wire, status: "succeeded", image: "http://x/api/control-maps/m/image" };
  expect(readMap(there, "").image).toBe("/api/control-maps/m/image");
});

describe("news of a generation", () => {
  const known = readGeneration(WIRE, "");

  test("begin with the whole of it; steps before that are passed over", () => {
    expect(heard(null, told("progress", { step: 1, steps: 4 }))).toBeNull();
    expect(heard(null, told("generation", WIRE))?.id).toBe("g1");
  });

  test("steps and previews ride on what is known", () => {
    const stepped = heard(known, told("progress", { step: 2, steps: 4 }));
    expect(stepped?.progress).toEqual({ step: 2, steps: 4 });
    const seen = heard(stepped, told("preview", { image: "data:x" }));
    expect(seen?.preview).toBe("data:x");
    expect(heard(seen, told("generation", WIRE))?.preview).toBe("data:x");
  });

  test("no preview is shown of what has ended", () => {
    const seen = { ...known, preview: "data:x" };
    expect(heard(seen, told("generation", { ...WIRE, status: "blocked" }))?.preview).toBe("");
  });

  test("of a kind that is not known yet change nothing", () => {
    expect(heard(known, told("weather", {}))).toBe(known);
  });
});

describe("the settings in a picture", () => {
  test("are read when they are ours", () => {
    const asked = askedOf({ painter: JSON.stringify({ version: 1, settings: WIRE.settings }) });
    expect(asked).toMatchObject({ sentence: "a fox", seed: 7, count: 2, width: 1344 });
  });

  test("are none in any other picture", () => {
    for (const painter of ["", "{", "{}", "null"]) expect(askedOf({ painter })).toBeNull();
    expect(askedOf({ prompt: "{}" })).toBeNull();
  });
});
