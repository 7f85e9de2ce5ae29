"use strict";
// Runs before anything is drawn, so that a chosen theme never flashes in the other one first.
try {
  const chosen = localStorage.getItem("painter.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing follows the system's theme.
}
