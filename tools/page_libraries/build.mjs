// Build src/learnalign/exploring/page/libraries.{js,css} and their licences: `make page-libraries`.
import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const page = join(here, "../../src/learnalign/exploring/page");

const result = await build({
  absWorkingDir: here,
  entryPoints: ["libraries.js"],
  bundle: true,
  minify: true,
  metafile: true,
  format: "iife",
  globalName: "libraries",
  target: "es2022",
  legalComments: "none",
  outfile: join(page, "libraries.js"),
});
const styles = readFileSync(join(here, "node_modules/slickgrid/dist/styles/css/slick.grid.css"), "utf8");
writeFileSync(join(page, "libraries.css"), styles.replace(/\/\*#.*?\*\//gs, ""));

const packages = new Set(
  Object.keys(result.metafile.inputs)
    .map((path) => path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[0])
    .filter(Boolean),
);
const licences = [...packages].sort().map((folder) => {
  const path = join(here, folder);
  const { name, version, license } = JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
  const file = readdirSync(path).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(path, file), "utf8").trim() : "";
  return `${name} ${version} (${license})\n\n${text}\n`;
});
writeFileSync(join(page, "libraries.LICENSES.txt"), licences.join("\n---\n\n"));
