/** What was asked for just now: how far it is, and then the pictures. */

import { useEffect } from "react";
import { cancel, dismiss, handIn } from "../actions/making";
import { type Generation, isOpen, type Status } from "../model";
import { page } from "../page";
import { texts } from "../texts";
import { Icon } from "./Icon";
import { Tile } from "./Tile";

const words = texts.run;

export function Stage() {
  const fresh = page.use((state) => state.fresh);
  useTitle();
  if (fresh.length === 0) return null;
  return (
    <section className="stage" aria-label={words.region}>
      {fresh.map((id) => (
        <Run key={id} id={id} />
      ))}
    </section>
  );
}

/** The name of the tab tells how far the newest open run is. */
function useTitle(): void {
  const percent = page.use(({ fresh, generations }) => {
    const run = fresh.map((id) => generations[id]).find((one) => one && isOpen(one.status));
    if (!run?.progress) return null;
    return Math.round((100 * run.progress.step) / Math.max(1, run.progress.steps));
  });
  useEffect(() => {
    const begin = percent === null ? "" : `${words.inTitle(percent)} · `;
    document.title = begin + texts.title;
  }, [percent]);
}

function Run({ id }: { id: string }) {
  const run = page.use((state) => state.generations[id]);
  if (!run) return null;
  const open = isOpen(run.status);
  const places = placesOf(run);
  return (
    <article className={`run ${open ? "open" : run.status}`} aria-busy={open}>
      <RunHead run={run} />
      {places.length > 0 && (
        <div className={`grid of-${Math.min(places.length, 4)}`}>
          {places.map((place) => {
            const picture = run.pictures.find((one) => one.index === place);
            return picture ? (
              <Tile key={place} run={run} picture={picture} />
            ) : (
              <Wet key={place} run={run} />
            );
          })}
        </div>
      )}
      {!open && run.pictures.length === 0 && <Nothing run={run} />}
    </article>
  );
}

/** The indexes of the pictures that are there, or are being painted. */
function placesOf({ status, asked, pictures }: Generation): number[] {
  const there = pictures.map(({ index }) => index);
  if (!isOpen(status)) return there;
  return [...new Set([...Array(asked.count).keys(), ...there])];
}

function RunHead({ run }: { run: Generation }) {
  const cancelling = page.use((state) => state.cancelling.includes(run.id));
  const lost = page.use((state) => state.lost.includes(run.id));
  const open = isOpen(run.status);
  const told = open ? (lost ? words.reconnecting : openWords(run)) : endWords(run);
  return (
    <header className="run-head">
      <div className="run-words">
        <p className="run-sentence">{run.asked.sentence}</p>
        <p className="run-state" role="status">
          {told}
        </p>
      </div>
      {open ? (
        <button
          type="button"
          className="plain-button"
          disabled={cancelling}
          onClick={() => void cancel(run.id)}
        >
          {cancelling ? words.cancelling : words.cancel}
        </button>
      ) : (
        <button
          type="button"
          className="round"
          aria-label={words.dismiss}
          onClick={() => dismiss(run.id)}
        >
          <Icon name="close" />
        </button>
      )}
      {open && <Bar run={run} />}
    </header>
  );
}

function Bar({ run }: { run: Generation }) {
  const { progress } = run;
  return (
    <progress
      aria-label={words.progress}
      {...(progress ? { value: progress.step, max: Math.max(1, progress.steps) } : {})}
    />
  );
}

/** A picture that is not there yet: moving pigments, or what it looks like so far. */
function Wet({ run }: { run: Generation }) {
  const { width, height } = run.asked;
  return (
    <div
      className={run.preview ? "tile wet previewed" : "tile wet"}
      style={{ aspectRatio: `${width} / ${height}` }}
    >
      {run.preview && <img src={run.preview} alt={words.unfinished} />}
    </div>
  );
}

function Nothing({ run }: { run: Generation }) {
  const { kind, asked } = run;
  return (
    <div className="nothing">
      <p>{run.status === "cancelled" ? words.cancelledHint : run.wrong || words.failedHint}</p>
      {kind === "generate" && run.status !== "blocked" && !asked.followed && (
        <button
          type="button"
          className="plain-button"
          onClick={() => {
            dismiss(run.id);
            void handIn({ kind: "generate", draft: again(run), size: asked });
          }}
        >
          {words.again}
        </button>
      )}
    </div>
  );
}

const again = ({ asked }: Generation) => ({
  ...asked,
  shape: "",
  seed: String(asked.seed),
  following: null,
});

function openWords({ status, place, progress }: Generation): string {
  if (status === "queued") {
    return place === null ? words.waiting : `${words.waiting}. ${words.place(place)}`;
  }
  if (!progress || progress.step === 0) return words.starting;
  if (progress.step >= progress.steps) return words.checking;
  return words.step(progress.step, progress.steps);
}

const ENDS: Readonly<Record<Exclude<Status, "queued" | "running" | "succeeded">, string>> = {
  failed: words.failed,
  blocked: words.blocked,
  cancelled: words.cancelled,
};

function endWords({ status, pictures, seconds, credits }: Generation): string {
  if (status === "queued" || status === "running") return "";
  if (status !== "succeeded") return ENDS[status];
  const facts = [
    words.done(pictures.length),
    ...(seconds === null ? [] : [texts.picture.seconds(seconds)]),
    texts.picture.credits(credits),
  ];
  return facts.join(" · ");
}
