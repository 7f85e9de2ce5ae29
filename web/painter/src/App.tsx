/** The whole page. */

import { useEffect } from "react";
import { enter, refreshModels } from "./actions/house";
import { sendAgain } from "./actions/making";
import { findOpen, listPast } from "./actions/past";
import { page } from "./page";
import { Composer } from "./parts/Composer";
import { DemoNote } from "./parts/DemoNote";
import { DropZone } from "./parts/DropZone";
import { Login } from "./parts/Login";
import { Past } from "./parts/Past";
import { Repaint } from "./parts/Repaint";
import { Stage } from "./parts/Stage";
import { Toast } from "./parts/Toast";
import { Top } from "./parts/Top";
import { Viewer } from "./parts/Viewer";
import { texts } from "./texts";

const MODELS_MS = 15_000;
const AGAIN_MS = 4000;

/** Get to know the service, then take up whatever was going on. */
async function begin(): Promise<void> {
  if (!(await enter())) return;
  await sendAgain();
  await listPast();
  await findOpen();
}

export function App() {
  const stage = page.use((state) => state.stage);
  // A dialog says what there is to say itself: behind it nothing is heard.
  const covered = page.use(
    ({ opened, repainting }) => stage === "login" || opened !== null || repainting !== null,
  );
  useEffect(() => {
    void begin();
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void refreshModels();
    }, MODELS_MS);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (stage !== "unreachable") return;
    const timer = setInterval(() => void begin(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [stage]);
  return (
    <>
      <a className="skip" href="#pictures">
        {texts.skip}
      </a>
      <Top />
      <main className="page">
        <h1 className="headline">{texts.headline}</h1>
        <Composer />
        <DemoNote />
        <Stage />
        {stage === "ready" && <Past />}
      </main>
      {stage === "login" && <Login onEntered={begin} />}
      <Viewer />
      <Repaint />
      <DropZone />
      {!covered && <Toast />}
    </>
  );
}
