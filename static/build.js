// Bundles what the browser gets into static/dist: app.js, theme.js, app.css, charts.js and charts.css for pages with charts,
// screen.js, serial.js and serial.css for consoles, the icon sprite, the favicon.
import { cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
// Made beside and moved into place whole, so that a running panel never serves half of it.
const out = join(here, `../node_modules/.dist-${process.pid}`);
const outlines = join(here, "../node_modules/@tabler/icons/icons/outline");

async function bundle() {
  await build({
    entryPoints: [
      "js/app.js",
      "js/theme.js",
      "js/charts.js",
      "js/console/screen.js",
      "js/console/serial.js",
      "css/app.css",
      "css/charts.css",
    ].map((path) => join(here, path)),
    entryNames: "[name]",
    outdir: out,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    logLevel: "warning",
  });
}

async function symbol(name) {
  const svg = await readFile(join(outlines, `${name}.svg`), "utf8");
  const paths = svg.match(/<path[^>]*>/g).filter((path) => !path.includes('stroke="none"'));
  return `<symbol id="${name}" viewBox="0 0 24 24">${paths.join("")}</symbol>`;
}

async function sprite() {
  const names = JSON.parse(await readFile(join(here, "icons.json"), "utf8"));
  const symbols = await Promise.all(names.map(symbol));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`;
  await writeFile(join(out, "icons.svg"), svg);
}

await mkdir(out, { recursive: true });
await Promise.all([bundle(), sprite(), cp(join(here, "img"), out, { recursive: true })]);
await rm(dist, { recursive: true, force: true });
await rename(out, dist);
