/** The top line: the name, what is left to spend, the theme, and the way out. */

import { chooseTheme, signOut } from "../actions/house";
import type { Account } from "../model";
import { page, type Theme } from "../page";
import { texts } from "../texts";
import { Icon, type IconName } from "./Icon";

const words = texts.account;

export function Top() {
  const account = page.use((state) => state.account);
  const house = page.use((state) => state.house);
  return (
    <header className="top">
      <a className="mark" href="/">
        <svg className="drop" viewBox="0 0 24 24" aria-hidden="true">
          <path d="M12 2.500c4 4.800 7 8.300 7 12a7 7 0 0 1-14 0c0-3.700 3-7.200 7-12Z" />
        </svg>
        {texts.name}
      </a>
      {account && <Spending account={account} />}
      {house.studio && (
        <a className="quiet-link" href={house.studio}>
          {words.studio}
        </a>
      )}
      <ThemeButton />
      {house.keys && house.signedIn && (
        <button
          type="button"
          className="round"
          aria-label={words.signOut}
          title={words.signOut}
          onClick={() => void signOut()}
        >
          <Icon name="out" />
        </button>
      )}
    </header>
  );
}

function Spending({ account }: { account: Account }) {
  const { credits, left, made, resets } = account;
  const anew = resets ? words.resets(resets.toLocaleTimeString("en", { timeStyle: "short" })) : "";
  return (
    <ul className="spending" aria-label={words.label}>
      {credits !== null && <li>{words.credits(credits)}</li>}
      {left !== null && <li title={anew}>{words.today(made, made + left)}</li>}
    </ul>
  );
}

const NEXT: Readonly<Record<Theme, Theme>> = { system: "light", light: "dark", dark: "system" };
const DRAWN: Readonly<Record<Theme, IconName>> = { system: "halves", light: "sun", dark: "moon" };

function ThemeButton() {
  const theme = page.use((state) => state.theme);
  const label = `${words.theme}: ${words.themes[theme]}`;
  return (
    <button
      type="button"
      className="round"
      aria-label={label}
      title={label}
      onClick={() => chooseTheme(NEXT[theme])}
    >
      <Icon name={DRAWN[theme]} />
    </button>
  );
}
