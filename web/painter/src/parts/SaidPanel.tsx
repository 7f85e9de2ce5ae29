/** Sentences that were used before: one click brings one back. */

import { change, forget } from "../actions/house";
import { page } from "../page";
import { texts } from "../texts";
import { Icon } from "./Icon";

const words = texts.sentence;

export function SaidPanel({ close }: { close: () => void }) {
  const said = page.use((state) => state.said);
  if (said.length === 0) return <p className="quiet">{words.noRecent}</p>;
  return (
    <ul className="sentences">
      {said.map(({ id, sentence }) => (
        <li key={id}>
          <button
            type="button"
            onClick={() => {
              change({ sentence });
              close();
            }}
          >
            {sentence}
          </button>
          <button
            type="button"
            className="round"
            aria-label={words.forget(sentence)}
            onClick={() => void forget(id)}
          >
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}
