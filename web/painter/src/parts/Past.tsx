/** Earlier pictures, as they lie on a table: searched, loved, opened. */

import { type CSSProperties, useEffect, useId, useRef, useState } from "react";
import { listMore, listPast } from "../actions/past";
import type { Picture } from "../model";
import { type Past as PastState, page } from "../page";
import { texts } from "../texts";
import { Icon } from "./Icon";
import { Heart, small } from "./Tile";

const words = texts.history;
const TYPING_MS = 250;

export function Past() {
  const past = page.use((state) => state.past);
  const fresh = page.use((state) => state.fresh);
  const plain = !past.search && !past.favourites;
  // What is on the stage is not shown a second time, unless it was searched for.
  const ids = plain ? past.ids.filter((id) => !fresh.includes(id)) : past.ids;
  return (
    <section className="past" id="pictures" tabIndex={-1} aria-labelledby="past-title">
      <header>
        <h2 id="past-title">{words.title}</h2>
        <Search />
        <Favourites />
      </header>
      <ul className="table">
        {ids.map((id) => (
          <Entry key={id} id={id} />
        ))}
      </ul>
      {ids.length === 0 && (
        <p className="quiet" role="status">
          {past.loading ? words.loading : emptyWords(past, fresh.length > 0)}
        </p>
      )}
      {past.next !== null && <More busy={past.loading} />}
    </section>
  );
}

function emptyWords({ search, favourites }: PastState, above: boolean): string {
  if (search) return words.noMatch;
  if (favourites) return words.noFavourites;
  return above ? words.allAbove : words.empty;
}

function Search() {
  const [typed, setTyped] = useState("");
  const first = useRef(true);
  const id = useId();
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    const timer = setTimeout(() => void listPast({ search: typed }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <div className="search">
      <label htmlFor={id} className="unseen">
        {words.search}
      </label>
      <Icon name="search" />
      <input
        id={id}
        type="search"
        value={typed}
        placeholder={words.searchPlaceholder}
        onChange={(event) => setTyped(event.target.value)}
      />
    </div>
  );
}

function Favourites() {
  const on = page.use((state) => state.past.favourites);
  return (
    <button
      type="button"
      className={on ? "pill marked" : "pill"}
      aria-pressed={on}
      onClick={() => void listPast({ favourites: !on })}
    >
      <Icon name="heart" filled={on} />
      <span>{words.favourites}</span>
    </button>
  );
}

function Entry({ id }: { id: string }) {
  const run = page.use((state) => state.generations[id]);
  if (!run || run.pictures.length === 0) return null;
  return run.pictures.map((picture) => (
    <li key={picture.index} className="entry" style={shaped(picture)}>
      <button
        type="button"
        className="picture"
        aria-label={texts.picture.open(run.asked.sentence)}
        onClick={() => page.set({ opened: { id, index: picture.index } })}
      >
        <img
          src={small(picture.url)}
          alt={run.asked.sentence}
          width={picture.width}
          height={picture.height}
          loading="lazy"
          decoding="async"
        />
      </button>
      <Heart run={run} />
    </li>
  ));
}

const shaped = ({ width, height }: Picture) => ({ "--shape": width / height }) as CSSProperties;

/** More is listed when the end comes into view; the button is for keyboards and screen readers. */
function More({ busy }: { busy: boolean }) {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const watcher = new IntersectionObserver(
      (seen) => {
        if (seen.some((one) => one.isIntersecting)) void listMore();
      },
      { rootMargin: "600px" },
    );
    if (end.current) watcher.observe(end.current);
    return () => watcher.disconnect();
  });
  return (
    <div ref={end} className="more">
      <button
        type="button"
        className="plain-button"
        disabled={busy}
        onClick={() => void listMore()}
      >
        {busy ? words.loading : words.more}
      </button>
    </div>
  );
}
