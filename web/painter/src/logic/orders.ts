/** What can be asked of the service, as plain values: they are kept until it has answered. */

import type { Draft, Pointed, Strength } from "../model";
import type { Fields } from "./decode";
import { seedOf } from "./draft";
import type { Size } from "./shapes";

export type Order =
  | { readonly kind: "generate"; readonly draft: Draft; readonly size: Size }
  | { readonly kind: "vary"; readonly of: Pointed; readonly strength: Strength }
  | { readonly kind: "upscale"; readonly of: Pointed }
  | {
      readonly kind: "inpaint";
      readonly of: Pointed;
      readonly sentence: string;
      readonly mask: string;
    };

export const pathOf = (order: Order): string =>
  order.kind === "generate" ? "/api/generate" : `/api/generations/${order.of.id}/${order.kind}`;

export function bodyOf(order: Order): Fields {
  if (order.kind === "generate") return generateBody(order.draft, order.size);
  const image = order.of.index;
  if (order.kind === "vary") return { image, strength: order.strength };
  if (order.kind === "upscale") return { image };
  const { mask, sentence } = order;
  return { image, mask, ...(sentence.trim() && { prompt: sentence.trim() }) };
}

function generateBody(draft: Draft, size: Size): Fields {
  const { exclude, following, style } = draft;
  return {
    prompt: draft.sentence.trim(),
    model: draft.model,
    width: size.width,
    height: size.height,
    num_images: draft.count,
    seed: seedOf(draft.seed) ?? -1,
    ...(style && { style }),
    ...(exclude.trim() && { negative_prompt: exclude.trim() }),
    ...(following?.kind === "look" && { reference_image: following.source }),
    ...(following &&
      following.kind !== "look" && {
        control_image: following.source,
        control_type: following.kind,
      }),
  };
}

/** A key for one order: handing it in twice with the same key makes one run. */
export const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

export interface Sending {
  readonly key: string;
  readonly order: Order;
}

/** Return an order that was on its way when the page was left, or null. */
export function sendingFrom(kept: string | null): Sending | null {
  try {
    const found = JSON.parse(kept ?? "null") as Partial<Sending> | null;
    return found?.key && found.order ? { key: found.key, order: found.order } : null;
  } catch {
    return null;
  }
}
