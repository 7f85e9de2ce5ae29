/** The one door to the service. What it refuses is a `Refused`; what is strange never gets in. */

import {
  type Fields,
  fields,
  list,
  maybe,
  object,
  or,
  type Read,
  Strange,
  text,
} from "./logic/decode";
import { EventLines } from "./logic/lines";
import { bodyOf, type Order, pathOf } from "./logic/orders";
import { type Refusal, retryOf } from "./logic/refusals";
import {
  type Account,
  type ControlKind,
  type ControlMap,
  type Generation,
  type House,
  isOpen,
  type Model,
  type Said,
  type Style,
} from "./model";
import {
  heard,
  readAccount,
  readGeneration,
  readHouse,
  readMap,
  readModel,
  readSaid,
  readStyles,
} from "./wire";

/** The service said no, or could not be reached (status 0). */
export class Refused extends Error {
  constructor(readonly refusal: Refusal) {
    super(refusal.message);
  }
}

const UNREACHED: Refusal = { status: 0, type: "", message: "", field: "", retrySeconds: null };

export interface Listener {
  readonly news: (generation: Generation) => void;
  /** The connection is lost, or there again. */
  readonly lost: (lost: boolean) => void;
}

export interface Query {
  readonly search: string;
  readonly favourites: boolean;
  readonly from: string | null;
}

const PAUSE_MS_FIRST = 400;
const PAUSE_MS_MAX = 5000;
/** So often in a row a map is looked for in vain before the page says so. */
const LOST_MAX = 5;
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

export class Api {
  house = (): Promise<House> => this.#read("GET", "/api/options", readHouse);
  account = (): Promise<Account> => this.#read("GET", "/api/account", readAccount);

  async models(): Promise<Model[]> {
    const shape = object({ default: maybe(text), models: list(readModel) });
    const { default: first, models } = await this.#read("GET", "/api/models", shape);
    const isFirst = (model: Model): boolean => model.name === first;
    return [...models.filter(isFirst), ...models.filter((model) => !isFirst(model))];
  }

  styles = (): Promise<Style[]> => this.#read("GET", "/api/styles", readStyles);

  async signIn(token: string): Promise<void> {
    await this.#ask("POST", "/api/session", { body: { token } });
  }

  async signOut(): Promise<void> {
    await this.#ask("DELETE", "/api/session");
  }

  /** Hand an order in; the same key again meets the same generation. */
  make(order: Order, key: string): Promise<Generation> {
    const headers = { Prefer: "respond-async", "Idempotency-Key": key };
    return this.#read("POST", pathOf(order), readGeneration, { body: bodyOf(order), headers });
  }

  generation = (id: string): Promise<Generation> =>
    this.#read("GET", `/api/generations/${id}`, readGeneration);

  list({ search, favourites, from }: Query): Promise<{
    generations: Generation[];
    next: string | null;
  }> {
    const query = new URLSearchParams({ limit: "24" });
    if (search.trim()) query.set("search", search.trim());
    if (favourites) query.set("favourites", "true");
    if (from !== null) query.set("before", from);
    const shape = object({ generations: list(readGeneration), next: maybe(text) });
    return this.#read("GET", `/api/generations?${query}`, shape);
  }

  async remove(id: string): Promise<void> {
    await this.#ask("DELETE", `/api/generations/${id}`);
  }

  cancel = (id: string): Promise<Generation> =>
    this.#read("POST", `/api/generations/${id}/cancel`, readGeneration);

  async love(id: string, favourite: boolean): Promise<void> {
    await this.#ask(favourite ? "PUT" : "DELETE", `/api/generations/${id}/favourite`);
  }

  async enhance(sentence: string, style: string): Promise<string> {
    const body = { prompt: sentence, ...(style && { style }) };
    const told = await this.#read("POST", "/api/enhance", object({ prompt: text }), { body });
    return told.prompt;
  }

