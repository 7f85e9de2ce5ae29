/** Signing in, where the house asks who comes. */

import { useId, useState } from "react";
import { signIn } from "../actions/house";
import { page } from "../page";
import { texts } from "../texts";
import { Modal } from "./Modal";

const words = texts.login;

export function Login({ onEntered }: { onEntered: () => Promise<void> }) {
  const wrong = page.use((state) => state.loginWords);
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const id = useId();
  const submit = async () => {
    setBusy(true);
    if (await signIn(key)) await onEntered();
    setBusy(false);
  };
  return (
    <Modal label={words.title} look="login">
      <form
        className="fields"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <h2>{words.title}</h2>
        <p className="quiet">{words.hint}</p>
        {/* Password keepers look for a name beside the key. */}
        <input name="username" autoComplete="username" value={texts.name} readOnly hidden />
        <label htmlFor={id}>{words.key}</label>
        <input
          id={id}
          type="password"
          value={key}
          required
          autoComplete="current-password"
          spellCheck={false}
          placeholder={words.placeholder}
          onChange={(event) => setKey(event.target.value)}
        />
        <p role="alert" className="refusal" hidden={!wrong}>
          {wrong}
        </p>
        <button type="submit" className="generate" disabled={busy || !key.trim()}>
          {words.go}
        </button>
      </form>
    </Modal>
  );
}
