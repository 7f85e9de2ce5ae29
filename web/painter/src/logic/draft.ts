/** What the person has chosen: kept over a reload, brought back from a picture, fitted to a model. */

import type { Asked, Draft, Model } from "../model";
import { nearest, SQUARE, shapeOf } from "./shapes";

export const EMPTY: Draft = {
  sentence: "",
  exclude: "",
  style: "",
  shape: SQUARE,
  model: "",
  count: 1,
  seed: "",
  following: null,
};

/** Return the seed that was typed, -1 for none, or null when it is not one. */
export function seedOf(typed: string): number | null {
  const trimmed = typed.trim();
  if (trimmed === "") return -1;
  const seed = /^\d{1,16}$/.test(trimmed) ? Number(trimmed) : Number.NaN;
  return Number.isSafeInteger(seed) ? seed : null;
}

/** Return the model of a draft, else the first that may be used. */
export function modelOf(draft: Draft, models: readonly Model[]): Model | undefined {
  const usable = models.filter((model) => model.usable);
  return usable.find((model) => model.name === draft.model) ?? usable[0];
}

/** Leave out of a draft what its model cannot do. */
export function fitted(draft: Draft, model: Model): Draft {
  const kind = draft.following?.kind;
  const follows =
    kind === "look" ? model.reference !== null : kind && model.controls.includes(kind);
  return {
    ...draft,
    shape: shapeOf(draft.shape, model.shapes)?.name ?? SQUARE,
    count: Math.max(1, Math.min(draft.count, model.countMax)),
    following: follows ? draft.following : null,
  };
}

/** Return the settings that made a picture, for the boxes of the page. */
export function draftOf(
  asked: Asked,
  seed: number | null,
  models: readonly Model[],
  negatives = "",
): Draft {
  const model = models.find((one) => one.usable && one.name === asked.model);
  return {
    sentence: asked.sentence,
    exclude: asked.exclude === negatives ? "" : asked.exclude,
    style: asked.style,
    shape: nearest(asked, model?.shapes ?? []),
    model: model?.name ?? "",
    count: seed === null ? asked.count : 1,
    seed: seed === null ? "" : String(seed),
    following: null,
  };
}

/** Return a kept draft, as far as it is one. Pictures are too large to keep. */
export function draftFrom(kept: string | null): Draft {
  const given = parsed(kept);
  const word = (name: keyof Draft, otherwise: string): string => {
    const found = given[name];
    return typeof found === "string" ? found : otherwise;
  };
  const count = given["count"];
  return {
    sentence: word("sentence", ""),
    exclude: word("exclude", ""),
    style: word("style", ""),
    shape: word("shape", SQUARE),
    model: word("model", ""),
    count: typeof count === "number" && Number.isInteger(count) ? count : 1,
    seed: word("seed", ""),
    following: null,
  };
}

function parsed(text: string | null): Readonly<Record<string, unknown>> {
  try {
    const found: unknown = JSON.parse(text ?? "{}");
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
