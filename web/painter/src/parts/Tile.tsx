/** One picture, small: it opens when it is clicked. */

import { useState } from "react";
import { love } from "../actions/past";
import type { Generation, Picture } from "../model";
import { page } from "../page";
import { texts } from "../texts";
import { Icon } from "./Icon";

const words = texts.picture;

export function Tile({ run, picture }: { run: Generation; picture: Picture }) {
  const { width, height } = picture;
  const [dry, setDry] = useState(false);
  return (
    <figure className={dry ? "tile" : "tile wet"} style={{ aspectRatio: `${width} / ${height}` }}>
      <button
        type="button"
        className="picture"
        aria-label={words.open(run.asked.sentence)}
        onClick={() => page.set({ opened: { id: run.id, index: picture.index } })}
      >
        <img
          src={small(picture.url)}
          alt={run.asked.sentence}
          width={width}
          height={height}
          decoding="async"
          onLoad={() => setDry(true)}
        />
      </button>
      <figcaption>
        <span className="facts">
          {texts.shape.size(width, height)} · {words.seed} {picture.seed}
        </span>
        <Heart run={run} />
      </figcaption>
    </figure>
  );
}

export function Heart({ run }: { run: Generation }) {
  return (
    <button
      type="button"
      className={run.favourite ? "round heart loved" : "round heart"}
      aria-pressed={run.favourite}
      aria-label={words.favourite}
      title={run.favourite ? words.unfavourite : words.favourite}
      onClick={() => void love(run.id, !run.favourite)}
    >
      <Icon name="heart" filled={run.favourite} />
    </button>
  );
}

/** The address of a small file of the same picture. */
export const small = (url: string): string => `${url}?preview=webp;80`;
