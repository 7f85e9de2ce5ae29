/** One picture, large, with all that can be done with it. */

import { type ReactNode, useEffect, useState } from "react";
import { canFollow, followPicture, sayRestored } from "../actions/files";
import { change } from "../actions/house";
import { handIn } from "../actions/making";
import { remove } from "../actions/past";
import { draftOf, modelOf } from "../logic/draft";
import type { Order } from "../logic/orders";
import { toTop } from "../logic/scrolling";
import { type Generation, isOpen, type Picture, type Pointed } from "../model";
import { page } from "../page";
import { texts } from "../texts";
import { Icon, type IconName } from "./Icon";
import { Modal } from "./Modal";
import { Heart, small } from "./Tile";

const words = texts.picture;
const close = () => page.set({ opened: null });

export function Viewer() {
  const opened = page.use((state) => state.opened);
  const run = page.use((state) => (opened ? state.generations[opened.id] : undefined));
  const picture = run?.pictures.find((one) => one.index === opened?.index);
  if (!opened || !run || !picture) return null;
  return (
    <Modal label={words.open(run.asked.sentence)} look="viewer" onClose={close}>
      <Large run={run} picture={picture} />
      <div className="beside">
        <h2>{run.asked.sentence}</h2>
        <Doings run={run} picture={picture} />
        <Details run={run} picture={picture} />
      </div>
    </Modal>
  );
}

/** All pictures in the order in which they lie on the page. */
function row(): Pointed[] {
  const { fresh, past, generations } = page.get();
  const ids = [...new Set([...fresh, ...past.ids])];
  return ids.flatMap((id) => (generations[id]?.pictures ?? []).map(({ index }) => ({ id, index })));
}

function beside(opened: Pointed, step: number): Pointed | undefined {
  const all = row();
  const at = all.findIndex(({ id, index }) => id === opened.id && index === opened.index);
  return at < 0 ? undefined : all[at + step];
}

function Large({ run, picture }: { run: Generation; picture: Picture }) {
  const here = { id: run.id, index: picture.index };
  const go = (step: number) => {
    const next = beside(here, step);
    if (next) page.set({ opened: next });
  };
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.target instanceof HTMLInputElement) return;
      if (event.key === "ArrowLeft") go(-1);
      if (event.key === "ArrowRight") go(1);
    };
    document.addEventListener("keydown", key);
    return () => document.removeEventListener("keydown", key);
  });
  return (
    <div className="large">
      <img
        src={picture.url}
        alt={run.asked.sentence}
        width={picture.width}
        height={picture.height}
        style={{ backgroundImage: `url("${small(picture.url)}")` }}
      />
      {beside(here, -1) && (
        <button
          type="button"
          className="round before"
          aria-label={words.previous}
          onClick={() => go(-1)}
        >
          <Icon name="left" />
        </button>
      )}
      {beside(here, 1) && (
        <button type="button" className="round after" aria-label={words.next} onClick={() => go(1)}>
          <Icon name="right" />
        </button>
      )}
    </div>
  );
}

interface Shown {
  readonly run: Generation;
  readonly picture: Picture;
}

