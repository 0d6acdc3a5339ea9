import { isValidElement, type ComponentChild, type VNode } from "preact";
import { expect, test } from "vitest";
import { address, inline, type Inline, type Link } from "./inline";
import { markdown } from "./markdown";
import { draw } from "./words";

/** All elements that a text becomes, and all its words, as they go into the page. */
function drawn(text: string): { elements: VNode<Record<string, unknown>>[]; words: string } {
  const elements: VNode<Record<string, unknown>>[] = [];
  let words = "";
  const walk = (node: ComponentChild): void => {
    if (Array.isArray(node)) node.forEach(walk);
    else if (typeof node === "string" || typeof node === "number") words += node;
    else if (isValidElement(node)) {
      const { type, props } = node as VNode<Record<string, unknown>>;
      if (typeof type !== "function") {
        elements.push(node as VNode<Record<string, unknown>>);
        walk(props["children"] as ComponentChild);
      } else walk((type as (p: unknown) => ComponentChild)(props));
    }
  };
  walk(draw({ text }));
  return { elements, words };
}

const KNOWN = new Set("div p h3 h4 h5 h6 ul ol li blockquote hr pre code strong em del br a table thead tbody tr th td figure figcaption span button".split(" "));
const ATTRIBUTES = new Set(["children", "class", "href", "title", "target", "rel", "start", "tabIndex", "role", "aria-label", "type", "onClick"]);

const HOSTILE = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg/onload=alert(1)>",
  "# <iframe src=https://evil.example></iframe>",
  "- <a href='javascript:alert(1)'>x</a>",
  "| <b onmouseover=alert(1)>a</b> | b |\n|---|---|\n| <style>*{display:none}</style> | `<i>` |",
  "```html\n</code></pre><script>alert(1)</script>\n```",
  "```\"><script>alert(1)</script>\nx\n```",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x]( javascript:alert(1))",
  "[x](java\tscript:alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](data:text/html;base64,PHNjcmlwdD4=)",
  "[x](vbscript:msgbox)",
  "[x](file:///etc/passwd)",
  "[x](//evil.example)",
  "[x](/api/v1/sessions)",
  "[x](#/approvals)",
  "[x](https://good.example@evil.example/)",
  "[x](https:\\\\evil.example)",
  "[x](https://a.example/\u202egpj.exe)",
  '[x](https://a.example/" onclick="alert(1))',
  "[<img src=x onerror=alert(1)>](https://a.example)",
  "[[x](javascript:alert(1))](https://a.example)",
  "![x](https://evil.example/leak?secret)",
  "![x](javascript:alert(1))",
  "<https://a.example/><javascript:alert(1)>",
  "[x]: javascript:alert(1)\n\n[x]",
  "&lt;script&gt;alert(1)&lt;/script&gt;",
];

test("whatever a model writes becomes known elements, and links lead to http and https only", () => {
  for (const text of HOSTILE) {
    const { elements } = drawn(text);
    for (const { type, props } of elements) {
      expect(KNOWN, text).toContain(type);
      for (const name of Object.keys(props)) expect(ATTRIBUTES, `${text}: ${name}`).toContain(name);
      if (type !== "a") continue;
      expect(props["href"], text).toMatch(/^https?:\/\/[^@]+$/);
      expect(props["rel"]).toBe("noopener noreferrer nofollow");
      expect(props["target"]).toBe("_blank");
    }
  }
});

test("HTML stands as the text that it is", () => {
  for (const text of ["<script>alert(1)</script>", "&lt;b&gt;", "a < b && c > d", "<!-- x -->"]) expect(drawn(text).words).toBe(text);
});

test("pictures are links, and nothing is loaded", () => {
  expect(inline("![chart](https://a.example/c.png)")).toEqual([{ kind: "link", href: "https://a.example/c.png", of: ["chart"] }]);
});

test("a text that names another host than its link leads to gives way to the address", () => {
  const shown = (text: string): Inline[] => (inline(text)[0] as Link).of;
  for (const text of ["https://bank.example/login", "HTTP://bank.example", "www.bank.example/x"]) {
    expect(shown(`[${text}](https://evil.example/)`), text).toEqual(["https://evil.example/"]);
  }
  expect(shown("[https://bank.example](https://bank.example/a)")).toEqual(["https://bank.example"]);
  expect(shown("[values.yaml](https://a.example/)")).toEqual(["values.yaml"]);
});

