/** Style, shape, model and how many: the choices that everybody has. */

import { change } from "../actions/house";
import { modelOf } from "../logic/draft";
import { boxOf, shapeOf } from "../logic/shapes";
import { page } from "../page";
import { texts } from "../texts";
import { Choice } from "./Choice";
import { Fold } from "./Fold";

export function StyleFold() {
  const styles = page.use((state) => state.styles);
  const chosen = page.use((state) => state.draft.style);
  const label = styles.find((style) => style.name === chosen)?.title ?? texts.style.none;
  const options = [
    { value: "", label: texts.style.none, picture: <Thumbnail name="none" /> },
    ...styles.map(({ name, title }) => ({
      value: name,
      label: title,
      picture: <Thumbnail name={name} />,
    })),
  ];
  return (
    <Fold
      label={texts.style.label}
      value={chosen ? label : texts.style.none}
      marked={Boolean(chosen)}
      picture={<Thumbnail name={chosen || "none"} />}
      wide
    >
      {(close) => (
        <Choice
          legend={texts.style.label}
          look="tiles"
          options={options}
          value={chosen}
          onChoose={(style) => change({ style })}
          onDone={close}
        />
      )}
    </Fold>
  );
}

const DRAWN = new Set([
  "none",
  "photo",
  "portrait",
  "product",
  "cinematic",
  "film-grain",
  "pixel-art",
  "anime",
  "illustration",
  "watercolor",
  "oil-painting",
  "line-art",
  "3d-render",
  "isometric",
  "concept-art",
  "architecture",
  "logo",
]);

function Thumbnail({ name }: { name: string }) {
  const known = name.replaceAll("_", "-");
  return (
    <img
      className="thumbnail"
      src={`/styles/${DRAWN.has(known) ? known : "none"}.svg`}
      alt=""
      width={96}
      height={96}
      loading="lazy"
    />
  );
}

const nameOf = (ratio: string): string => texts.shape.names[ratio] ?? ratio;

function Outline({ shape }: { shape: string }) {
  const { width, height } = boxOf(shape, 18);
  return (
    <svg className="outline" viewBox="0 0 24 24" aria-hidden="true">
      <rect x={12 - width / 2} y={12 - height / 2} width={width} height={height} rx="2" />
    </svg>
  );
}

export function ShapeFold() {
  const draft = page.use((state) => state.draft);
  const model = page.use((state) => modelOf(state.draft, state.models));
  const shapes = model?.shapes ?? [];
  const chosen = shapeOf(draft.shape, shapes)?.name ?? draft.shape;
  const options = shapes.map(({ name, width, height }) => ({
    value: name,
    label: nameOf(name),
    hint: `${name}, ${texts.shape.size(width, height)}`,
    picture: <Outline shape={name} />,
  }));
  return (
    <Fold
      label={texts.shape.label}
      value={nameOf(chosen)}
      marked={chosen !== "1:1"}
      picture={<Outline shape={chosen} />}
    >
      {(close) => (
        <>
          <Choice
            legend={texts.shape.label}
            look="rows"
            options={options}
            value={chosen}
            onChoose={(shape) => change({ shape })}
            onDone={close}
          />
          {shapes.length === 1 && <p className="quiet">{texts.shape.only}</p>}
        </>
      )}
    </Fold>
  );
}

export function ModelFold() {
  const models = page.use((state) => state.models);
  const model = page.use((state) => modelOf(state.draft, state.models));
  const starting = page.use((state) => state.stage === "starting");
  const none = starting ? texts.model.looking : texts.model.none;
  const options = models.map(({ name, title, note, usable }) => ({
    value: name,
    label: title,
    hint: note,
    disabled: !usable,
  }));
  return (
    <Fold label={texts.model.label} value={model?.title ?? none} icon="brush">
      {(close) => (
        <Choice
          legend={texts.model.label}
          look="rows"
          options={options}
          value={model?.name ?? ""}
          onChoose={(name) => change({ model: name })}
          onDone={close}
        />
      )}
    </Fold>
  );
}

export function CountChoice() {
  const count = page.use((state) => state.draft.count);
  const house = page.use((state) => state.house.countMax);
  const own = page.use((state) => modelOf(state.draft, state.models)?.countMax ?? 1);
  const options = Array.from({ length: house }, (_, index) => ({
    value: String(index + 1),
    label: String(index + 1),
    disabled: index >= own,
  }));
  return (
    <Choice
      legend={texts.count.label}
      look="segments"
      options={options}
      value={String(count)}
      onChoose={(value) => change({ count: Number(value) })}
    />
  );
}
