import { app } from "../../scripts/app.js";
import { title } from "./lib/words.mjs";

app.registerExtension({
  name: "tests.paged",
  async beforeRegisterNodeDef(kind, definition) {
    if (definition.name !== "PagedWord") return;
    const created = kind.prototype.onNodeCreated;
    kind.prototype.onNodeCreated = function () {
      created?.apply(this, arguments);
      this.title = title;
    };
  },
  setup() {
    document.documentElement.dataset.paged = "yes";
  },
});
