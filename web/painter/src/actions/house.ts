/** What the page knows of the service: who is asking, which models, what is left to spend. */

import { Refused } from "../api";
import { Strange } from "../logic/decode";
import { draftFrom, EMPTY, fitted, modelOf } from "../logic/draft";
import { keep, kept } from "../logic/keeping";
import { plainly } from "../logic/refusals";
import type { Draft } from "../model";
import { api, page, type State, type Theme } from "../page";
import { texts } from "../texts";

export const NO_ENHANCING = { busy: false, before: null } as const;

/** Say in words what went wrong; whoever is no longer known is asked to sign in. */
export function refused(error: unknown): string {
  if (error instanceof Refused) {
    if (error.refusal.status === 401) page.set({ stage: "login", loginWords: texts.login.expired });
    return plainly(error.refusal);
  }
  return error instanceof Strange ? texts.refusals.strange : texts.refusals.unknown;
}

/** Ask the service for what the page begins with; false when it must wait. */
export async function enter(): Promise<boolean> {
  try {
    const house = await api.house();
    page.set({ house });
    if (!house.signedIn) {
      page.set({ stage: "login" });
      return false;
    }
    const [models, styles, account] = await Promise.all([
      api.models(),
      api.styles(),
      api.account(),
    ]);
    const begun = page.get().draft;
    const draft = begun === EMPTY ? draftFrom(kept("draft")) : begun;
    page.set({
      models,
      styles,
      account,
      draft: suited(draft, models),
      stage: "ready",
      loginWords: "",
      refusal: "",
    });
    return true;
  } catch (error) {
    const refusal = refused(error);
    if (page.get().stage !== "login") page.set({ stage: "unreachable", refusal });
    return false;
  }
}

export async function signIn(key: string): Promise<boolean> {
  try {
    await api.signIn(key.trim());
    return true;
  } catch (error) {
    const unknown = error instanceof Refused && error.refusal.status === 401;
    const loginWords = unknown ? texts.login.wrong : refused(error);
    page.set({ loginWords });
    return false;
  }
}

export async function signOut(): Promise<void> {
  await api.signOut().catch((error: unknown) => say(refused(error), true));
  location.reload();
}

/** Look whether models have come or gone; what is chosen stays chosen if it can. */
export async function refreshModels(): Promise<void> {
  if (page.get().stage !== "ready") return;
  try {
    const models = await api.models();
    page.set(({ draft }) => ({ models, draft: suited(draft, models) }));
  } catch {
    // The list that is there goes on being good.
  }
}

export async function refreshAccount(): Promise<void> {
  try {
    page.set({ account: await api.account() });
  } catch {
    // What is left to spend is shown again when it is known.
  }
}

const suited = (draft: Draft, models: State["models"]): Draft => {
  const model = modelOf(draft, models);
  return model ? fitted(draft, model) : draft;
};

/** Change what is in the boxes; it is kept over a reload. */
export function change(part: Partial<Draft>): void {
  page.set(({ draft, models }) => ({ draft: suited({ ...draft, ...part }, models), refusal: "" }));
  keep("draft", JSON.stringify({ ...page.get().draft, following: null }));
}

export function chooseTheme(theme: Theme): void {
  keep("theme", theme === "system" ? null : theme);
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  page.set({ theme });
}

export function say(words: string, bad = false): void {
  page.set({ notice: { words, bad } });
}

/** Have the sentence made richer; it can be taken back. */
export async function enhance(): Promise<void> {
  const { draft, enhancing } = page.get();
  const before = draft.sentence;
  if (enhancing.busy) return;
  if (!before.trim()) return page.set({ refusal: texts.sentence.empty });
  page.set({ enhancing: { busy: true, before: null }, refusal: "" });
  try {
    const sentence = await api.enhance(before, draft.style);
    change({ sentence });
    page.set({ enhancing: { busy: false, before } });
  } catch (error) {
    page.set({ enhancing: NO_ENHANCING, refusal: refused(error) });
  }
}

/** Fetch the sentences that were used before. */
export async function listSaid(): Promise<void> {
  if (!page.get().house.remembers) return;
  try {
    page.set({ said: await api.said() });
  } catch (error) {
    say(refused(error), true);
  }
}

export async function forget(id: string): Promise<void> {
  try {
    await api.forget(id);
    page.set(({ said }) => ({ said: said.filter((one) => one.id !== id) }));
  } catch (error) {
    say(refused(error), true);
  }
}
