/** A native dialog: the browser keeps the focus inside, closes on Escape and gives the focus back. */

import { type ReactNode, useLayoutEffect, useRef } from "react";
import { texts } from "../texts";
import { Icon } from "./Icon";
import { Toast } from "./Toast";

interface ModalProps {
  readonly label: string;
  readonly look: string;
  readonly onClose?: () => void;
  readonly children: ReactNode;
}

export function Modal({ label, look, onClose, children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  // Closed before it is taken out of the page, so that the browser gives the focus back.
  useLayoutEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it too, by the browser's own hand.
    <dialog
      ref={dialog}
      className={look}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) onClose?.();
      }}
    >
      {onClose && (
        <button type="button" className="round close" aria-label={texts.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      )}
      {children}
      <Toast />
    </dialog>
  );
}
