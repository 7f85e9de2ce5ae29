import { describe, expect, test } from "vitest";
import { list, maybe, number, object, oneOf, or, Strange, text } from "../src/logic/decode";

describe("what comes from outside", () => {
  const read = object({ name: text, sizes: or(list(number), []), kind: maybe(oneOf("a", "b")) });

  test("is taken when it has the fields, and others are passed over", () => {
    expect(read({ name: "x", sizes: [1, 2], kind: "b", more: true }, "")).toEqual({
      name: "x",
      sizes: [1, 2],
      kind: "b",
    });
  });

  test("has stand-ins for what is absent", () => {
    expect(read({ name: "x", sizes: null }, "")).toEqual({ name: "x", sizes: [], kind: null });
  });

  test.each([
    [{}, "name is not a text"],
    [{ name: "x", sizes: [1, "2"] }, "sizes[1] is not a number"],
    [{ name: "x", kind: "c" }, "kind is not one of a, b"],
    [[], "answer is not an object"],
    [null, "answer is not an object"],
  ])("is refused with the place of the fault: %j", (value, words) => {
    expect(() => read(value, "")).toThrow(new Strange(words));
  });
});
