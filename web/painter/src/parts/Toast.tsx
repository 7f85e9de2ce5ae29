/** A short word at the foot of the page that goes away by itself. */

import { useEffect } from "react";
import { page } from "../page";
import { texts } from "../texts";
import { Icon } from "./Icon";

const SHOWN_MS = 6000;
const clear = () => page.set({ notice: null });

export function Toast() {
  const notice = page.use((state) => state.notice);
  useEffect(() => {
    if (!notice) return;
    const timer = setTimeout(clear, SHOWN_MS);
    return () => clearTimeout(timer);
  }, [notice]);
  return (
    <div className="toasts" role="status" aria-live={notice?.bad ? "assertive" : "polite"}>
      {notice && (
        <p className={notice.bad ? "toast bad" : "toast"}>
          <span>{notice.words}</span>
          <button type="button" className="round small" aria-label={texts.close} onClick={clear}>
            <Icon name="close" />
          </button>
        </p>
      )}
    </div>
  );
}
