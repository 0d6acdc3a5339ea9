// Where something is said: Enter sends, Shift and Enter break the line. What was typed stays until it is taken.

import { useEffect, useRef, useState } from "preact/hooks";
import { message } from "../parts/dialog";
import type { Message } from "./api";

/** Longest message, in bytes of UTF-8. */
const MOST = 65_536;

interface Props {
  /** What was typed is kept under this name until the tab is closed. */
  name: string;
  placeholder: string;
  /** Models that may be asked for; the first is taken by itself. */
  models: string[];
  disabled?: boolean;
  /** Takes a message, or throws why not. */
  send: (message: Message) => Promise<void>;
}

/** An id of one's own; `crypto.randomUUID` is only there where the page came by https. */
const ownId = (): string => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function Composer({ name, placeholder, models, disabled, send }: Props) {
  const place = `asya.draft.${name}`;
  const [text, setText] = useState(() => sessionStorage.getItem(place) ?? "");
  const [model, setModel] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  /** The id of what is typed: sending it once more after an answer was lost says it once. */
  const id = useRef({ text: "", id: "" });
  useEffect(() => {
    // Where there is no keyboard, one on the screen would hide what was said.
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, []);
  const write = (next: string): void => {
    setText(next);
    if (next) sessionStorage.setItem(place, next);
    else sessionStorage.removeItem(place);
  };
  const submit = async (): Promise<void> => {
    const said = text.trim();
    if (busy || disabled || !said) return;
    if (new TextEncoder().encode(said).length > MOST) {
      setProblem(`A message has at most ${MOST / 1024} KiB.`);
      return;
    }
    if (id.current.text !== said) id.current = { text: said, id: ownId() };
    setBusy(true);
    setProblem("");
    try {
      await send({ text: said, id: id.current.id, ...(model ? { options: { model } } : {}) });
      id.current = { text: "", id: "" };
      write("");
    } catch (refused) {
      setProblem(message(refused));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <div class="composer-row">
        <textarea
          ref={field}
          rows={Math.min(8, text.split("\n").length)}
          value={text}
          placeholder={placeholder}
          aria-label="Message"
          aria-keyshortcuts="Enter"
          readOnly={busy}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur();
            // An Enter that ends a word of an input method sends nothing.
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            void submit();
          }}
        />
        {models.length > 1 && (
          <select aria-label="Model" title="Model" value={model} onChange={(event) => setModel(event.currentTarget.value)}>
            <option value="">{models[0]}</option>
            {models.slice(1).map((model) => (
              <option key={model}>{model}</option>
            ))}
          </select>
        )}
        <button type="submit" class="primary" disabled={busy || disabled || !text.trim()}>
          {busy ? "Sending…" : "Send"}
        </button>
      </div>
    </form>
  );
}