  async upload(file: Blob): Promise<string> {
    const form = new FormData();
    form.set("image", file, "picture");
    return (await this.#read("POST", "/api/uploads", object({ image: text }), { form })).image;
  }

  /** Have a control map made; tell it when it is there, or why it will not be. */
  async map(image: string, kind: ControlKind): Promise<ControlMap> {
    const body = { control_image: image, control_type: kind };
    const headers = { Prefer: "respond-async" };
    let map = await this.#read("POST", "/api/control-maps", readMap, { body, headers });
    for (let lost = 0; isOpen(map.status); ) {
      await pause(PAUSE_MS_FIRST + lost * 1000);
      try {
        map = await this.#read("GET", `/api/control-maps/${map.id}`, readMap);
        lost = 0;
      } catch (error) {
        lost += 1;
        if (!passes(error) || lost > LOST_MAX) throw error;
      }
    }
    return map;
  }

  said = (): Promise<Said[]> => this.#read("GET", "/api/prompts", readSaid);

  async forget(id: string): Promise<void> {
    await this.#ask("DELETE", `/api/prompts/${id}`);
  }

  /** Tell of a generation until it has ended, whatever happens to the connection. */
  async follow(id: string, listener: Listener): Promise<void> {
    let wait = PAUSE_MS_FIRST;
    for (;;) {
      try {
        const ended = await this.#hear(id, listener, () => {
          wait = PAUSE_MS_FIRST;
        });
        if (ended) return;
      } catch (error) {
        if (!passes(error)) throw error;
      }
      listener.lost(true);
      await pause(wait);
      wait = Math.min(wait * 2, PAUSE_MS_MAX);
    }
  }

  async #hear(id: string, listener: Listener, connected: () => void): Promise<boolean> {
    const answer = await this.#ask("GET", `/api/generations/${id}/events`);
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    const lines = new EventLines();
    let known: Generation | null = null;
    for (;;) {
      const piece = await reader?.read();
      if (!piece || piece.done) return known !== null && !isOpen(known.status);
      connected();
      listener.lost(false);
      for (const told of lines.push(piece.value)) {
        if (told.event === "end") return true;
        known = heard(known, told);
        if (known) listener.news(known);
      }
    }
  }

  async #read<T>(method: string, path: string, read: Read<T>, more: More = {}): Promise<T> {
    const answer = await this.#ask(method, path, more);
    let told: unknown;
    try {
      told = await answer.json();
    } catch {
      throw new Strange(`${path} answered no JSON`);
    }
    return read(told, "");
  }

  async #ask(method: string, path: string, more: More = {}): Promise<Response> {
    const { body, form, headers = {} } = more;
    const init: RequestInit = { method, headers: { Accept: "application/json", ...headers } };
    if (form) init.body = form;
    if (body) {
      init.body = JSON.stringify(body);
      init.headers = { ...init.headers, "Content-Type": "application/json" };
    }
    let answer: Response;
    try {
      answer = await fetch(path, init);
    } catch {
      throw new Refused(UNREACHED);
    }
    if (!answer.ok) throw new Refused(await refusalOf(answer));
    return answer;
  }
}

interface More {
  readonly body?: Fields;
  readonly form?: FormData;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Whether a lost connection is worth another try. */
function passes(error: unknown): boolean {
  if (error instanceof Refused) return error.refusal.status === 0 || error.refusal.status >= 500;
  // A stream that breaks in the middle is a TypeError of the browser's.
  return !(error instanceof Strange) && !(error instanceof SyntaxError);
}

async function refusalOf(answer: Response): Promise<Refusal> {
  const retrySeconds = retryOf(answer.headers.get("Retry-After"), Date.now());
  const nothing = { type: "", message: "", field: "" };
  return { status: answer.status, retrySeconds, ...((await told(answer)) ?? nothing) };
}

async function told(answer: Response): Promise<Pick<Refusal, "type" | "message" | "field"> | null> {
  try {
    const { error } = object({
      error: object({ type: text, message: or(text, ""), extra_info: maybe(fields) }),
    })(await answer.json(), "");
    const field = error.extra_info?.["field"];
    return {
      type: error.type,
      message: error.message,
      field: typeof field === "string" ? field : "",
    };
  } catch {
    return null;
  }
}
