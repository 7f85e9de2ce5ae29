import { defineConfig } from "vite";

// The service that answers /api while the page is being worked on: PAINTER_URL=http://127.0.0.1:3035
const service = process.env["PAINTER_URL"] ?? "http://127.0.0.1:3035";

export default defineConfig({
  base: "/",
  build: {
    outDir: process.env["PAINTER_SITE"] ?? "../../services/painter/site",
    emptyOutDir: true,
    target: "es2022",
    // Every file is one that the content policy of the service knows: nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": service, "/view": service } },
});
