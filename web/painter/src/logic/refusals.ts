/** Every way in which the service says no, in words for people. */

import { texts } from "../texts";

export interface Refusal {
  readonly status: number;
  /** The wire's word for what is wrong, such as `content_policy`. */
  readonly type: string;
  readonly message: string;
  readonly field: string;
  readonly retrySeconds: number | null;
}

const words = texts.refusals;

/** Seconds of a Retry-After header: a number or a date. */
export function retryOf(header: string | null, now: number): number | null {
  if (!header) return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, (date - now) / 1000);
}

/** Say it plainly; the service's own sentence is shown where it names what the person chose. */
export function plainly(refusal: Refusal): string {
  const { status, message, retrySeconds } = refusal;
  const wait = retrySeconds === null ? "" : ` ${words.wait(Math.max(1, retrySeconds))}`;
  if (status === 0) return words.offline;
  if (status === 401) return words.signIn;
  if (status === 402) return words.credits;
  if (isBlocked(refusal)) return words.blocked;
  if (status === 403) return sentence(message) || words.forbidden;
  if (status === 404) return words.gone;
  if (status === 413) return words.tooLarge;
  if (status === 429) return (isQuota(refusal) ? words.quota : words.busy) + wait;
  if (status >= 500) return status === 500 ? words.unknown : words.unavailable;
  return sentence(message) || words.unknown;
}

const isBlocked = ({ status, type }: Refusal): boolean =>
  status < 500 && /block|policy|moderat/.test(type);

const isQuota = ({ type, message }: Refusal): boolean => /daily|quota|day/i.test(type + message);

function sentence(message: string): string {
  const trimmed = message.trim();
  if (!trimmed) return "";
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
