// Markdown within a line, as models write it: code, strong, emphasis, deletions, links. All else is text as it stands,
// HTML too. Time grows with the length of the text, whatever it says.

export type Inline = string | { kind: "code"; text: string } | { kind: "strong" | "em" | "del"; of: Inline[] } | Link | { kind: "break" };

export interface Link {
  kind: "link";
  /** Only ever http or https. */
  href: string;
  of: Inline[];
}

/** Emphasis within emphasis beyond this is text. */
const DEPTH = 6;
/** Longest text of a link, and longest address: a bracket is not looked for without end. */
const LABEL = 500;
const ADDRESS = 2000;

/** The marks and what they mean, longer ones first. */
const MARKS = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "del"],
  ["*", "em"],
  ["_", "em"],
] as const;

const SPACE = /\s/;
const WORD = /[\p{L}\p{N}]/u;
const SPECIAL = /[\\`*_~[!\nhH]/g;

/** An address that a link may lead to: http or https, and nothing that a browser would read otherwise than a person. */
export function address(text: string): string | null {
  if (!/^https?:\/\/[^\s\p{Cc}\p{Cf}<>"\\]+$/iu.test(text)) return null;
  try {
    const url = new URL(text);
    // What stands before an "@" looks like a host and is none.
    return (url.protocol === "http:" || url.protocol === "https:") && !url.username && !url.password ? url.href : null;
  } catch {
    return null;
  }
}

export function inline(text: string, depth = 0, linked = false): Inline[] {
  const parts: Inline[] = [];
  /** Marks that have no end in the rest of this text. */
  const open = new Set<string>();
  let plain = "";
  let at = 0;
  const put = (part: Inline, end: number): void => {
    if (plain) parts.push(plain);
    plain = "";
    parts.push(part);
    at = end;
  };
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text)?.index ?? text.length;
    plain += text.slice(at, next);
    at = next;
    if (at === text.length) break;
    const found =
      escaped(text, at) ??
      lineBreak(text, at, plain) ??
      code(text, at, open) ??
      (linked ? null : (link(text, at, depth) ?? bare(text, at))) ??
      (depth < DEPTH ? emphasis(text, at, open, depth, linked) : null);
    if (!found) plain += text[at++];
    else if (typeof found.part === "string") {
      plain += found.part;
      at = found.end;
    } else {
      if (found.part.kind === "break") plain = plain.trimEnd();
      put(found.part, found.end);
    }
  }
  if (plain) parts.push(plain);
  return parts;
}

type Found = { part: Inline; end: number } | null;

function escaped(text: string, at: number): Found {
  const next = text[at + 1];
  return text[at] === "\\" && next && /[!-/:-@[-`{-~]/.test(next) ? { part: next, end: at + 2 } : null;
}

/** A line ends where two spaces or a backslash say so; else lines flow together. */
function lineBreak(text: string, at: number, before: string): Found {
  if (text[at] === "\\" && text[at + 1] === "\n") return { part: { kind: "break" }, end: at + 2 };
  return text[at] === "\n" && before.endsWith("  ") ? { part: { kind: "break" }, end: at + 1 } : null;
}

function code(text: string, at: number, open: Set<string>): Found {
  if (text[at] !== "`") return null;
  let length = 1;
  while (text[at + length] === "`") length++;
  const mark = "`".repeat(length);
  const from = at + length;
  if (!open.has(mark)) {
    for (let end = text.indexOf(mark, from); end >= 0; ) {
      let after = end + length;
      while (text[after] === "`") after++;
      if (after === end + length) {
        const inner = text.slice(from, end).replaceAll("\n", " ");
        const padded = inner.length > 2 && inner.startsWith(" ") && inner.endsWith(" ") && inner.trim() !== "";
        return { part: { kind: "code", text: padded ? inner.slice(1, -1) : inner }, end: end + length };
      }
      end = text.indexOf(mark, after);
    }
    open.add(mark);
  }
  return { part: mark, end: from };
}

/** `[text](address)`. A picture is a link to it: nothing is loaded from elsewhere. */
function link(text: string, at: number, depth: number): Found {
  const from = text[at] === "!" && text[at + 1] === "[" ? at + 2 : text[at] === "[" ? at + 1 : -1;
  if (from < 0) return null;
  const middle = text.slice(from, from + LABEL + 2).indexOf("](");
  if (middle < 0) return null;
  const begin = from + middle + 2;
  const end = closing(text, begin);
  if (end < 0) return null;
  const [first = ""] = text.slice(begin, end).trim().split(/\s/, 1);
  const href = address(first.replace(/^<(.*)>$/, "$1"));
  if (!href) return null;
  const label = text.slice(from, from + middle).trim();
  // A text that names another host than the link leads to is not shown.
  const named = address(/^www\./i.test(label) ? `https://${label}` : label);
  const honest = label !== "" && (!named || new URL(named).host === new URL(href).host);
  return { part: { kind: "link", href, of: honest ? inline(label, depth + 1, true) : [href] }, end: end + 1 };
}

/** Where the bracket closes that is open at `from`, in the same line; less than 0 where it does not. */
function closing(text: string, from: number): number {
  const last = Math.min(text.length, from + ADDRESS);
  let open = 0;
  for (let at = from; at < last; at++) {
    const sign = text[at];
    if (sign === "\n") return -1;
    if (sign === "(") open++;
    else if (sign === ")" && open-- === 0) return at;
  }
  return -1;
}

/** An address as it stands in the text, without the punctuation behind it. */
function bare(text: string, at: number): Found {
  if (text[at] !== "h" && text[at] !== "H") return null;
  if (at > 0 && WORD.test(text[at - 1] as string)) return null;
  const [whole] = /^https?:\/\/[^\s<>"'`*]+/i.exec(text.slice(at, at + ADDRESS)) ?? [];
  if (!whole) return null;
  let shown = whole.replace(/[.,;:!?\])}]{1,8}$/, "");
  if (shown.includes("(") && whole[shown.length] === ")") shown += ")";
  const href = address(shown);
  return href ? { part: { kind: "link", href, of: [shown] }, end: at + shown.length } : null;
}

function emphasis(text: string, at: number, open: Set<string>, depth: number, linked: boolean): Found {
  const [mark, kind] = MARKS.find(([mark]) => text.startsWith(mark, at)) ?? [];
  if (!mark || !kind || open.has(mark)) return null;
  const from = at + mark.length;
  const first = text[from];
  if (!first || SPACE.test(first) || (mark[0] === "_" && at > 0 && WORD.test(text[at - 1] as string))) return null;
  for (let end = text.indexOf(mark, from); end >= 0; end = text.indexOf(mark, end + mark.length)) {
    // Of "***" the last one or two close, and "**" closes no "*".
    if (mark.length === 1 && text[end + 1] === mark) {
      end++;
      continue;
    }
    if (end === from || SPACE.test(text[end - 1] as string)) continue;
    if (mark.length === 2 && text[end + 2] === mark[0]) end++;
    if (mark[0] === "_" && WORD.test(text[end + mark.length] ?? "")) continue;
    return { part: { kind, of: inline(text.slice(from, end), depth + 1, linked) }, end: end + mark.length };
  }
  open.add(mark);
  return null;
}
