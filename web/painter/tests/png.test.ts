import { describe, expect, test } from "vitest";
import { wordsOf } from "../src/logic/png";

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
const chunk = (kind: string, body: number[]): number[] => [
  ...[24, 16, 8, 0].map((shift) => (body.length >> shift) & 255),
  ...bytes(kind),
  ...body,
  0,
  0,
  0,
  0,
];
const png = (...chunks: number[][]): ArrayBuffer =>
  new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10, ...chunks.flat()]).buffer;

describe("the words in a PNG", () => {
  test("are found by their names, plain and international", () => {
    const file = png(
      chunk("IHDR", [1, 2, 3]),
      chunk("tEXt", bytes("prompt\0{}")),
      chunk("iTXt", bytes("painter\0\0\0en\0malen\0ein Füchslein")),
      chunk("IEND", []),
    );
    expect(wordsOf(file)).toEqual({ prompt: "{}", painter: "ein Füchslein" });
  });

  test("that are compressed are passed over, like those of no name", () => {
    const file = png(chunk("iTXt", bytes("a\0\x01\0\0\0x")), chunk("tEXt", bytes("\0x")));
    expect(wordsOf(file)).toEqual({});
  });

  test("of a file that ends too early, or is no PNG, are none", () => {
    expect(wordsOf(png(chunk("tEXt", bytes("a\0bcdefgh")).slice(0, 14)))).toEqual({});
    expect(wordsOf(new Uint8Array([0xff, 0xd8]).buffer)).toEqual({});
    expect(wordsOf(new ArrayBuffer(0))).toEqual({});
  });
});
