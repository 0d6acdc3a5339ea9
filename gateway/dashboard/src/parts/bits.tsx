// Small things that every view shows the same way.

import type { ComponentChildren } from "preact";
import type { Problem } from "../api";
import { ago, moment } from "../format";
import { say } from "./toast";
import { message } from "./dialog";

export function Status(props: { status: string; code?: string | undefined }) {
  const word = props.status === "failed" && props.code === "cancelled" ? "cancelled" : props.status;
  return <span class={`status ${word}`}>{word}</span>;
}

export function When(props: { time: string; now: number }) {
  const text = ago(props.time, props.now);
  return (
    <time dateTime={props.time} title={moment(props.time)} class="num">
      {text}
    </time>
  );
}

/** A view with nothing in it, and what to do next. */
export function Empty(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

/** What went wrong, where there would be contents. */
export function Failed(props: { error: Problem; what: string }) {
  const { error } = props;
  if (error.status === 0) return <Empty title={`Waiting for the gateway to show ${props.what}`} />;
  if (error.status === 403)
    return (
      <Empty title={`You may not see ${props.what}`}>
        <p>{error.message}</p>
      </Empty>
    );
  return (
    <Empty title={`The gateway could not show ${props.what}`}>
      <p role="alert">{message(error)}</p>
    </Empty>
  );
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    say("The browser does not let this page copy: it needs https or localhost");
  }
}

/** Placeholder lines of the same height as rows, while the first answer is on its way. */
export function Loading(props: { rows?: number }) {
  return (
    <div class="loading" aria-busy="true" aria-label="Loading">
      {Array.from({ length: props.rows ?? 6 }, (_, index) => (
        <div key={index} />
      ))}
    </div>
  );
}
