/** Anywhere on the page a picture may be dropped. */

import { useEffect, useState } from "react";
import { dropped, pictureIn } from "../actions/files";
import { texts } from "../texts";
import { Icon } from "./Icon";

export function DropZone() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const carries = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const move = (event: DragEvent) => {
      if (!carries(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!carries(event)) return;
      event.preventDefault();
      setOver(false);
      const picture = pictureIn(event.dataTransfer?.files);
      if (picture) void dropped(picture);
    };
    window.addEventListener("dragover", move);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", move);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, []);
  if (!over) return null;
  return (
    <div className="dropzone">
      <Icon name="image" />
      <b>{texts.drop.title}</b>
      <span>{texts.drop.hint}</span>
    </div>
  );
}
