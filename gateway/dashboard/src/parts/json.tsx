// Contents as JSON: indented, coloured, bounded until somebody asks for all of it.

import { useMemo, useState } from "preact/hooks";
import type { Json } from "../api";
import { bytes } from "../format";
import { copy } from "./bits";

/** More characters than this make a page slow. */
const SHOWN = 60_000;
/** More than this many coloured pieces too. */
const PIECES = 6_000;

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function coloured(text: string) {
  const pieces: (string | preact.JSX.Element)[] = [];
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (pieces.length > PIECES) break;
    if (match.index > from) pieces.push(text.slice(from, match.index));
    const [whole, string, colon] = match;
    if (string && colon) pieces.push(<span class="j-key">{string}</span>, colon);
    else pieces.push(<span class={string ? "j-string" : "j-word"}>{whole}</span>);
    from = match.index + whole.length;
  }
  pieces.push(text.slice(from));
  return pieces;
}

export function JsonBox(props: { value: Json; name: string }) {
  const [all, setAll] = useState(false);
  const text = useMemo(() => JSON.stringify(props.value, null, 2), [props.value]);
  const cut = !all && text.length > SHOWN;
  const shown = useMemo(() => coloured(cut ? text.slice(0, SHOWN) : text), [text, cut]);
  return (
    <section class="json" aria-label={props.name}>
      <header>
        <h3>{props.name}</h3>
        <span class="num faint">{bytes(new TextEncoder().encode(JSON.stringify(props.value)).length)}</span>
        <button type="button" class="small" onClick={() => void copy(text, props.name)}>
          Copy
        </button>
      </header>
      <pre tabIndex={0}>{shown}</pre>
      {cut && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {bytes(text.length)}
        </button>
      )}
    </section>
  );
}