function Doings({ run, picture }: Shown) {
  const sending = page.use((state) => state.sending);
  const models = page.use((state) => state.models);
  const following = page.use((state) => canFollow(modelOf(state.draft, state.models)));
  const own = models.find((model) => model.name === run.asked.model);
  const of = { id: run.id, index: picture.index };
  const order = (wanted: Order) => async () => {
    if (await handIn(wanted)) close();
  };
  return (
    <>
      <div className="doings main">
        {run.studio && (
          <a
            className="doing"
            href={run.studio}
            target="_blank"
            rel="noreferrer"
            title={words.studioHint}
          >
            <Icon name="nodes" />
            <span>{words.studio}</span>
          </a>
        )}
        <a className="doing" href={picture.url} download={fileName(run, picture)}>
          <Icon name="download" />
          <span>{words.download}</span>
        </a>
        <Heart run={run} />
      </div>
      <div className="doings">
        <Doing icon="reuse" label={words.reuse} onDo={() => reuse(run, picture)} />
        <Doing
          icon="vary"
          label={words.subtle}
          disabled={sending}
          onDo={order({ kind: "vary", of, strength: "subtle" })}
        />
        <Doing
          icon="spark"
          label={words.strong}
          disabled={sending}
          onDo={order({ kind: "vary", of, strength: "strong" })}
        />
        <Doing
          icon="enlarge"
          label={words.upscale}
          disabled={sending}
          onDo={order({ kind: "upscale", of })}
        />
        {own?.inpaint && (
          <Doing
            icon="brush"
            label={words.edit}
            onDo={() => page.set({ opened: null, repainting: of })}
          />
        )}
        {following && (
          <Doing
            icon="image"
            label={words.follow}
            onDo={async () => {
              close();
              await followPicture(picture.url);
            }}
          />
        )}
        <Remove run={run} />
      </div>
    </>
  );
}

interface DoingProps {
  readonly icon: IconName;
  readonly label: ReactNode;
  readonly disabled?: boolean;
  readonly onDo: () => void | Promise<void>;
}

function Doing({ icon, label, disabled = false, onDo }: DoingProps) {
  return (
    <button type="button" className="doing" disabled={disabled} onClick={() => void onDo()}>
      <Icon name={icon} />
      <span>{label}</span>
    </button>
  );
}

function reuse(run: Generation, picture: Picture): void {
  const { models, house } = page.get();
  change(draftOf(run.asked, picture.seed, models, house.negatives));
  close();
  sayRestored(run.asked);
  toTop();
}

function Remove({ run }: { run: Generation }) {
  const [asking, setAsking] = useState(false);
  if (isOpen(run.status)) return null;
  if (!asking) {
    return <Doing icon="trash" label={words.remove} onDo={() => setAsking(true)} />;
  }
  return (
    <div className="asking" role="alert">
      <p>{run.pictures.length > 1 ? words.removeAskMany : words.removeAsk}</p>
      <button type="button" className="plain-button" onClick={() => setAsking(false)}>
        {words.removeNo}
      </button>
      <button type="button" className="plain-button grave" onClick={() => void remove(run.id)}>
        {words.removeYes}
      </button>
    </div>
  );
}

/** A name that says what is in the file, from the first words of the sentence. */
function fileName({ asked }: Generation, { seed }: Picture): string {
  const plain = asked.sentence.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return `${[...plain.slice(0, 6), String(seed)].join("-")}.png`;
}

function Details({ run, picture }: Shown) {
  const styles = page.use((state) => state.styles);
  const models = page.use((state) => state.models);
  const negatives = page.use((state) => state.house.negatives);
  const { asked } = run;
  const style = styles.find(({ name }) => name === asked.style)?.title;
  const model = models.find(({ name }) => name === asked.model)?.title ?? asked.model;
  const facts: [string, string | undefined][] = [
    [words.kind, words.kinds[run.kind]],
    [words.style, style],
    [words.exclude, asked.exclude === negatives ? undefined : asked.exclude],
    [words.model, model],
    [words.size, texts.shape.size(picture.width, picture.height)],
    [words.time, run.seconds === null ? undefined : words.seconds(run.seconds)],
    [words.cost, words.credits(run.credits)],
    [words.made, run.made.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })],
  ];
  return (
    <dl className="details">
      {facts.map(([name, value]) =>
        value ? (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ) : null,
      )}
      <div>
        <dt>{words.seed}</dt>
        <dd>
          {picture.seed} <CopySeed seed={picture.seed} />
        </dd>
      </div>
    </dl>
  );
}

function CopySeed({ seed }: { seed: number }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(String(seed));
    setCopied(true);
  };
  return (
    <button
      type="button"
      className="round small"
      aria-label={copied ? words.copied : words.copySeed}
      title={copied ? words.copied : words.copySeed}
      onClick={() => void copy().catch(() => setCopied(false))}
    >
      <Icon name={copied ? "check" : "copy"} />
    </button>
  );
}
