/** A button that opens a panel below it; on a phone the panel rises from the bottom. */

import { type ReactNode, useCallback, useEffect, useId, useRef, useState } from "react";
import { texts } from "../texts";
import { Icon, type IconName } from "./Icon";

interface FoldProps {
  readonly label: string;
  readonly value?: string;
  readonly icon?: IconName;
  readonly picture?: ReactNode;
  readonly wide?: boolean;
  readonly marked?: boolean;
  readonly plain?: boolean;
  readonly onOpen?: () => void;
  /** The panel may close itself by calling what it is given. */
  readonly children: (close: () => void) => ReactNode;
}

export function Fold(props: FoldProps) {
  const { label, value, icon, picture, wide = false, marked = false, plain = false } = props;
  const [open, setOpen] = useState(false);
  const id = useId();
  const whole = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = useCallback(() => {
    setOpen(false);
    button.current?.focus();
  }, []);
  useClosing(open, whole, setOpen, close);
  const kind = `pill${marked ? " marked" : ""}${plain ? " bare" : ""}`;
  return (
    <div className="fold" ref={whole}>
      <button
        ref={button}
        type="button"
        className={kind}
        aria-expanded={open}
        aria-controls={id}
        aria-label={value ? `${label}: ${value}` : label}
        title={plain ? label : undefined}
        onClick={() => {
          if (!open) props.onOpen?.();
          setOpen(!open);
        }}
      >
        {picture}
        {icon && <Icon name={icon} />}
        {!plain && <span>{value ?? label}</span>}
        {!plain && <Icon name="chevron" />}
      </button>
      <div id={id} className={wide ? "panel wide" : "panel"} hidden={!open}>
        {open && (
          <>
            <div className="panel-head">
              <h2>{label}</h2>
              <button type="button" className="round" aria-label={texts.close} onClick={close}>
                <Icon name="close" />
              </button>
            </div>
            {props.children(close)}
          </>
        )}
      </div>
    </div>
  );
}

function useClosing(
  open: boolean,
  whole: React.RefObject<HTMLDivElement | null>,
  setOpen: (open: boolean) => void,
  close: () => void,
): void {
  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      if (!whole.current?.contains(event.target as Node)) setOpen(false);
    };
    const key = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    };
    const left = (event: FocusEvent) => {
      const to = event.relatedTarget;
      if (to instanceof Node && !whole.current?.contains(to)) setOpen(false);
    };
    const element = whole.current;
    document.addEventListener("pointerdown", outside);
    element?.addEventListener("keydown", key);
    element?.addEventListener("focusout", left);
    return () => {
      document.removeEventListener("pointerdown", outside);
      element?.removeEventListener("keydown", key);
      element?.removeEventListener("focusout", left);
    };
  }, [open, whole, setOpen, close]);
}
