/**
 * Writes gradpool-VERSION.cdx.json (CycloneDX), a list of all that the package brings along, with versions, checksums and
 * licences, and fails on a licence that is not known to fit. The test that builds the package holds what it contains.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Any program may bring these along unchanged (MPL-2.0: file by file). */
const LICENCES = ["0BSD", "Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unlicense"];

/** Packages whose package.json names no licence that SPDX knows, and the one in their files. */
const NAMED_ELSEWHERE = { "dejavu-fonts-ttf": "Bitstream-Vera" };

const text = execFileSync("npm", ["sbom", "--sbom-format", "cyclonedx", "--omit", "dev"], {
  ...{ cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 26 },
});
const { metadata, components } = JSON.parse(text);

const names = ({ name, licenses = [] }) =>
  licenses.length > 0
    ? licenses.map(({ license, expression }) => expression ?? license.id ?? license.name)
    : [NAMED_ELSEWHERE[name] ?? "none"];
const isKnown = (component) =>
  component.name in NAMED_ELSEWHERE || names(component).every((name) => LICENCES.includes(name));
const counts = new Map();
for (const licence of components.flatMap(names)) counts.set(licence, (counts.get(licence) ?? 0) + 1);

const unknown = components.filter((component) => !isKnown(component));
if (unknown.length > 0) {
  for (const component of unknown)
    console.error(`${component.name} ${component.version}: ${names(component).join(", ")}`);
  console.error("sbom: read these licences, and add those that fit to LICENCES in scripts/sbom.mjs");
  process.exit(1);
}
const file = `gradpool-${metadata.component.version}.cdx.json`;
writeFileSync(join(ROOT, file), text);
const listed = [...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${count}`);
console.log(`${file}: ${components.length} packages; ${listed.join(", ")}`);
