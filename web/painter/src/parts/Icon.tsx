/** The page's small drawings, all of one hand: 24 units, one line width, round ends. */

const PATHS = {
  heart: "M12 20s-7.5-4.6-7.5-10A4.2 4.2 0 0 1 12 7.4 4.2 4.2 0 0 1 19.5 10c0 5.4-7.5 10-7.5 10Z",
  download: "M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 19.5h14",
  close: "M6 6l12 12M18 6L6 18",
  dice: "M7.5 5h9A2.5 2.5 0 0 1 19 7.5v9a2.5 2.5 0 0 1-2.5 2.5h-9A2.5 2.5 0 0 1 5 16.5v-9A2.5 2.5 0 0 1 7.5 5ZM8.5 9a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0M14.5 9a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0M8.5 15a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0M14.5 15a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0",
  wand: "M5 19L15.5 8.5M18 6l1-1M14 4v2M20 10h-2M18.5 13.5l-1-1M11.5 5.5l-1-1",
  clock: "M12 7.5V12l3 2M12 3.8a8.2 8.2 0 1 1 0 16.4 8.2 8.2 0 0 1 0-16.4Z",
  image: "M4.5 5.5h15v13h-15zM8.5 10h.01M5 16.5l4.5-4 3.5 3 2.5-2 4 3.5",
  sliders: "M5 7.5h8M17 7.5h2M5 16.5h2M11 16.5h8M15 5.2v4.6M9 14.2v4.6",
  chevron: "M7.5 10l4.5 4.5 4.5-4.5",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  nodes: "M4.5 5.5h5v5h-5zM14.5 13.5h5v5h-5zM9.5 8H13a2 2 0 0 1 2 2v3.5",
  reuse: "M5 12a7 7 0 0 1 12-4.9L19 9M19 5v4h-4M19 12a7 7 0 0 1-12 4.9L5 15M5 19v-4h4",
  vary: "M5 8h3.5c4 0 3 8 7 8H19M16.5 13.5L19 16l-2.5 2.5M5 16h3.5c1 0 1.7-.5 2.2-1.3M13.3 9.3C13.8 8.5 14.5 8 15.5 8H19M16.5 5.5L19 8l-2.5 2.5",
  enlarge: "M9 5H5v4M15 19h4v-4M5 5l5.5 5.5M19 19l-5.5-5.5M15 5h4v4M9 19H5v-4",
  brush:
    "M19 5c-3.5 1-8 5-9.5 8l1.5 1.5c3-1.5 7-6 8-9.5ZM9 13.5c-2 0-3 1.3-3 3 0 1-.6 2-1.5 2.5 3.5.8 6.5-.5 6.5-3.5",
  trash: "M5 7h14M10 7V5h4v2M7 7l.8 12h8.4L17 7M10.5 10.5v5M13.5 10.5v5",
  search: "M10.5 5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11ZM14.7 14.7L19 19",
  sun: "M12 8.2a3.8 3.8 0 1 1 0 7.6 3.8 3.8 0 0 1 0-7.6ZM12 3.5v1.5M12 19v1.5M3.5 12H5M19 12h1.5M6 6l1 1M17 17l1 1M18 6l-1 1M7 17l-1 1",
  moon: "M19 14.2A7.5 7.5 0 0 1 9.8 5 7.5 7.5 0 1 0 19 14.2Z",
  halves: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16ZM12 4v16M12 8h4M12 12h7.5M12 16h4",
  copy: "M9 9h10v10H9zM6.5 15H5V5h10v1.5",
  check: "M5.5 12.5l4.5 4.5L18.5 7.5",
  undo: "M8.5 6L5 9.5 8.5 13M5.5 9.5H14a4.5 4.5 0 0 1 0 9h-3",
  out: "M10 5H5v14h5M14 8l4 4-4 4M17.5 12H10",
  spark:
    "M12 4c.8 4.6 2.4 6.2 7 7-4.6.8-6.2 2.4-7 7-.8-4.6-2.4-6.2-7-7 4.6-.8 6.2-2.4 7-7ZM18.5 16.5v3M17 18h3",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, filled = false }: { name: IconName; filled?: boolean }) {
  return (
    <svg className={filled ? "icon filled" : "icon"} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
