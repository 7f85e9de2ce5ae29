/** The shapes that a picture may have. */

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A ratio by its name, such as `16:9`, and its size with one model under one plan. */
export interface Shape extends Size {
  readonly name: string;
}

export const SQUARE = "1:1";

/** Return the shape of that name, else the square, else the first. */
export function shapeOf(name: string, shapes: readonly Shape[]): Shape | undefined {
  return (
    shapes.find((shape) => shape.name === name) ??
    shapes.find((shape) => shape.name === SQUARE) ??
    shapes[0]
  );
}

/** Return the name of the shape that is nearest to a size. */
export function nearest({ width, height }: Size, shapes: readonly Shape[]): string {
  const away = (shape: Shape): number =>
    Math.abs(Math.log(shape.width / shape.height / (width / height)));
  return [...shapes].sort((a, b) => away(a) - away(b))[0]?.name ?? SQUARE;
}

/** Return the sides of a box of that ratio which fits into a square of `side`. */
export function boxOf(name: string, side: number): Size {
  const [across = 1, down = 1] = name.split(":").map(Number);
  const longest = Math.max(across, down) || 1;
  return { width: (side * across) / longest, height: (side * down) / longest };
}
