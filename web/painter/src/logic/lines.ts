/** Server-sent events out of a byte stream: what EventSource does, but with our own headers. */

export interface Told {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Feed it pieces of text as they come; it returns the events that are complete. */
export class EventLines {
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];

  push(piece: string): Told[] {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): Told[] {
    if (line === "") return this.#end();
    if (line.startsWith(":")) return [];
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") this.#id = value;
    return [];
  }

  #end(): Told[] {
    const told = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
    const said = this.#data.length > 0;
    this.#event = "";
    this.#data = [];
    return said ? [told] : [];
  }
}
