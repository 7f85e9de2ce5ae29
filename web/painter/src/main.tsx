/** Puts the page into the document. */

import { createRoot } from "react-dom/client";
import { App } from "./App";
import { kept } from "./logic/keeping";
import { page } from "./page";
import "./styles/fonts.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/maps.css";
import "./styles/page.css";
import "./styles/dialogs.css";

const theme = kept("theme");
if (theme === "light" || theme === "dark") page.set({ theme });

const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
