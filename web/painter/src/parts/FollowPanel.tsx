/** A picture to follow: chosen, dropped, pasted or pointed at, and what of it is followed. */

import { useId, useState } from "react";
import { followFile, followSource } from "../actions/files";
import { change } from "../actions/house";
import { CONTROL_KINDS, type Following, type Model } from "../model";
import { page } from "../page";
import { texts } from "../texts";
import { Choice, type Option } from "./Choice";
import { ControlMap } from "./ControlMap";
import { Icon } from "./Icon";

const words = texts.reference;

export function FollowPanel({ close, model }: { close: () => void; model: Model }) {
  const following = page.use((state) => state.draft.following);
  const addresses = page.use((state) => state.house.addresses);
  return (
    <div className="fields">
      <div className="pair">
        <Source shown={following?.shown ?? ""} />
        {following && following.kind !== "look" && (
          <ControlMap following={following} kind={following.kind} />
        )}
      </div>
      {addresses && <Address />}
      {following && <Kinds model={model} following={following} />}
      {following && (
        <button type="button" className="plain-button" onClick={close}>
          {words.done}
        </button>
      )}
    </div>
  );
}

function Source({ shown }: { shown: string }) {
  return (
    <label className={shown ? "source has" : "source"}>
      <input
        type="file"
        className="unseen"
        accept="image/png,image/jpeg,image/webp"
        onChange={(event) => {
          const file = event.target.files?.[0];
          if (file) void followFile(file);
        }}
      />
      {shown ? <img src={shown} alt={words.sourceAlt} /> : <Icon name="image" />}
      {shown ? (
        <b>{words.another}</b>
      ) : (
        <span>
          {words.drop} <b>{words.choose}</b>
        </span>
      )}
    </label>
  );
}

function Address() {
  const [address, setAddress] = useState("");
  const id = useId();
  const use = () => {
    if (/^https?:\/\/\S+$/.test(address.trim())) followSource(address.trim(), "");
  };
  return (
    <div className="inline">
      <label className="unseen" htmlFor={id}>
        {words.address}
      </label>
      <input
        id={id}
        type="url"
        value={address}
        placeholder={words.address}
        onChange={(event) => setAddress(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          use();
        }}
      />
      <button type="button" className="plain-button" onClick={use}>
        {words.use}
      </button>
    </div>
  );
}

function Kinds({ model, following }: { model: Model; following: Following }) {
  const options: Option[] = [
    ...(model.reference ? [{ value: "look", ...words.looks[model.reference] }] : []),
    ...model.controls.map((kind) => ({ value: kind, ...words.kinds[kind] })),
    ...CONTROL_KINDS.flatMap((kind) => {
      const hint = model.lacking[kind];
      return hint ? [{ value: kind, label: words.kinds[kind].label, hint, disabled: true }] : [];
    }),
  ];
  return (
    <Choice
      legend={words.kindLabel}
      look="rows"
      options={options}
      value={following.kind}
      onChoose={(value) => {
        const kind = value === "look" ? value : model.controls.find((one) => one === value);
        if (kind) change({ following: { ...following, kind } });
      }}
    />
  );
}
