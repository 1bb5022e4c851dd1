/**
 * Text in columns.
 *
 * @module
 */

/** Columns of a terminal that output keeps within. */
export const lineWidth = 100;

/** One column of a table. */
export interface TextColumn {
  readonly title: string;
  readonly align?: "left" | "right";
}

const wide =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
const none = /\p{Mark}|\p{Cf}/u;

/** Columns of a terminal that a text takes. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    width += none.test(character) ? 0 : wide.test(character) ? 2 : 1;
  }
  return width;
}

/** Fills a text up with spaces. */
export function pad(text: string, width: number, align: "left" | "right" = "left"): string {
  const spaces = " ".repeat(Math.max(0, width - displayWidth(text)));
  return align === "left" ? text + spaces : spaces + text;
}

/**
 * Rows in aligned columns, two spaces between them, the titles first unless all are empty.
 *
 * @param options `indent`: spaces before each line.
 */
export function textTable(
  columns: readonly TextColumn[],
  rows: readonly (readonly string[])[],
  { indent = 2 }: { indent?: number } = {},
): string[] {
  const titles = columns.map(({ title }) => title);
  const all = titles.some((title) => title !== "") ? [titles, ...rows] : rows;
  const widths = columns.map((_, c) => Math.max(...all.map((row) => displayWidth(row[c] ?? ""))));
  return all.map((row) => {
    const cells = columns.map(({ align }, c) => pad(row[c] ?? "", widths[c]!, align));
    return `${" ".repeat(indent)}${cells.join("  ")}`.trimEnd();
  });
}

/** Blocks of lines beside each other, as many as fit; the others below them. */
export function sideBySide(
  blocks: readonly (readonly string[])[],
  { width = lineWidth, gap = 3 }: { width?: number; gap?: number } = {},
): string[] {
  const widthOf = (block: readonly string[]) => Math.max(0, ...block.map(displayWidth));
  const lines: string[] = [];
  for (let from = 0; from < blocks.length;) {
    let to = from + 1;
    let taken = widthOf(blocks[from]!);
    while (to < blocks.length && taken + gap + widthOf(blocks[to]!) <= width) {
      taken += gap + widthOf(blocks[to++]!);
    }
    const row = blocks.slice(from, to);
    if (from > 0) lines.push("");
    for (let i = 0; i < Math.max(...row.map(({ length }) => length)); i++) {
      const cells = row.map((block) => pad(block[i] ?? "", widthOf(block)));
      lines.push(cells.join(" ".repeat(gap)).trimEnd());
    }
    from = to;
  }
  return lines;
}
