import { expect, test } from "vitest";
import { isDark } from "../src/logic/blank";

const pixels = (...rgba: number[]) => new Uint8ClampedArray(rgba);

test("a map without a line is dark, however opaque it is", () => {
  expect(isDark(pixels(0, 0, 0, 255, 5, 4, 3, 255))).toBe(true);
});

test("one line is enough", () => {
  expect(isDark(pixels(0, 0, 0, 255, 0, 0, 200, 255))).toBe(false);
});
