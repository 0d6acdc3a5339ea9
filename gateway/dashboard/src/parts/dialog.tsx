// Dialogs by the platform: focus stays inside, Escape closes, focus returns to where it was.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api";

export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.wide ? "wide" : ""}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onMouseDown={(event) => {
        if (event.target === dialog.current) props.onClose();
      }}
    >
      <div class="dialog-body">
        <h2 id="dialog-title">{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}

/** A form in a dialog whose action may fail: the reason is shown, and nothing that was typed is lost. */
export function Act(props: {
  title: string;
  action: string;
  danger?: boolean;
  wide?: boolean;
  disabled?: boolean;
  run: () => Promise<void>;
  onClose: () => void;
  children?: ComponentChildren;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || props.disabled) return;
    setBusy(true);
    setError(null);
    try {
      await props.run();
    } catch (problem) {
      setError(message(problem));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={props.title} onClose={props.onClose} wide={props.wide ?? false}>
      <form onSubmit={(event) => void submit(event)}>
        {props.children}
        {error && (
          <p class="problem" role="alert">
            {error}
          </p>
        )}
        <div class="row end">
          <button type="button" onClick={props.onClose}>
            Close
          </button>
          <button type="submit" class={props.danger ? "danger" : "primary"} disabled={busy || props.disabled}>
            {busy ? "Working…" : props.action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** A failure as one text for a person. */
export function message(problem: unknown): string {
  if (!(problem instanceof Problem)) return problem instanceof Error ? problem.message : String(problem);
  // What the sentence says already is not said twice.
  const news = problem.fields.filter(({ reason }) => !problem.message.includes(reason));
  const fields = news.map(({ field, reason }) => (field && !reason.includes(field) ? `${field}: ${reason}` : reason)).join("; ");
  return fields ? `${problem.message} (${fields})` : problem.message;
}
