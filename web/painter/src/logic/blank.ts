/** Whether a picture shows anything: a map of nothing is black all over. */

const SIDE = 128;
const DARK = 12;

/** Say whether pixels, four bytes each, are dark everywhere. */
export function isDark(pixels: Uint8ClampedArray): boolean {
  return pixels.every((value, index) => index % 4 === 3 || value < DARK);
}

export function holdsNothing(image: HTMLImageElement): boolean {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  context.drawImage(image, 0, 0, SIDE, SIDE);
  return isDark(context.getImageData(0, 0, SIDE, SIDE).data);
}
