/** What the page thinks in. The service's own shapes end in api.ts. */

import type { Shape, Size } from "./logic/shapes";

export const CONTROL_KINDS = ["canny", "depth", "pose", "scribble"] as const;
export type ControlKind = (typeof CONTROL_KINDS)[number];
export type Strength = "subtle" | "strong";

/** What the demo model can draw, by group. */
export interface Knowledge {
  readonly shapes: readonly string[];
  readonly colours: readonly string[];
  readonly objects: readonly string[];
  readonly scenes: readonly string[];
  readonly sentences: readonly string[];
}

export interface Model {
  readonly name: string;
  readonly title: string;
  readonly note: string;
  readonly usable: boolean;
  readonly demo: Knowledge | null;
  readonly shapes: readonly Shape[];
  readonly countMax: number;
  readonly takesExclude: boolean;
  /** How a picture to follow is used: its style is taken, or the new picture begins from it. */
  readonly reference: "adapter" | "start" | null;
  readonly controls: readonly ControlKind[];
  /** What is missing for the ways that could be followed, in words. */
  readonly lacking: Readonly<Partial<Record<ControlKind, string>>>;
  readonly inpaint: boolean;
}

export interface Style {
  readonly name: string;
  readonly title: string;
}

export interface Account {
  readonly user: string;
  readonly credits: number | null;
  readonly made: number;
  readonly left: number | null;
  readonly resets: Date | null;
}

export interface House {
  /** Whether the house asks who comes. */
  readonly keys: boolean;
  readonly signedIn: boolean;
  readonly studio: string;
  readonly enhance: boolean;
  readonly remembers: boolean;
  readonly addresses: boolean;
  readonly sentenceMax: number;
  readonly countMax: number;
  readonly fileBytesMax: number;
  readonly seedMax: number;
  /** What is left out unless the person says otherwise; the page does not bother anyone with it. */
  readonly negatives: string;
  /** What seeing a new control map costs. */
  readonly mapCredits: number;
}

export interface Following {
  readonly kind: "look" | ControlKind;
  /** What the service is told: an upload, or an http(s) address. */
  readonly source: string;
  /** What is shown of it here; empty for a picture that lies elsewhere. */
  readonly shown: string;
}

/** What of a picture is followed, as far as the service has it. */
export interface ControlMap {
  readonly id: string;
  readonly status: Status;
  readonly image: string;
  readonly wrong: string;
}

/** A map as the page has it: being made, there to be seen, or why it is not. */
export type Seen =
  | { readonly state: "making" }
  | { readonly state: "there"; readonly image: string }
  | { readonly state: "wrong"; readonly words: string };

/** What the person has chosen so far. */
export interface Draft {
  readonly sentence: string;
  readonly exclude: string;
  readonly style: string;
  readonly shape: string;
  readonly model: string;
  readonly count: number;
  readonly seed: string;
  readonly following: Following | null;
}

/** The settings that made a picture. */
export interface Asked extends Size {
  readonly sentence: string;
  readonly exclude: string;
  readonly style: string;
  readonly model: string;
  readonly seed: number;
  readonly count: number;
  /** Whether a picture was followed, which the settings alone do not bring back. */
  readonly followed: boolean;
}

export interface Picture extends Size {
  readonly index: number;
  readonly url: string;
  readonly seed: number;
}

export type Status = "queued" | "running" | "succeeded" | "failed" | "blocked" | "cancelled";
export type Kind = "generate" | "vary" | "upscale" | "inpaint";

export interface Progress {
  readonly step: number;
  readonly steps: number;
}

export interface Generation {
  readonly id: string;
  readonly kind: Kind;
  readonly status: Status;
  readonly pictures: readonly Picture[];
  readonly asked: Asked;
  readonly made: Date;
  readonly seconds: number | null;
  readonly credits: number;
  /** How many go first, while it waits. */
  readonly place: number | null;
  readonly progress: Progress | null;
  /** The unfinished picture, where the house shows those. */
  readonly preview: string;
  readonly favourite: boolean;
  readonly wrong: string;
  readonly studio: string;
}

/** One picture of one generation. */
export interface Pointed {
  readonly id: string;
  readonly index: number;
}

export interface Said {
  readonly id: string;
  readonly sentence: string;
}

export const isOpen = (status: Status): boolean => status === "queued" || status === "running";
