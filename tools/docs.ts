/**
 * Writes `docs/derived_scalars.md` from the table of scalars and the table of locations:
 * `deno run -A tools/docs.ts`, or with `--check` fails if the page is out of date.
 *
 * @module
 */

import { nodeTypes } from "../derivers/nodes.ts";
import { needsBackwardPass, type ScalarRow, scalarTable } from "../derivers/table.ts";
import { locationNames, locations } from "../engine/tape/locations.ts";

const page = new URL("../docs/derived_scalars.md", import.meta.url);

/** The comment above a group of rows, or a row's name, in the source of the table. */
const groupOrRow = /^ {2}(?:\/\/ (?<group>.+)|(?<row>\w+):)/;

/** Names of scalars by the comment that they stand below in the source of the table. */
export function groupsOf(source: string): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  let current: string[] = [];
  const table = source.slice(source.indexOf("export const scalarTable = {"));
  for (const line of table.slice(0, table.indexOf("\n}")).split("\n")) {
    const { group, row } = groupOrRow.exec(line)?.groups ?? {};
    if (group !== undefined) groups.set(group, current = []);
    if (row !== undefined) current.push(row);
  }
  return groups;
}

const code = (text: string) => `\`${text}\``;
const cell = (text: string) => text.replaceAll("|", "\\|");

/** A table in Markdown. */
function tableOf(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [columns, columns.map(() => "---"), ...rows.map((row) => row.map(cell))];
  return lines.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

function rowOf(name: string): string[] {
  const row: ScalarRow = scalarTable[name as keyof typeof scalarTable];
  const inputs = row.rule.inputs.map(({ label }) => label).join(", ");
  return [
    code(name),
    row.dims.map(code).join(", "),
    row.perLayer ? "each" : "none",
    code(row.nodeType),
    needsBackwardPass(row) ? "yes" : "no",
    row.backward === undefined ? "no" : "yes",
    inputs || "-",
    row.formula,
  ];
}

/** The page, from the source of the table of scalars. */
export function derivedScalarsPage(source: string): string {
  const groups = groupsOf(source);
  const names = [...groups.values()].flat();
  const missing = Object.keys(scalarTable).filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw new Error(
      `Cannot document ${missing.join(", ")}: each needs a group above it in table.ts`,
    );
  }
  const columns = [
    "name",
    "dims",
    "layers",
    "node type",
    "needs a backward pass",
    "has a backward value",
    "inputs",
    "formula",
  ];
  const sections = [...groups].map(([group, members]) =>
    `## ${group}\n\n${tableOf(columns, members.map(rowOf))}`
  );
  const ofLocations = locationNames.map((name) => {
    const { dims, perLayer } = locations[name];
    return [code(name), dims.map(code).join(", "), perLayer ? "each" : "none"];
  });
  return `<!-- deno-fmt-ignore-file -->

# Derived scalars

<!-- Written by tools/docs.ts: edit derivers/table.ts instead. -->

The ${names.length} derived scalars. How to add one: [adding_a_scalar.md](adding_a_scalar.md).

t, q: position; k: position attended to; h: head; c: channel of a head; n: neuron; i: latent;
o: channel of the residual stream. A: attention pattern, v: values, o: weighted sum of values,
a: neurons after their nonlinearity, z: latents of an autoencoder spliced into the run, w: write
vectors, G: a gradient in the residual stream. ⟦P⟧X: X where the node comes before the direction,
zeros otherwise. tri(X): rows (q, k) with k ≤ q. J: the Jacobian of a layer's activations with
respect to the residual stream before them, S: what one node writes.

${sections.join("\n\n")}

## Activation locations

Where activations and their gradients can be kept, ablated and hooked, in the order of the
forward pass.

${tableOf(["location", "dims", "layers"], ofLocations)}

## Node types

What an entry of a scalar belongs to, and what the indices of such a node count.

${
    tableOf(
      ["node type", "indices"],
      Object.entries(nodeTypes).map(([name, { dims }]) => [code(name), dims.map(code).join(", ")]),
    )
  }
`;
}

/** The page as it should be, and as it is. */
export async function readPages(): Promise<{ wanted: string; current: string }> {
  const table = new URL("../derivers/table.ts", import.meta.url);
  const wanted = derivedScalarsPage(await Deno.readTextFile(table));
  const current = await Deno.readTextFile(page).catch(() => "");
  return { wanted, current };
}

if (import.meta.main) {
  const { wanted, current } = await readPages();
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(page, wanted);
  } else if (wanted !== current) {
    console.error(
      "docs/derived_scalars.md is out of date: run deno run --allow-all tools/docs.ts",
    );
    Deno.exit(1);
  }
}
