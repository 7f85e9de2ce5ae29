/** The browser's own memory of this page; where there is none, nothing is kept and all else works. */

type Name = "theme" | "draft" | "sending" | "open";

export function kept(name: Name): string | null {
  try {
    return localStorage.getItem(`painter.${name}`);
  } catch {
    return null;
  }
}

/** Keep a value, or forget it with null. */
export function keep(name: Name, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`painter.${name}`);
    else localStorage.setItem(`painter.${name}`, value);
  } catch {
    // Full, or switched off.
  }
}

/** Return a kept list of texts. */
export function keptList(name: Name): string[] {
  try {
    const found: unknown = JSON.parse(kept(name) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}
