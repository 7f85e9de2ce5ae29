/** The state of the page, from which all of it is drawn. */

import { Api } from "./api";
import { EMPTY } from "./logic/draft";
import type { Account, Draft, Generation, House, Model, Pointed, Said, Seen, Style } from "./model";
import { Store } from "./store";

export interface Notice {
  readonly words: string;
  readonly bad: boolean;
}

export interface Past {
  readonly ids: readonly string[];
  /** Where the next page begins; null when everything is here. */
  readonly next: string | null;
  readonly loading: boolean;
  readonly search: string;
  readonly favourites: boolean;
}

export interface Enhancing {
  readonly busy: boolean;
  /** The sentence as it was; null when there is nothing to take back. */
  readonly before: string | null;
}

export type Theme = "system" | "light" | "dark";

export interface State {
  readonly stage: "starting" | "login" | "ready" | "unreachable";
  readonly loginWords: string;
  readonly house: House;
  readonly account: Account | null;
  readonly models: readonly Model[];
  readonly styles: readonly Style[];
  readonly draft: Draft;
  readonly said: readonly Said[];
  readonly sending: boolean;
  readonly refusal: string;
  readonly enhancing: Enhancing;
  /** Control maps by what is followed; the same picture and way is asked for but once. */
  readonly maps: Readonly<Record<string, Seen>>;
  readonly generations: Readonly<Record<string, Generation>>;
  /** What was asked for since the page was opened, newest first. */
  readonly fresh: readonly string[];
  readonly cancelling: readonly string[];
  /** Runs whose connection is lost for the moment. */
  readonly lost: readonly string[];
  readonly past: Past;
  readonly opened: Pointed | null;
  readonly repainting: Pointed | null;
  readonly notice: Notice | null;
  readonly theme: Theme;
}

export const FIRST: State = {
  stage: "starting",
  loginWords: "",
  house: {
    keys: false,
    signedIn: false,
    studio: "",
    enhance: false,
    remembers: false,
    addresses: false,
    sentenceMax: 10_000,
    countMax: 4,
    fileBytesMax: 20 * 1024 * 1024,
    seedMax: Number.MAX_SAFE_INTEGER,
    negatives: "",
    mapCredits: 0,
  },
  account: null,
  models: [],
  styles: [],
  draft: EMPTY,
  said: [],
  sending: false,
  refusal: "",
  enhancing: { busy: false, before: null },
  maps: {},
  generations: {},
  fresh: [],
  cancelling: [],
  lost: [],
  past: { ids: [], next: null, loading: true, search: "", favourites: false },
  opened: null,
  repainting: null,
  notice: null,
  theme: "system",
};

export const page = new Store<State>(FIRST);
export const api = new Api();
