/** What of a picture will be followed, beside the picture: seen before anything is made of it. */

import { useState } from "react";
import { mapKey, seeMap } from "../actions/files";
import { holdsNothing } from "../logic/blank";
import type { ControlKind, Following } from "../model";
import { page } from "../page";
import { texts } from "../texts";

const words = texts.reference;

export function ControlMap({ following, kind }: { following: Following; kind: ControlKind }) {
  const seen = page.use((state) => state.maps[mapKey(following)]);
  const see = () => void seeMap(following);
  const told = words.maps[kind];
  return (
    <div className={`map ${seen?.state ?? "unseen-yet"}`} aria-busy={seen?.state === "making"}>
      {seen?.state === "there" && <Shown key={seen.image} image={seen.image} alt={told.alt} />}
      {seen?.state === "making" && <Making words={told.making} />}
      {seen?.state === "wrong" && (
        <>
          <p role="alert">{seen.words || words.mapFailed}</p>
          <button type="button" className="plain-button" onClick={see}>
            {words.mapAgain}
          </button>
        </>
      )}
      {!seen && (
        <>
          <button type="button" className="plain-button" onClick={see}>
            {told.see}
          </button>
          <Cost />
        </>
      )}
    </div>
  );
}

function Cost() {
  const price = page.use((state) => state.house.mapCredits);
  const account = page.use((state) => state.account);
  const credits = account?.credits == null ? "" : texts.picture.credits(price);
  const counts = account?.left == null ? "" : words.mapCounts;
  return <small>{words.mapCost([credits, counts].filter(Boolean))}</small>;
}

function Making({ words: said }: { words: string }) {
  return <p role="status">{said}</p>;
}

function Shown({ image, alt }: { image: string; alt: string }) {
  const [empty, setEmpty] = useState(false);
  return (
    <>
      <img
        src={image}
        alt={alt}
        onLoad={({ currentTarget }) => setEmpty(holdsNothing(currentTarget))}
      />
      <p role="status" hidden={!empty}>
        {words.mapEmpty}
      </p>
    </>
  );
}
