/** The sentence, the few choices beside it, and the button. */

import { type KeyboardEvent, useEffect, useId, useRef } from "react";
import { canFollow, followFile, mapKey, pictureIn } from "../actions/files";
import { change, enhance, listSaid, NO_ENHANCING } from "../actions/house";
import { generate } from "../actions/making";
import { modelOf } from "../logic/draft";
import { page } from "../page";
import { texts } from "../texts";
import { Fold } from "./Fold";
import { FollowPanel } from "./FollowPanel";
import { Icon } from "./Icon";
import { MorePanel } from "./MorePanel";
import { CountChoice, ModelFold, ShapeFold, StyleFold } from "./Pickers";
import { SaidPanel } from "./SaidPanel";

const words = texts.sentence;

export function Composer() {
  const refusal = page.use((state) => state.refusal);
  const sending = page.use((state) => state.sending);
  const ready = page.use((state) => state.stage === "ready");
  const model = page.use((state) => modelOf(state.draft, state.models));
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void generate();
      }}
      onPaste={(event) => {
        const picture = pictureIn(event.clipboardData?.files);
        if (!picture) return;
        event.preventDefault();
        void followFile(picture);
      }}
    >
      <Sentence />
      <Before />
      <Followed />
      <div className="choices">
        <StyleFold />
        <ShapeFold />
        <ModelFold />
        <CountChoice />
        <button type="submit" className="generate" disabled={sending || !ready || !model}>
          {sending ? words.handingIn : words.generate}
        </button>
      </div>
      <p className="refusal" role="alert" hidden={!refusal}>
        {refusal}
      </p>
    </form>
  );
}

function Sentence() {
  const sentence = page.use((state) => state.draft.sentence);
  const max = page.use((state) => state.house.sentenceMax);
  const demo = page.use((state) => modelOf(state.draft, state.models)?.demo !== null);
  const busy = page.use((state) => state.enhancing.busy);
  const box = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the box grows with its words.
  useEffect(() => {
    const area = box.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }, [sentence, demo]);
  return (
    <div className="sentence">
      <label htmlFor={id} className="unseen">
        {words.label}
      </label>
      <textarea
        id={id}
        ref={box}
        rows={1}
        value={sentence}
        maxLength={max}
        readOnly={busy}
        placeholder={demo ? words.demoPlaceholder : words.placeholder}
        onChange={(event) => change({ sentence: event.target.value })}
        onKeyDown={handInByKey}
      />
      <div className="tools">
        <Enhance />
        <FollowFold />
        <MoreFold />
        <SaidFold />
        <button
          type="button"
          className="pill bare"
          aria-label={words.surprise}
          title={words.surprise}
          onClick={surprise}
        >
          <Icon name="dice" />
        </button>
      </div>
    </div>
  );
}

function handInByKey(event: KeyboardEvent): void {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  void generate();
}

/** Another sentence than the one that is there: of what the model knows, if it tells. */
function surprise(): void {
  const { draft, models } = page.get();
  const examples = modelOf(draft, models)?.demo?.sentences ?? [];
  const offered = (examples.length ? examples : texts.surprises).filter(
    (one) => one !== draft.sentence,
  );
  const drawn = offered[Math.floor(Math.random() * offered.length)];
  if (drawn) change({ sentence: drawn });
}

function Enhance() {
  const can = page.use((state) => state.house.enhance);
  const { busy, before } = page.use((state) => state.enhancing);
  if (!can) return null;
  if (before !== null) {
    return (
      <span className="enhanced" role="status">
        <span>{words.enhanced}</span>
        <button
          type="button"
          className="text-button"
          title={words.before(before)}
          onClick={() => {
            change({ sentence: before });
            page.set({ enhancing: NO_ENHANCING });
          }}
        >
          <Icon name="undo" />
          {words.undo}
        </button>
      </span>
    );
  }
  return (
    <button
      type="button"
      className="pill bare worded"
      disabled={busy}
      onClick={() => void enhance()}
    >
      <Icon name="spark" />
      <span>{busy ? words.enhancing : words.enhance}</span>
    </button>
  );
}

/** The sentence as it was, for whoever wants to compare. */
function Before() {
  const before = page.use((state) => state.enhancing.before);
  return before === null ? null : <p className="quiet before">{words.before(before)}</p>;
}

function SaidFold() {
  const remembers = page.use((state) => state.house.remembers);
  if (!remembers) return null;
  return (
    <Fold label={words.recent} icon="clock" plain onOpen={listSaid}>
      {(close) => <SaidPanel close={close} />}
    </Fold>
  );
}

function FollowFold() {
  const model = page.use((state) => modelOf(state.draft, state.models));
  if (!canFollow(model)) return null;
  return (
    <Fold label={texts.reference.add} icon="image" plain wide>
      {(close) => <FollowPanel close={close} model={model} />}
    </Fold>
  );
}

function MoreFold() {
  const marked = page.use((state) => Boolean(state.draft.exclude || state.draft.seed));
  return (
    <Fold label={texts.more.label} icon="sliders" marked={marked} plain>
      {() => <MorePanel />}
    </Fold>
  );
}

function Followed() {
  const following = page.use((state) => state.draft.following);
  const seen = page.use((state) => (following ? state.maps[mapKey(following)] : undefined));
  const way = page.use((state) => modelOf(state.draft, state.models)?.reference ?? "start");
  if (!following) return null;
  const { kind, shown } = following;
  const map = seen?.state === "there" ? seen.image : "";
  const look = texts.reference.looks[way].label;
  return (
    <div className="followed">
      {shown ? <img src={shown} alt={texts.reference.sourceAlt} /> : <Icon name="image" />}
      {map && kind !== "look" && <img src={map} alt={texts.reference.maps[kind].alt} />}
      <span>
        <b>{texts.reference.label}</b>
        <small>{kind === "look" ? look : texts.reference.kinds[kind].label}</small>
      </span>
      <button
        type="button"
        className="round"
        aria-label={texts.reference.remove}
        onClick={() => change({ following: null })}
      >
        <Icon name="close" />
      </button>
    </div>
  );
}
