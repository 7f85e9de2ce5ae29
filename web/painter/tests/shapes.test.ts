import { describe, expect, test } from "vitest";
import { boxOf, nearest, shapeOf } from "../src/logic/shapes";
import { contained, extended, inPicture } from "../src/logic/strokes";

const SHAPES = [
  { name: "1:1", width: 1024, height: 1024 },
  { name: "16:9", width: 1344, height: 768 },
  { name: "9:16", width: 768, height: 1344 },
];

describe("shapes", () => {
  test("are found by name, else the square is meant", () => {
    expect(shapeOf("16:9", SHAPES)?.width).toBe(1344);
    expect(shapeOf("21:9", SHAPES)?.name).toBe("1:1");
    expect(shapeOf("21:9", [])).toBeUndefined();
  });

  test.each([
    [512, 512, "1:1"],
    [1600, 900, "16:9"],
    [700, 1200, "9:16"],
  ])("%d × %d is nearest to %s", (width, height, name) => {
    expect(nearest({ width, height }, SHAPES)).toBe(name);
  });

  test("fit into a square", () => {
    expect(boxOf("16:9", 16)).toEqual({ width: 16, height: 9 });
    expect(boxOf("9:16", 16)).toEqual({ width: 9, height: 16 });
  });
});

describe("the brush", () => {
  const box = { left: 10, top: 20, width: 400, height: 200 };
  const square = { width: 100, height: 100 };

  test("a picture lies in the middle of its box", () => {
    expect(contained(box, square)).toEqual({ left: 110, top: 20, width: 200, height: 200 });
  });

  test("paints where the finger is, and at the edge when it is beside", () => {
    expect(inPicture({ x: 210, y: 120 }, box, square)).toEqual({ x: 50, y: 50 });
    expect(inPicture({ x: 0, y: 500 }, box, square)).toEqual({ x: 0, y: 100 });
  });

  test("goes on with the last line only", () => {
    const one = { width: 3, points: [{ x: 1, y: 1 }] };
    expect(extended([one, one], { x: 2, y: 2 })[1]?.points).toHaveLength(2);
    expect(extended([one, one], { x: 2, y: 2 })[0]).toBe(one);
    expect(extended([], { x: 2, y: 2 })).toEqual([]);
  });
});
