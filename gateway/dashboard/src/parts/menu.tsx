// Actions behind a button, by the platform: Escape or a click elsewhere closes them, and focus returns.

import { useId, useRef } from "preact/hooks";

export interface Action {
  name: string;
  danger?: boolean;
  run: () => void;
}

/** Between the button and what it opens. */
const GAP_PX = 6;

export function Menu({ label, actions }: { label: string; actions: Action[] }) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  return (
    <>
      <button ref={button} type="button" class="quiet" aria-label={label} title={label} popovertarget={id}>
        <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="icon">
          <path class="half" d="M2 6.5h3v3H2zM6.5 6.5h3v3h-3zM11 6.5h3v3h-3z" />
        </svg>
      </button>
      <div
        ref={menu}
        id={id}
        popover="auto"
        class="menu"
        role="group"
        aria-label={label}
        onBeforeToggle={() => {
          const place = button.current?.getBoundingClientRect();
          if (!place || !menu.current) return;
          menu.current.style.top = `${place.bottom + GAP_PX}px`;
          menu.current.style.right = `${document.documentElement.clientWidth - place.right}px`;
        }}
      >
        {actions.map(({ name, danger, run }) => (
          <button
            key={name}
            type="button"
            class={danger ? "danger" : ""}
            onClick={() => {
              menu.current?.hidePopover();
              run();
            }}
          >
            {name}
          </button>
        ))}
      </div>
    </>
  );
}
