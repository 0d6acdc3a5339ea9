// One short word about what was just done, read aloud by screen readers.

import { useEffect, useState } from "preact/hooks";

interface Toast {
  text: string;
  href?: string | undefined;
}

const SHOWN_MS = 6000;
let show: (toast: Toast) => void = () => undefined;

export function say(text: string, href?: string): void {
  show({ text, href });
}

export function Toasts() {
  const [toast, setToast] = useState<Toast | null>(null);
  useEffect(() => {
    show = setToast;
  }, []);
  useEffect(() => {
    if (!toast) return;
    const timer = setTimeout(() => setToast(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [toast]);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toast && (
        <div class="toast">
          <span>{toast.text}</span>
          {toast.href && <a href={toast.href}>Open</a>}
        </div>
      )}
    </div>
  );
}
