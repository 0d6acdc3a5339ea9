// What keeps the page up to date: gentle polling that rests while nobody looks, and the state of the connection.

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, api, onAnswer, type Info } from "./api";

export type Connection = "starting" | "ok" | "away" | "login";

interface Session {
  connection: Connection;
  info: Info | null;
  /** The token that was there was refused. */
  refused: boolean;
}

let session: Session = { connection: "starting", info: null, refused: false };
const watchers = new Set<() => void>();
/** Calls to wake all polls at once, after the gateway came back. */
const sleepers = new Set<() => void>();

function change(next: Partial<Session>): void {
  session = { ...session, ...next };
  for (const watcher of [...watchers]) watcher();
}

onAnswer((problem) => {
  const was = session.connection;
  if (problem?.status === 401) change({ connection: "login", refused: sessionStorage.getItem("asya.token") !== null });
  else if (problem && (problem.status === 0 || problem.status === 502 || problem.status === 503 || problem.status === 504)) {
    if (was !== "login") change({ connection: "away" });
  } else if (was === "away" || was === "starting") {
    change({ connection: "ok" });
    if (was === "away") wake();
  }
});

/** Makes every poll of the page ask now. */
export function wake(): void {
  for (const sleeper of [...sleepers]) sleeper();
}

/** Asks who we are; sets the connection. */
export async function hello(): Promise<void> {
  try {
    const info = await api.info();
    change({ info, connection: "ok", refused: false });
    wake();
  } catch {
    // The listener above has noted why.
  }
}

export function useSession(): Session {
  const [, redraw] = useState(0);
  const drawn = session;
  useEffect(() => {
    const watcher = (): void => redraw((n) => n + 1);
    watchers.add(watcher);
    // It may have changed since this was drawn, when nobody watched yet.
    if (session !== drawn) watcher();
    return () => void watchers.delete(watcher);
  }, []);
  return session;
}

export interface Polled<T> {
  data: T | undefined;
  error: Problem | undefined;
  refresh: () => void;
}

/** A gateway that is away is asked this much less often. */
const AWAY_FACTOR = 2;

/**
 * Asks again `every` milliseconds after each answer, at once when `key` changes, and not at all while the page is
 * hidden or somebody must log in first. What was there stays while it asks, so that nothing flickers; a new key
 * starts empty.
 */
export function usePoll<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, every: number): Polled<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: Problem }>({ key });
  const latest = useRef(ask);
  latest.current = ask;
  const now = useRef<() => void>(() => undefined);
  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    const round = async (): Promise<void> => {
      clearTimeout(timer);
      if (busy || controller.signal.aborted) return;
      if (document.hidden || session.connection === "login") return;
      busy = true;
      let wait = every;
      try {
        const data = await latest.current(controller.signal);
        if (!controller.signal.aborted) setState({ key, data });
      } catch (error) {
        if (controller.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, "page", String(error));
        if (problem.status === 0) wait = every * AWAY_FACTOR;
        setState((before) => ({ ...(before.key === key ? before : { key }), error: problem }));
      } finally {
        busy = false;
      }
      if (!controller.signal.aborted && every > 0) timer = setTimeout(round, wait);
    };
    const start = (): void => void round();
    now.current = start;
    sleepers.add(start);
    document.addEventListener("visibilitychange", start);
    start();
    return () => {
      controller.abort();
      clearTimeout(timer);
      sleepers.delete(start);
      document.removeEventListener("visibilitychange", start);
    };
  }, [key, every]);
  const fits = state.key === key;
  return {
    data: fits ? state.data : undefined,
    error: fits ? state.error : undefined,
    refresh: () => now.current(),
  };
}

/** The time, for "12 s ago": ticks once a second, and not at all while nobody looks. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) setNow(Date.now());
    }, every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** The value, once it has rested for a while: for searches that follow the typing. */
export function useRested<T>(value: T, ms = 250): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return rested;
}
