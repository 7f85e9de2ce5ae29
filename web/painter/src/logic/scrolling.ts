/** Moves over the page: gently, unless the person wants no motion. */

const behavior = (): ScrollBehavior =>
  matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";

export function toTop(): void {
  window.scrollTo({ top: 0, behavior: behavior() });
}

/** Bring the newest run into view once it is drawn. */
export function toNewest(): void {
  requestAnimationFrame(() => {
    document.querySelector(".run")?.scrollIntoView({ block: "nearest", behavior: behavior() });
  });
}
