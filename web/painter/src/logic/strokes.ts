/** What the brush has painted, as values; the mask is drawn from them at the picture's own size. */

import type { Size } from "./shapes";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A line of the brush; places and width are in pixels of the picture. */
export interface Stroke {
  readonly width: number;
  readonly points: readonly Point[];
}

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Return where a picture lies that is shown as large as it fits into a box, in its middle. */
export function contained(box: Box, picture: Size): Box {
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  return {
    left: box.left + (box.width - width) / 2,
    top: box.top + (box.height - height) / 2,
    width,
    height,
  };
}

/** Return the place in the picture of a place on the screen; what is beside it is its edge. */
export function inPicture(at: Point, box: Box, picture: Size): Point {
  const shown = contained(box, picture);
  const clamp = (value: number, max: number): number => Math.min(Math.max(value, 0), max);
  return {
    x: clamp(((at.x - shown.left) / shown.width) * picture.width, picture.width),
    y: clamp(((at.y - shown.top) / shown.height) * picture.height, picture.height),
  };
}

export function extended(strokes: readonly Stroke[], point: Point): Stroke[] {
  const last = strokes.at(-1);
  if (!last) return [];
  return [...strokes.slice(0, -1), { ...last, points: [...last.points, point] }];
}

/** Draw the strokes in one colour. */
export function draw(
  context: CanvasRenderingContext2D,
  strokes: readonly Stroke[],
  colour: string,
): void {
  context.lineCap = "round";
  context.lineJoin = "round";
  context.strokeStyle = colour;
  context.fillStyle = colour;
  for (const { width, points } of strokes) {
    const [first, ...rest] = points;
    if (!first) continue;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(first.x, first.y);
    for (const point of rest) context.lineTo(point.x, point.y);
    // A line of no length is not drawn at all, but a dab of the brush is.
    if (rest.length === 0) context.lineTo(first.x + 0.01, first.y);
    context.stroke();
  }
}

/** Return the mask as a PNG: white where to paint anew, black elsewhere. */
export function maskOf(strokes: readonly Stroke[], size: Size): string {
  const canvas = document.createElement("canvas");
  canvas.width = size.width;
  canvas.height = size.height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw");
  context.fillStyle = "#000";
  context.fillRect(0, 0, size.width, size.height);
  draw(context, strokes, "#fff");
  return canvas.toDataURL("image/png");
}
