/** With the demo model the page says so, and shows what it can draw. */

import { change } from "../actions/house";
import { generate } from "../actions/making";
import { modelOf } from "../logic/draft";
import type { Knowledge } from "../model";
import { page } from "../page";
import { texts } from "../texts";

const words = texts.demo;
const SHOWN = 6;

export function DemoNote() {
  const knows = page.use((state) => modelOf(state.draft, state.models)?.demo ?? null);
  if (!knows) return null;
  return (
    <aside className="demo" aria-label={words.title}>
      <p>
        <b>{words.title}</b> {words.body}
      </p>
      <div className="chips">
        <span id="try-one">{words.tryOne}</span>
        {knows.sentences.slice(0, SHOWN).map((sentence) => (
          <button
            key={sentence}
            type="button"
            className="chip"
            onClick={() => {
              change({ sentence });
              void generate();
            }}
          >
            {sentence}
          </button>
        ))}
      </div>
      <details>
        <summary>{words.knows}</summary>
        <Lists knows={knows} />
      </details>
    </aside>
  );
}

function Lists({ knows }: { knows: Knowledge }) {
  const lists: [string, readonly string[]][] = [
    [words.shapes, knows.shapes],
    [words.colours, knows.colours],
    [words.objects, knows.objects],
    [words.scenes, knows.scenes],
  ];
  return (
    <dl className="knows">
      {lists.map(([name, all]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{all.join(", ")}</dd>
        </div>
      ))}
    </dl>
  );
}
