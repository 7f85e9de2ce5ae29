/** One value that the whole page is drawn from, and a way to hear of its changes. */

import { useSyncExternalStore } from "react";

export class Store<S> {
  #state: S;
  readonly #listeners = new Set<() => void>();

  constructor(state: S) {
    this.#state = state;
  }

  get = (): S => this.#state;

  set = (change: Partial<S> | ((state: S) => Partial<S>)): void => {
    const changed = typeof change === "function" ? change(this.#state) : change;
    this.#state = { ...this.#state, ...changed };
    for (const listener of this.#listeners) listener();
  };

  listen = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Draw from a part of the state; the part must keep its identity while it does not change. */
  use = <T>(pick: (state: S) => T): T => useSyncExternalStore(this.listen, () => pick(this.#state));
}
