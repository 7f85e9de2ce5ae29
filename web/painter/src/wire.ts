/** The service's shapes, checked and made into the page's own: the one place that knows both. */

import {
  fields,
  flag,
  list,
  maybe,
  number,
  object,
  oneOf,
  or,
  type Read,
  Strange,
  text,
} from "./logic/decode";
import type { Told } from "./logic/lines";
import {
  type Account,
  type Asked,
  CONTROL_KINDS,
  type ControlMap,
  type Generation,
  type House,
  isOpen,
  type Model,
  type Said,
  type Style,
} from "./model";

const words = or(list(text), []);
const time: Read<Date> = (value, at) => {
  const date = new Date(text(value, at));
  if (Number.isNaN(date.getTime())) throw new Strange(`${at} is not a time`);
  return date;
};

export const readHouse: Read<House> = (value, at) => {
  const told = object({
    auth: text,
    signed_in: flag,
    studio_url: or(text, ""),
    features: object({
      enhance: or(flag, false),
      prompt_history: or(flag, false),
      image_urls: or(flag, false),
    }),
    limits: object({
      prompt_characters_max: number,
      num_images_max: number,
      image_bytes_max: number,
      seed_max: number,
    }),
    negatives: maybe(object({ text: or(text, "") })),
    control_map: maybe(object({ cost_credits: number })),
  })(value, at);
  return {
    keys: told.auth !== "local",
    signedIn: told.signed_in,
    studio: told.studio_url,
    enhance: told.features.enhance,
    remembers: told.features.prompt_history,
    addresses: told.features.image_urls,
    sentenceMax: told.limits.prompt_characters_max,
    countMax: told.limits.num_images_max,
    fileBytesMax: told.limits.image_bytes_max,
    seedMax: told.limits.seed_max,
    negatives: told.negatives?.text ?? "",
    mapCredits: told.control_map?.cost_credits ?? 0,
  };
};

export const readAccount: Read<Account> = (value, at) => {
  const told = object({
    user: text,
    tier: or(text, ""),
    balance_credits: maybe(number),
    today: object({ images: number, images_left: maybe(number), resets_at: maybe(time) }),
  })(value, at);
  return {
    user: told.user,
    // Who owns the house pays nobody.
    credits: told.tier === "owner" ? null : told.balance_credits,
    made: told.today.images,
    left: told.today.images_left,
    resets: told.today.resets_at,
  };
};

export const readModel: Read<Model> = (value, at) => {
  const told = object({
    name: text,
    title: text,
    note: or(text, ""),
    available: flag,
    allowed: flag,
    demo: maybe(
      object({ shapes: words, colours: words, objects: words, scenes: words, sentences: words }),
    ),
    ratios: list(object({ name: text, width: number, height: number })),
    num_images_max: number,
    negative: flag,
    reference: maybe(oneOf("adapter", "start")),
    control_types: words,
    control_notes: maybe(fields),
    inpaint: or(flag, false),
  })(value, at);
  return {
    name: told.name,
    title: told.title,
    note: told.note,
    usable: told.available && told.allowed,
    demo: told.demo,
    shapes: told.ratios,
    countMax: told.num_images_max,
    takesExclude: told.negative,
    reference: told.reference,
    controls: CONTROL_KINDS.filter((kind) => told.control_types.includes(kind)),
    lacking: Object.fromEntries(
      CONTROL_KINDS.flatMap((kind) => {
        const note = told.control_notes?.[kind];
        return typeof note === "string" ? [[kind, note]] : [];
      }),
    ),
    inpaint: told.inpaint,
  };
};

export const readAsked: Read<Asked> = (value, at) => {
  const told = object({
    prompt: text,
    negative_prompt: or(text, ""),
    style: or(text, "none"),
    model: text,
    width: number,
    height: number,
    seed: number,
    num_images: or(number, 1),
    reference: maybe(text),
    control_type: maybe(text),
  })(value, at);
  return {
    sentence: told.prompt,
    exclude: told.negative_prompt,
    style: told.style === "none" ? "" : told.style,
    model: told.model,
    width: told.width,
    height: told.height,
    seed: told.seed,
    count: told.num_images,
    followed: told.reference !== null || told.control_type !== null,
  };
};

const STATUS = oneOf("queued", "running", "succeeded", "failed", "blocked", "cancelled");
const readProgress = object({ step: number, steps: number });

export const readGeneration: Read<Generation> = (value, at) => {
  const told = object({
    generation_id: text,
    kind: oneOf("generate", "vary", "upscale", "inpaint"),
    status: STATUS,
    images: list(object({ index: number, url: text, width: number, height: number, seed: number })),
    usage: object({ cost_credits: or(number, 0) }),
    settings: readAsked,
    created: time,
    seconds: maybe(number),
    place: maybe(number),
    progress: maybe(readProgress),
    favourite: or(flag, false),
    error: maybe(object({ type: or(text, ""), message: or(text, "") })),
    studio_url: or(text, ""),
  })(value, at);
  return {
    id: told.generation_id,
    kind: told.kind,
    status: told.status,
    pictures: told.images.map((image) => ({ ...image, url: ownPath(image.url) })),
    asked: told.settings,
    made: told.created,
    seconds: told.seconds,
    credits: told.usage.cost_credits,
    place: told.place,
    progress: told.progress,
    preview: "",
    favourite: told.favourite,
    wrong: told.error?.message ?? "",
    studio: told.studio_url,
  };
};

export const readMap: Read<ControlMap> = (value, at) => {
  const told = object({
    map_id: text,
    status: STATUS,
    image: maybe(text),
    error: maybe(object({ message: or(text, "") })),
  })(value, at);
  return {
    id: told.map_id,
    status: told.status,
    image: told.image === null ? "" : ownPath(told.image),
    wrong: told.error?.message ?? "",
  };
};

/** Pictures are fetched from where the page came from, whatever name the service calls itself by. */
function ownPath(url: string): string {
  const found = new URL(url, location.href);
  return found.pathname + found.search;
}

/** What a generation is after an event; previews and steps ride on what is known already. */
export function heard(known: Generation | null, told: Told): Generation | null {
  const data: unknown = JSON.parse(told.data || "null");
  if (told.event === "generation") {
    const news = readGeneration(data, "");
    return { ...news, preview: isOpen(news.status) ? (known?.preview ?? "") : "" };
  }
  if (known && told.event === "progress") {
    return { ...known, status: "running", progress: readProgress(data, "progress") };
  }
  if (known && told.event === "preview") {
    return { ...known, preview: object({ image: text })(data, "preview").image };
  }
  return known;
}

/** Return the settings that a picture of ours carries, or null. */
export function askedOf(carried: Readonly<Record<string, string>>): Asked | null {
  try {
    return object({ settings: readAsked })(JSON.parse(carried["painter"] ?? "null"), "").settings;
  } catch {
    return null;
  }
}

export const readStyles: Read<Style[]> = (value, at) =>
  object({ styles: list(object({ name: text, title: text })) })(value, at).styles.filter(
    (style) => style.name !== "none",
  );

export const readSaid: Read<Said[]> = (value, at) =>
  object({ prompts: list(object({ id: text, prompt: text })) })(value, at).prompts.map(
    ({ id, prompt }) => ({ id, sentence: prompt }),
  );
