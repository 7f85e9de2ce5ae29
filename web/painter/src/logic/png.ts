/** The words that a PNG file carries beside its pixels. */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const HEADER_BYTES = 12;

const nameOf = (bytes: Uint8Array, at: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + 4));

/** Return the tEXt and plain iTXt words of a PNG by their names; {} of anything else. */
export function wordsOf(file: ArrayBuffer): Record<string, string> {
  const bytes = new Uint8Array(file);
  const found: Record<string, string> = {};
  if (!SIGNATURE.every((byte, index) => bytes[index] === byte)) return found;
  const view = new DataView(file);
  let at = SIGNATURE.length;
  while (at + HEADER_BYTES <= bytes.length) {
    const length = view.getUint32(at);
    const kind = nameOf(bytes, at + 4);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (body.length < length) break;
    if (kind === "tEXt") keepPlain(body, found);
    if (kind === "iTXt") keepInternational(body, found);
    at += HEADER_BYTES + length;
  }
  return found;
}

function keepPlain(body: Uint8Array, found: Record<string, string>): void {
  const end = body.indexOf(0);
  if (end < 1) return;
  const decode = new TextDecoder("latin1");
  found[decode.decode(body.subarray(0, end))] = decode.decode(body.subarray(end + 1));
}

function keepInternational(body: Uint8Array, found: Record<string, string>): void {
  const end = body.indexOf(0);
  const compressed = body[end + 1] !== 0;
  if (end < 1 || compressed) return;
  const language = body.indexOf(0, end + 3);
  const translated = body.indexOf(0, language + 1);
  if (language < 0 || translated < 0) return;
  const name = new TextDecoder("latin1").decode(body.subarray(0, end));
  found[name] = new TextDecoder().decode(body.subarray(translated + 1));
}
