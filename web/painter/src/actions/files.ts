/** Pictures that a person drops, pastes, picks or points at. */

import { draftOf, modelOf } from "../logic/draft";
import { wordsOf } from "../logic/png";
import { toTop } from "../logic/scrolling";
import type { Asked, Following, Model, Seen } from "../model";
import { api, page } from "../page";
import { texts } from "../texts";
import { askedOf } from "../wire";
import { change, refreshAccount, refused, say } from "./house";

const TAKEN = ["image/png", "image/jpeg", "image/webp"];

/** Return the first picture among files, or null. */
export function pictureIn(files: Iterable<File> | null | undefined): File | null {
  return [...(files ?? [])].find((file) => TAKEN.includes(file.type)) ?? null;
}

export const canFollow = (model: Model | undefined): model is Model =>
  model !== undefined && (model.reference !== null || model.controls.length > 0);

/** Bring back the settings of a picture that was made here; follow any other picture. */
export async function dropped(file: File): Promise<void> {
  const asked = askedOf(wordsOf(await file.arrayBuffer()));
  if (asked) return restore(asked);
  const { draft, models } = page.get();
  if (!canFollow(modelOf(draft, models))) return say(texts.drop.nothing, true);
  if (await followFile(file)) say(texts.drop.notOurs);
}

function restore(asked: Asked): void {
  const { models, styles, house } = page.get();
  const draft = draftOf(asked, asked.seed, models, house.negatives);
  // The picture may be any of those that were made together, so all of them are asked for again.
  const { count } = asked;
  const known = styles.some((style) => style.name === draft.style);
  change({ ...draft, count, style: known ? draft.style : "" });
  sayRestored(asked);
}

/** Settings alone do not bring a followed picture back: that is said. */
export function sayRestored({ followed }: Asked): void {
  say(followed ? texts.drop.restoredAlone : texts.drop.restored);
}

/** Follow a picture out of a file; true when the service has it. */
export async function followFile(file: File): Promise<boolean> {
  const { draft, models, house } = page.get();
  if (!canFollow(modelOf(draft, models))) return fail(texts.reference.notTaken);
  if (!TAKEN.includes(file.type)) return fail(texts.reference.notAPicture);
  if (file.size > house.fileBytesMax) return fail(texts.reference.tooBig(house.fileBytesMax));
  try {
    followSource(await api.upload(file), URL.createObjectURL(file));
    return true;
  } catch (error) {
    return fail(refused(error));
  }
}

function fail(words: string): false {
  say(words, true);
  return false;
}

/** Follow what the service has, or will fetch. */
export function followSource(source: string, shown: string): void {
  const { draft, models } = page.get();
  const model = modelOf(draft, models);
  const first = model?.reference ? "look" : model?.controls[0];
  const kind: Following["kind"] | undefined = draft.following?.kind ?? first;
  if (kind) change({ following: { kind, source, shown } });
}

/** What of a picture is followed has one name for each picture and way. */
export const mapKey = ({ kind, source }: Following): string => `${kind} ${source}`;

/** Have made visible what of a picture is followed. */
export async function seeMap(following: Following): Promise<void> {
  const { kind, source } = following;
  const key = mapKey(following);
  const known = page.get().maps[key]?.state;
  if (kind === "look" || known === "making" || known === "there") return;
  const set = (seen: Seen) => page.set(({ maps }) => ({ maps: { ...maps, [key]: seen } }));
  set({ state: "making" });
  try {
    const { image, wrong } = await api.map(source, kind);
    set(image ? { state: "there", image } : { state: "wrong", words: wrong });
  } catch (error) {
    set({ state: "wrong", words: refused(error) });
  }
  void refreshAccount();
}

/** Follow one of the person's own pictures. */
export async function followPicture(url: string): Promise<void> {
  try {
    const picture = await (await fetch(url)).blob();
    if (await followFile(new File([picture], "picture.png", { type: picture.type }))) {
      toTop();
    }
  } catch (error) {
    say(refused(error), true);
  }
}
