/** From a sentence to a run that is followed: handing in, cancelling, and finding it again. */

import { Refused } from "../api";
import { modelOf, seedOf } from "../logic/draft";
import { keep, kept } from "../logic/keeping";
import { newKey, type Order, type Sending, sendingFrom } from "../logic/orders";
import { toNewest } from "../logic/scrolling";
import { shapeOf } from "../logic/shapes";
import type { Generation } from "../model";
import { isOpen } from "../model";
import { api, page } from "../page";
import { texts } from "../texts";
import { NO_ENHANCING, refreshAccount, refused, say } from "./house";

/** Hand in what is in the boxes of the page. */
export async function generate(): Promise<void> {
  const { draft, models } = page.get();
  const model = modelOf(draft, models);
  const size = model && shapeOf(draft.shape, model.shapes);
  if (!model || !size) return;
  if (!draft.sentence.trim()) return page.set({ refusal: texts.sentence.empty });
  const seed = seedOf(draft.seed);
  if (seed === null || seed > page.get().house.seedMax) {
    return page.set({ refusal: texts.more.seedWrong });
  }
  page.set({ enhancing: NO_ENHANCING });
  await handIn({ kind: "generate", draft: { ...draft, model: model.name }, size });
}

/** Hand in an order; true when the service took it. */
export async function handIn(order: Order): Promise<boolean> {
  if (page.get().sending) return false;
  const sending = { key: newKey(), order };
  keep("sending", JSON.stringify(sending));
  return send(sending);
}

/** Hand in again what was on its way when the page was left: its key makes it one run. */
export async function sendAgain(): Promise<void> {
  const sending = sendingFrom(kept("sending"));
  if (sending) await send(sending);
}

async function send({ key, order }: Sending): Promise<boolean> {
  page.set({ sending: true, refusal: "" });
  try {
    const generation = await api.make(order, key);
    keep("sending", null);
    welcome(generation);
    return true;
  } catch (error) {
    // Without an answer nobody knows whether it was taken: the next visit asks with the same key.
    if (!(error instanceof Refused && error.refusal.status === 0)) keep("sending", null);
    const refusal = refused(error);
    if (order.kind === "generate") page.set({ refusal });
    else say(refusal, true);
    return false;
  } finally {
    page.set({ sending: false });
  }
}

/** Show a run on the stage and follow it to its end. */
export function welcome(generation: Generation): void {
  page.set(({ generations, fresh }) => ({
    generations: { ...generations, [generation.id]: generation },
    fresh: [generation.id, ...fresh.filter((id) => id !== generation.id)],
  }));
  keepOpen();
  toNewest();
  follow(generation.id);
}

function keepOpen(): void {
  const { fresh, generations } = page.get();
  const open = fresh.filter((id) => isOpen(generations[id]?.status ?? "failed"));
  keep("open", open.length ? JSON.stringify(open) : null);
}

const followed = new Set<string>();

/** Follow a run until it has ended; one that is followed already is left alone. */
export function follow(id: string): void {
  const known = page.get().generations[id];
  if (followed.has(id) || !known || !isOpen(known.status)) return;
  followed.add(id);
  const lost = (on: boolean) => page.set((state) => ({ lost: switched(state.lost, id, on) }));
  void api
    .follow(id, { news: take, lost })
    .catch((error: unknown) => say(refused(error), true))
    .finally(() => {
      followed.delete(id);
      lost(false);
      page.set((state) => ({ cancelling: switched(state.cancelling, id, false) }));
      keepOpen();
      void refreshAccount();
    });
}

/** Keep what is known of a run now. */
export function take(generation: Generation): void {
  page.set(({ generations }) => ({
    generations: { ...generations, [generation.id]: generation },
  }));
}

export async function cancel(id: string): Promise<void> {
  page.set((state) => ({ cancelling: switched(state.cancelling, id, true) }));
  try {
    take(await api.cancel(id));
  } catch (error) {
    page.set((state) => ({ cancelling: switched(state.cancelling, id, false) }));
    say(refused(error), true);
  }
}

/** Take a run off the stage; it stays among the pictures. */
export function dismiss(id: string): void {
  page.set(({ fresh }) => ({ fresh: fresh.filter((one) => one !== id) }));
}

const switched = (list: readonly string[], id: string, on: boolean): readonly string[] => {
  if (list.includes(id) === on) return list;
  return on ? [...list, id] : list.filter((one) => one !== id);
};