test("addresses are read as a person reads them", () => {
  expect(address("https://a.example/b?c=d#e")).toBe("https://a.example/b?c=d#e");
  for (const text of ["", "http://", "https://[", "a.example", "mailto:a@b.example", "https://a.example/\nb", "https://a\u200b.example"]) {
    expect(address(text), text).toBeNull();
  }
});

test("marks within a line", () => {
  const em = (...of: Inline[]): Inline => ({ kind: "em", of });
  const strong = (...of: Inline[]): Inline => ({ kind: "strong", of });
  const code = (text: string): Inline => ({ kind: "code", text });
  const cases: [string, Inline[]][] = [
    ["a **b** _c_ ~~d~~", ["a ", strong("b"), " ", em("c"), " ", { kind: "del", of: ["d"] }]],
    ["***b***", [strong(em("b"))]],
    ["**a *b* c**", [strong("a ", em("b"), " c")]],
    ["snake_case_name and 2 * 3 * 4", ["snake_case_name and 2 * 3 * 4"]],
    ["`a **b**` and ``c ` d``", [code("a **b**"), " and ", code("c ` d")]],
    ["open `tick and **star", ["open `tick and **star"]],
    ["\\*not\\* `\\`", ["*not* ", code("\\")]],
    ["one  \ntwo\nthree", ["one", { kind: "break" }, "two\nthree"]],
    [
      "See https://a.example/b_(c), then.",
      ["See ", { kind: "link", href: "https://a.example/b_(c)", of: ["https://a.example/b_(c)"] }, ", then."],
    ],
    ["[**a**](https://a.example/x_(y) 'title')!", [{ kind: "link", href: "https://a.example/x_(y)", of: [strong("a")] }, "!"]],
    ["[a](nowhere) [b]", ["[a](nowhere) [b]"]],
  ];
  for (const [text, parts] of cases) expect(inline(text), text).toEqual(parts);
});

test("blocks follow each other as they are written", () => {
  const text = [
    "# Why",
    "It is",
    "slow:",
    "1. first",
    "   - deep",
    "",
    "     more",
    "2. second",
    "   ```sh",
    "   kubectl get pods",
    "   - x",
    "   ```",
    "> said",
    "> - so",
    "---",
    "| a | b |",
    "|:--|--:|",
    "| 1 | `x \\| y` |",
    "| 2 |",
    "end",
  ].join("\n");
  const paragraph = (text: string): object => ({ kind: "paragraph", of: [text] });
  expect(markdown(text)).toEqual([
    { kind: "heading", level: 1, of: ["Why"] },
    paragraph("It is\nslow:"),
    {
      kind: "list",
      ordered: true,
      start: 1,
      items: [
        [paragraph("first"), { kind: "list", ordered: false, start: 1, items: [[paragraph("deep"), paragraph("more")]] }],
        [paragraph("second"), { kind: "code", language: "sh", text: "kubectl get pods\n- x" }],
      ],
    },
    { kind: "quote", of: [paragraph("said"), { kind: "list", ordered: false, start: 1, items: [[paragraph("so")]] }] },
    { kind: "line" },
    { kind: "table", head: [["a"], ["b"]], rows: [[["1"], [{ kind: "code", text: "x | y" }]], [["2"], []]] },
    paragraph("end"),
  ]);
});

test("code that is still being written is code", () => {
  expect(markdown("so:\n```yaml\nkind: Pod\n# not a heading")[1]).toEqual({ kind: "code", language: "yaml", text: "kind: Pod\n# not a heading" });
});

test("every beginning of a text can be drawn", () => {
  const text = HOSTILE.join("\n\n");
  for (let end = 0; end < text.length; end += 7) drawn(text.slice(0, end));
});

/** How long it takes at best. */
function best(before: number, text: string): number {
  const start = performance.now();
  markdown(text);
  return Math.min(before, performance.now() - start);
}

test("time grows with the length of a text, whatever it says", () => {
  const [short, times] = [1_000, 256];
  // Garbage and warm caches make a short text some ten times cheaper a letter; with the square it would be 256 times.
  const most = 32 * times;
  for (const part of ["[", "*", "**a ", "_", "`", "``a", "[](", "> ", "- ", "  - a\n", "|", "|-", "h", "https://", "\\", "~~a", "#", "a|\n-|\n", "1. "]) {
    const [less, more] = [part.repeat(short / part.length), part.repeat((short * times) / part.length)];
    // The machine may be busy: the best of some runs counts.
    let [small, large] = [Infinity, Infinity];
    for (let run = 0; run < 20 && !(run > 1 && large < most * small); run++) [small, large] = [best(small, less), best(large, more)];
    expect(large / small, part).toBeLessThan(most);
  }
}, 60_000);
