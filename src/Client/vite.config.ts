import { defineConfig } from "vite";

// `npm run dev` serves the page with hot reload and passes signalling and API calls on to `./run`.
const backend = process.env["TRANSCRIBE_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  build: { target: "es2022", sourcemap: true, chunkSizeWarningLimit: 600 },
  server: {
    proxy: {
      "/rtc": { target: backend, ws: true },
      "/v1": { target: backend },
    },
  },
});
