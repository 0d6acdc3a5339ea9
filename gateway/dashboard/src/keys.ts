// Keys of the whole page. Views add theirs while they are shown.

import { useEffect, useRef } from "preact/hooks";

export interface Binding {
  keys: string[];
  what: string;
  run: (event: KeyboardEvent) => void;
}

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** Runs bindings on single keys, except while somebody types or a dialog is open. */
export function useKeys(bindings: Binding[]): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (typing(event.target) || document.querySelector("dialog[open]")) return;
      // A focused button or link keeps its own keys.
      if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.closest("a,button,[role=button]")) return;
      const binding = latest.current.find(({ keys }) => keys.includes(event.key));
      if (!binding) return;
      event.preventDefault();
      binding.run(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** Puts the cursor into the search field of the view. */
export function focusSearch(): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  field?.focus();
  field?.select();
}
