/** What few people need: what to leave out, and the seed. */

import { useId } from "react";
import { change } from "../actions/house";
import { modelOf, seedOf } from "../logic/draft";
import { page } from "../page";
import { texts } from "../texts";

const words = texts.more;

export function MorePanel() {
  const { exclude, seed } = page.use((state) => state.draft);
  const listens = page.use((state) => modelOf(state.draft, state.models)?.takesExclude ?? false);
  const id = useId();
  const wrong = seedOf(seed) === null;
  return (
    <div className="fields">
      <label htmlFor={`${id}x`}>{words.exclude}</label>
      <input
        id={`${id}x`}
        value={exclude}
        disabled={!listens}
        aria-describedby={`${id}xh`}
        onChange={(event) => change({ exclude: event.target.value })}
      />
      <small id={`${id}xh`}>{listens ? words.excludeHint : words.excludeIgnored}</small>
      <label htmlFor={`${id}s`}>
        {words.reproduce}: {words.seed}
      </label>
      <input
        id={`${id}s`}
        value={seed}
        inputMode="numeric"
        placeholder={words.randomSeed}
        aria-invalid={wrong}
        aria-describedby={`${id}sh`}
        onChange={(event) => change({ seed: event.target.value })}
      />
      <small id={`${id}sh`}>{wrong ? words.seedWrong : words.seedHint}</small>
    </div>
  );
}
