import { describe, expect, test } from "vitest";
import { EventLines } from "../src/logic/lines";

const STREAM = ': hello\n\nevent: generation\ndata: {"a":1}\nid: 7\n\ndata: x\ndata: y\n\n';

describe("server-sent events", () => {
  test("are read in any pieces", () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      const lines = new EventLines();
      const told = [...lines.push(STREAM.slice(0, cut)), ...lines.push(STREAM.slice(cut))];
      expect(told).toEqual([
        { id: "7", event: "generation", data: '{"a":1}' },
        { id: "7", event: "message", data: "x\ny" },
      ]);
    }
  });

  test("may end their lines in any of the three ways, and may be cut inside one", () => {
    const lines = new EventLines();
    expect(lines.push("data: a\r")).toEqual([]);
    expect(lines.push("\n\r\n")).toEqual([{ id: "", event: "message", data: "a" }]);
  });

  test("that are not complete are not told", () => {
    expect(new EventLines().push("event: end\ndata: {}")).toEqual([]);
  });
});
