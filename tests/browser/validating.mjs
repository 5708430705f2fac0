// Reads pages, each a line of JSON, and answers with a line of what html-validate finds in each.
// One process for many pages: starting it takes longer than the checking.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { HtmlValidate } from "html-validate";

const checker = new HtmlValidate(JSON.parse(readFileSync(new URL("html-validate.json", import.meta.url))));
for await (const line of createInterface({ input: process.stdin })) {
  const report = await checker.validateString(JSON.parse(line));
  console.log(JSON.stringify(report.results));
}
