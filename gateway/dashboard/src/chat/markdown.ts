// Markdown by blocks, as models write it: paragraphs, headings, lists, code, quotations, tables, lines. What is not known
// stands as text. A part that is still being written is read like a whole one.

import { inline, type Inline } from "./inline";

export type Block =
  | { kind: "paragraph"; of: Inline[] }
  | { kind: "heading"; level: number; of: Inline[] }
  | { kind: "code"; language: string; text: string }
  | { kind: "list"; ordered: boolean; start: number; items: Block[][] }
  | { kind: "quote"; of: Block[] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "line" };

/** Lists and quotations within each other beyond this are text. */
const DEPTH = 6;
/** Columns of a table. */
const COLUMNS = 32;

const FENCE = /^ {0,3}(`{3,}|~{3,}) {0,9}([\w+#.-]{0,40})/;
const HEADING = /^ {0,3}(#{1,6})(?: |$)/;
const ITEM = /^( {0,40})([-*+]|\d{1,9}[.)])(?: |$)/;
const QUOTE = /^ {0,3}> ?/;

export function markdown(text: string): Block[] {
  return blocks(text.replace(/\r\n?/g, "\n").replaceAll("\t", "    ").split("\n"), 0);
}

function blocks(lines: string[], depth: number): Block[] {
  const all: Block[] = [];
  const nests = depth < DEPTH;
  let paragraph: string[] = [];
  const flush = (): void => {
    if (paragraph.length > 0) all.push({ kind: "paragraph", of: inline(paragraph.join("\n")) });
    paragraph = [];
  };
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] as string;
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (line.trim() === "") {
      flush();
      at++;
    } else if (fence) {
      flush();
      const [block, next] = fenced(lines, at, fence[1] as string, fence[2] as string);
      all.push(block);
      at = next;
    } else if (heading) {
      flush();
      const level = (heading[1] as string).length;
      const words = line.slice(heading[0].length).trim().split(" ");
      if (/^#+$/.test(words[words.length - 1] as string)) words.pop();
      all.push({ kind: "heading", level, of: inline(words.join(" ")) });
      at++;
    } else if (isLine(line)) {
      flush();
      all.push({ kind: "line" });
      at++;
    } else if (nests && QUOTE.test(line)) {
      flush();
      const from = at;
      while (at < lines.length && QUOTE.test(lines[at] as string)) at++;
      all.push({ kind: "quote", of: blocks(lines.slice(from, at).map((line) => line.replace(QUOTE, "")), depth + 1) });
    } else if (nests && ITEM.test(line)) {
      flush();
      const [block, next] = list(lines, at, depth);
      all.push(block);
      at = next;
    } else if (paragraph.length === 0 && isTable(line, lines[at + 1])) {
      const [block, next] = table(lines, at);
      all.push(block);
      at = next;
    } else {
      paragraph.push(line.trimStart());
      at++;
    }
  }
  flush();
  return all;
}

/** Code up to the end of the fence, or of what has come so far. */
function fenced(lines: string[], at: number, mark: string, language: string): [Block, number] {
  const indent = (lines[at] as string).indexOf(mark);
  let end = at + 1;
  const closes = (line: string): boolean => {
    const text = line.trim();
    return text.length >= mark.length && text === (mark[0] as string).repeat(text.length);
  };
  while (end < lines.length && !closes(lines[end] as string)) end++;
  const inside = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent, indentOf(line))));
  return [{ kind: "code", language, text: inside.join("\n") }, end + 1];
}

const indentOf = (line: string): number => line.length - line.trimStart().length;

function isLine(line: string): boolean {
  const text = line.replaceAll(" ", "");
  return text.length >= 3 && "-*_".includes(text[0] as string) && text === (text[0] as string).repeat(text.length);
}

function list(lines: string[], at: number, depth: number): [Block, number] {
  const [, spaces = "", mark = ""] = ITEM.exec(lines[at] as string) ?? [];
  const indent = spaces.length;
  const ordered = /\d/.test(mark);
  const items: Block[][] = [];
  let item: string[] = [];
  let width = 0;
  let blank = false;
  let code = false;
  for (; at < lines.length; at++) {
    const line = lines[at] as string;
    const begins = ITEM.exec(line);
    if (line.trim() === "") {
      blank = true;
      item.push("");
      continue;
    }
    const inside = indentOf(line);
    if (begins && inside < indent + 2 && !(code && inside >= width) && !isLine(line)) {
      if (/\d/.test(begins[2] as string) !== ordered) break;
      if (width > 0) items.push(blocks(item, depth + 1));
      width = begins[0].length;
      item = [line.slice(width)];
      code = FENCE.test(item[0] as string);
    } else if (inside > indent + 1) {
      item.push(line.slice(Math.min(inside, width)));
      if (FENCE.test(line.trimStart())) code = !code;
    } else if (!blank && !FENCE.test(line) && !HEADING.test(line) && !QUOTE.test(line) && !isLine(line)) {
      // A line that goes on without being told apart.
      item.push(line);
    } else break;
    blank = false;
  }
  items.push(blocks(item, depth + 1));
  return [{ kind: "list", ordered, start: ordered ? Number.parseInt(mark, 10) : 1, items }, at];
}

function cells(line: string): string[] {
  const text = line.trim().replace(/^\|/, "");
  const all = text.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  if (all.length > 1 && all[all.length - 1] === "") all.pop();
  return all.slice(0, COLUMNS);
}

function isTable(head: string, rule: string | undefined): boolean {
  if (!rule || !head.includes("|") || !rule.includes("-")) return false;
  const columns = cells(rule);
  return columns.every((cell) => /^:?-+:?$/.test(cell)) && columns.length === cells(head).length;
}

function table(lines: string[], at: number): [Block, number] {
  const head = cells(lines[at] as string);
  const rows: Inline[][][] = [];
  let next = at + 2;
  for (; next < lines.length && (lines[next] as string).includes("|"); next++) {
    const row = cells(lines[next] as string);
    rows.push(head.map((_, column) => inline(row[column] ?? "")));
  }
  return [{ kind: "table", head: head.map((cell) => inline(cell)), rows }, next];
}
