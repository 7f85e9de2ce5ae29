/** One of several, as native radio buttons: arrow keys and screen readers know them. */

import { type ReactNode, useId } from "react";

export interface Option {
  readonly value: string;
  readonly label: string;
  readonly hint?: string;
  readonly picture?: ReactNode;
  readonly disabled?: boolean;
}

interface ChoiceProps {
  readonly legend: string;
  readonly options: readonly Option[];
  readonly value: string;
  readonly look: "tiles" | "rows" | "segments";
  readonly onChoose: (value: string) => void;
  /** Chosen with the mouse or Enter: done, not just passed over with the arrows. */
  readonly onDone?: () => void;
}

export function Choice({ legend, options, value, look, onChoose, onDone }: ChoiceProps) {
  const name = useId();
  return (
    <fieldset className={`choice ${look}`}>
      <legend className="unseen">{legend}</legend>
      {options.map((option) => (
        <label key={option.value} className="option">
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            disabled={option.disabled ?? false}
            onChange={() => onChoose(option.value)}
            onClick={(event) => {
              // The arrow keys make clicks too, but with no pointer behind them.
              if (event.detail > 0) onDone?.();
            }}
            onKeyDown={(event) => {
              if (event.key !== "Enter") return;
              event.preventDefault();
              onDone?.();
            }}
          />
          {option.picture}
          <span className="option-words">
            <span>{option.label}</span>
            {option.hint && <small>{option.hint}</small>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}
