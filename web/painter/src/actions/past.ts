/** Earlier pictures: listed page by page, searched, loved and deleted. */

import { keptList } from "../logic/keeping";
import type { Generation } from "../model";
import { isOpen } from "../model";
import { api, type Past, page } from "../page";
import { refused, say } from "./house";
import { follow, take } from "./making";

let asked = 0;

/** List anew, from the newest. */
export async function listPast(
  change: Partial<Pick<Past, "search" | "favourites">> = {},
): Promise<void> {
  page.set(({ past }) => ({ past: { ...past, ...change, loading: true } }));
  await load(null);
}

export async function listMore(): Promise<void> {
  const { past } = page.get();
  if (past.loading || past.next === null) return;
  page.set({ past: { ...past, loading: true } });
  await load(past.next);
}

async function load(from: string | null): Promise<void> {
  const mine = ++asked;
  const { search, favourites } = page.get().past;
  try {
    const found = await api.list({ search, favourites, from });
    // Whoever typed on has asked again meanwhile.
    if (mine !== asked) return;
    page.set(({ generations, past }) => ({
      generations: { ...generations, ...byId(found.generations) },
      past: {
        ...past,
        ids: merged(from === null ? [] : past.ids, found.generations),
        next: found.next,
        loading: false,
      },
    }));
  } catch (error) {
    if (mine !== asked) return;
    page.set(({ past }) => ({ past: { ...past, loading: false } }));
    say(refused(error), true);
  }
}

const byId = (generations: readonly Generation[]): Record<string, Generation> =>
  Object.fromEntries(generations.map((generation) => [generation.id, generation]));

const merged = (ids: readonly string[], found: readonly Generation[]): string[] => [
  ...new Set([...ids, ...found.map((generation) => generation.id)]),
];

/** Take up the runs that were open when the page was left: the service lists them, and so do we. */
export async function findOpen(): Promise<void> {
  const { generations, past } = page.get();
  const listed = past.ids.filter((id) => isOpen(generations[id]?.status ?? "failed"));
  for (const id of new Set([...keptList("open"), ...listed].reverse())) {
    try {
      take(page.get().generations[id] ?? (await api.generation(id)));
    } catch {
      // It is gone, or another person's: there is nothing to take up.
      continue;
    }
    page.set(({ fresh }) => ({ fresh: [id, ...fresh.filter((one) => one !== id)] }));
    follow(id);
  }
}

export async function love(id: string, favourite: boolean): Promise<void> {
  const known = page.get().generations[id];
  if (!known) return;
  take({ ...known, favourite });
  try {
    await api.love(id, favourite);
  } catch (error) {
    take(known);
    say(refused(error), true);
  }
}

export async function remove(id: string): Promise<void> {
  try {
    await api.remove(id);
    page.set(({ fresh, past, opened }) => ({
      fresh: fresh.filter((one) => one !== id),
      past: { ...past, ids: past.ids.filter((one) => one !== id) },
      opened: opened?.id === id ? null : opened,
    }));
  } catch (error) {
    say(refused(error), true);
  }
}
