// Markdown on the screen. Everything becomes elements made here: a text of the model can be no element of its own.

import { Fragment, type ComponentChild } from "preact";
import { copy } from "../parts/bits";
import { memo } from "../parts/memo";
import type { Inline } from "./inline";
import { markdown, type Block } from "./markdown";

export function draw({ text }: { text: string }) {
  return <div class="words">{markdown(text).map(block)}</div>;
}

export const Words = memo(draw);

function block(of: Block, key: number): ComponentChild {
  switch (of.kind) {
    case "paragraph":
      return <p key={key}>{spans(of.of)}</p>;
    case "heading": {
      // Below the heading of the conversation.
      const Heading = `h${Math.min(6, of.level + 2)}` as "h3";
      return (
        <Heading key={key} class={`level-${of.level}`}>
          {spans(of.of)}
        </Heading>
      );
    }
    case "code":
      return <Code key={key} language={of.language} text={of.text} />;
    case "quote":
      return <blockquote key={key}>{of.of.map(block)}</blockquote>;
    case "line":
      return <hr key={key} />;
    case "list": {
      const items = of.items.map((item, at) => (
        <li key={at}>{item.map((of, at) => (at === 0 && of.kind === "paragraph" ? <Fragment key={at}>{spans(of.of)}</Fragment> : block(of, at)))}</li>
      ));
      return of.ordered ? (
        <ol key={key} start={of.start}>
          {items}
        </ol>
      ) : (
        <ul key={key}>{items}</ul>
      );
    }
    case "table":
      return (
        <div key={key} class="words-table" tabIndex={0} role="region" aria-label="Table">
          <table class="plain">
            <thead>
              <tr>{of.head.map((cell, at) => <th key={at}>{spans(cell)}</th>)}</tr>
            </thead>
            <tbody>
              {of.rows.map((row, at) => (
                <tr key={at}>{row.map((cell, at) => <td key={at}>{spans(cell)}</td>)}</tr>
              ))}
            </tbody>
          </table>
        </div>
      );
  }
}

function spans(parts: Inline[]): ComponentChild[] {
  return parts.map((part, key) => {
    if (typeof part === "string") return part;
    switch (part.kind) {
      case "code":
        return <code key={key}>{part.text}</code>;
      case "strong":
        return <strong key={key}>{spans(part.of)}</strong>;
      case "em":
        return <em key={key}>{spans(part.of)}</em>;
      case "del":
        return <del key={key}>{spans(part.of)}</del>;
      case "break":
        return <br key={key} />;
      case "link":
        return (
          <a key={key} href={part.href} title={part.href} target="_blank" rel="noopener noreferrer nofollow">
            {spans(part.of)}
          </a>
        );
    }
  });
}

function Code({ language, text }: { language: string; text: string }) {
  return (
    <figure class="words-code">
      <figcaption>
        <span class="faint">{language}</span>
        <button type="button" class="quiet small" onClick={() => void copy(text, "Code")} aria-label="Copy this code">
          Copy
        </button>
      </figcaption>
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
    </figure>
  );
}
