import { defineConfig } from "vite";

// Names without hashes: the gateway embeds exactly these files (gateway/src/dashboard) and answers with an ETag.
export default defineConfig({
  base: "./",
  build: {
    outDir: "dist",
    assetsDir: "ui",
    target: "es2022",
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        entryFileNames: "ui/app.js",
        chunkFileNames: "ui/[name].js",
        assetFileNames: "ui/app.[ext]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
