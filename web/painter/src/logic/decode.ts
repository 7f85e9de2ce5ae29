/** Readers of JSON that nobody promised: each takes anything and gives a value or a plain error. */

export type Read<T> = (value: unknown, at: string) => T;

/** The answer is not what this page was made for. */
export class Strange extends Error {}

const wrong = (at: string, wanted: string): never => {
  throw new Strange(`${at || "answer"} is not ${wanted}`);
};

export const text: Read<string> = (value, at) =>
  typeof value === "string" ? value : wrong(at, "a text");

export const number: Read<number> = (value, at) =>
  typeof value === "number" && Number.isFinite(value) ? value : wrong(at, "a number");

export const flag: Read<boolean> = (value, at) =>
  typeof value === "boolean" ? value : wrong(at, "true or false");

export const list =
  <T>(item: Read<T>): Read<T[]> =>
  (value, at) =>
    Array.isArray(value)
      ? value.map((one, index) => item(one, `${at}[${index}]`))
      : wrong(at, "a list");

/** A value that may be absent or null. */
export const maybe =
  <T>(inner: Read<T>): Read<T | null> =>
  (value, at) =>
    value === undefined || value === null ? null : inner(value, at);

/** A value with a stand-in for when it is absent or null. */
export const or =
  <T>(inner: Read<T>, standIn: T): Read<T> =>
  (value, at) =>
    value === undefined || value === null ? standIn : inner(value, at);

export const oneOf =
  <T extends string>(...allowed: readonly T[]): Read<T> =>
  (value, at) =>
    allowed.find((one) => one === value) ?? wrong(at, `one of ${allowed.join(", ")}`);

export type Fields = Readonly<Record<string, unknown>>;

export const fields: Read<Fields> = (value, at) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : wrong(at, "an object");

type Shape = Readonly<Record<string, Read<unknown>>>;
type Shaped<S extends Shape> = { [K in keyof S]: S[K] extends Read<infer T> ? T : never };

/** An object with at least these fields; others are passed over. */
export const object =
  <S extends Shape>(shape: S): Read<Shaped<S>> =>
  (value, at) => {
    const given = fields(value, at);
    const found: Record<string, unknown> = {};
    for (const [name, read] of Object.entries(shape)) {
      found[name] = read(given[name], at ? `${at}.${name}` : name);
    }
    return found as Shaped<S>;
  };
