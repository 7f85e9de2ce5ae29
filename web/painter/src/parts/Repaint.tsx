/** Painting over a part of a picture, and saying what should be there. */

import { type KeyboardEvent, type PointerEvent, useEffect, useId, useRef, useState } from "react";
import { handIn } from "../actions/making";
import type { Size } from "../logic/shapes";
import { draw, extended, inPicture, maskOf, type Point, type Stroke } from "../logic/strokes";
import type { Generation, Picture } from "../model";
import { page } from "../page";
import { texts } from "../texts";
import { Icon } from "./Icon";
import { Modal } from "./Modal";

const words = texts.inpaint;
const close = () => page.set({ repainting: null });

export function Repaint() {
  const pointed = page.use((state) => state.repainting);
  const run = page.use((state) => (pointed ? state.generations[pointed.id] : undefined));
  const picture = run?.pictures.find((one) => one.index === pointed?.index);
  if (!run || !picture) return null;
  return (
    <Modal label={words.title} look="repaint" onClose={close}>
      <Painting run={run} picture={picture} />
    </Modal>
  );
}

function Painting({ run, picture }: { run: Generation; picture: Picture }) {
  const [strokes, setStrokes] = useState<readonly Stroke[]>([]);
  const [brush, setBrush] = useState(12);
  const [sentence, setSentence] = useState(run.asked.sentence);
  const [wrong, setWrong] = useState("");
  const sending = page.use((state) => state.sending);
  const id = useId();
  const width = (brush / 100) * Math.min(picture.width, picture.height);
  const submit = async () => {
    if (strokes.length === 0) return setWrong(words.empty);
    const mask = maskOf(strokes, picture);
    const of = { id: run.id, index: picture.index };
    if (await handIn({ kind: "inpaint", of, sentence, mask })) close();
  };
  return (
    <>
      <Surface
        picture={picture}
        alt={run.asked.sentence}
        width={width}
        strokes={strokes}
        onPaint={setStrokes}
      />
      <form
        className="beside fields"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <h2>{words.title}</h2>
        <p className="quiet">{words.hint}</p>
        <label htmlFor={`${id}b`}>{words.brush}</label>
        <input
          id={`${id}b`}
          type="range"
          min={3}
          max={40}
          value={brush}
          onChange={(event) => setBrush(Number(event.target.value))}
        />
        <div className="inline">
          <button
            type="button"
            className="plain-button"
            disabled={strokes.length === 0}
            onClick={() => setStrokes(strokes.slice(0, -1))}
          >
            <Icon name="undo" />
            {words.undo}
          </button>
          <button
            type="button"
            className="plain-button"
            disabled={strokes.length === 0}
            onClick={() => setStrokes([])}
          >
            {words.clear}
          </button>
        </div>
        <label htmlFor={`${id}s`}>{words.sentence}</label>
        <textarea
          id={`${id}s`}
          rows={3}
          value={sentence}
          onChange={(event) => setSentence(event.target.value)}
        />
        <p role="alert" className="refusal" hidden={!wrong}>
          {wrong}
        </p>
        <button type="submit" className="generate" disabled={sending}>
          {words.go}
        </button>
      </form>
    </>
  );
}

interface SurfaceProps {
  readonly picture: Picture;
  readonly alt: string;
  readonly width: number;
  readonly strokes: readonly Stroke[];
  readonly onPaint: (change: (strokes: readonly Stroke[]) => readonly Stroke[]) => void;
}

function Surface({ picture, alt, width, strokes, onPaint }: SurfaceProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [cursor, setCursor] = useState<Point | null>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, picture.width, picture.height);
    draw(context, strokes, "#d8431c");
    if (cursor) draw(context, [{ width, points: [cursor] }], "#ffffff99");
  }, [strokes, cursor, width, picture]);
  const begin = (point: Point) => onPaint((all) => [...all, { width, points: [point] }]);
  const at = (event: PointerEvent<HTMLCanvasElement>) =>
    inPicture(
      { x: event.clientX, y: event.clientY },
      event.currentTarget.getBoundingClientRect(),
      picture,
    );
  const key = (event: KeyboardEvent) => {
    const centre = { x: picture.width / 2, y: picture.height / 2 };
    const moved = movedBy(event.key, cursor ?? centre, picture);
    if (!moved && event.key !== " ") return;
    event.preventDefault();
    if (moved) setCursor(moved);
    else begin(cursor ?? centre);
  };
  return (
    <div className="large surface">
      <img src={picture.url} alt={alt} width={picture.width} height={picture.height} />
      <canvas
        ref={canvas}
        width={picture.width}
        height={picture.height}
        tabIndex={0}
        role="img"
        aria-label={words.canvas}
        onKeyDown={key}
        onBlur={() => setCursor(null)}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setCursor(null);
          begin(at(event));
        }}
        onPointerMove={(event) => {
          if (event.buttons === 1) {
            const point = at(event);
            onPaint((all) => extended(all, point));
          }
        }}
      />
    </div>
  );
}

const STEP = 1 / 20;

function movedBy(key: string, from: Point, size: Size): Point | null {
  const across = key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0;
  const down = key === "ArrowUp" ? -1 : key === "ArrowDown" ? 1 : 0;
  if (across === 0 && down === 0) return null;
  return {
    x: Math.min(Math.max(from.x + across * size.width * STEP, 0), size.width),
    y: Math.min(Math.max(from.y + down * size.height * STEP, 0), size.height),
  };
}
