// Conversations with agents and operations that wait for approval: their shapes, and the calls.

import { call, callText, type Json } from "../api";

export type State = "idle" | "running" | "input-required";
export type Risk = "low" | "medium" | "high";
export type Phase = "waiting" | "rejected" | "expired" | "approved" | "claimed" | "done";
export type Verdict = "approve" | "reject";

export interface Agent {
  name: string;
  description?: string;
  /** Those that a message may ask for; the first is taken by itself. */
  models?: string[];
  tools?: { name: string; risk?: Risk; approval?: boolean }[];
}

export interface Session {
  id: string;
  title: string;
  owner: string;
  shared?: string[];
  agent: string;
  state: State;
  /** Number of the last entry. */
  head: number;
  envelope?: string | null;
  waiting?: string[];
  usage?: { calls: number; input: number; output: number };
  created: string;
  updated: string;
}

export interface Call {
  id: string;
  name: string;
  arguments: Json;
}

export type Body =
  | { kind: "user"; by: string; text: string }
  | { kind: "assistant"; model: string; text?: string; calls?: Call[] }
  | { kind: "tool"; call: string; name: string; text: string; failed?: boolean }
  | { kind: "summary"; text: string; upto: number }
  | { kind: "notice"; code: string; text: string };

export type Entry = Body & { n: number; at: string };
export type Of<K extends Body["kind"]> = Extract<Entry, { kind: K }>;

/** A piece of entry `n` while it is written; `offset` in bytes of UTF-8. */
export interface Delta {
  n: number;
  offset: number;
  text: string;
}

export interface Operation {
  id: string;
  session: string;
  call: string;
  tool: string;
  actor: string;
  summary: string;
  verb: string;
  target: string;
  diff?: string;
  /** Exactly what will be done; `hash` is its hash. */
  operation: Json;
  hash: string;
  risk: Risk;
  review?: { person?: boolean | null; tool?: boolean | null; reason?: string };
  four_eyes?: boolean;
  expires: string;
  requester: string;
  phase: Phase;
  created: string;
  decision?: { verdict: Verdict; by: string; comment?: string; at: string } | null;
  outcome?: { ok: boolean; text: string } | null;
}

export interface Message {
  text: string;
  /** The same message again changes nothing. */
  id?: string;
  options?: { model?: string };
}

export interface Taken {
  fate: "running" | "waiting" | "known";
}

const at = (id: string): string => `/sessions/${encodeURIComponent(id)}`;

export const chat = {
  agents: (signal?: AbortSignal) => call<{ agents: Agent[] }>("GET", "/agents", {}, undefined, signal),
  sessions: (all: boolean, limit: number, signal?: AbortSignal) =>
    call<{ sessions: Session[]; next?: string | null }>("GET", "/sessions", { limit, all: all ? "true" : undefined }, undefined, signal),
  begin: (agent: string, { text, options }: Message) =>
    call<Session>("POST", "/sessions", {}, { agent, message: text, ...(options ? { options } : {}) }),
  say: (id: string, message: Message) => call<Taken>("POST", `${at(id)}/messages`, {}, message),
  change: (id: string, changes: { title?: string; shared?: string[] }) => call<Session>("PATCH", at(id), {}, changes),
  remove: (id: string) => call<void>("DELETE", at(id)),
  cancel: (id: string) => call<Session>("POST", `${at(id)}/cancel`),
  exported: (id: string) => callText(`${at(id)}/export`),
  events: (id: string) => `${at(id)}/events`,
};

export const approvals = {
  waiting: (limit: number, signal?: AbortSignal) =>
    call<{ operations: Operation[]; next?: string | null }>("GET", "/approvals", { phase: "waiting", limit }, undefined, signal),
  look: (id: string, signal?: AbortSignal) =>
    call<Operation>("GET", `/approvals/${encodeURIComponent(id)}`, {}, undefined, signal),
  /** What is decided is what `operation` showed: its hash goes with it. */
  decide: ({ id, hash }: Operation, verdict: Verdict, comment: string) =>
    call<Operation>("POST", `/approvals/${encodeURIComponent(id)}`, {}, { verdict, hash, ...(comment ? { comment } : {}) }),
};
