// A conversation as it is followed, over broken connections and reloads.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "../api";
import { listen } from "../sse";
import { chat, type Operation } from "./api";
import { NOTHING, happened, withOperation, type Transcript } from "./transcript";

/** Events that come within this time are drawn at once. */
const DRAWN_MS = 40;

export interface Followed {
  transcript: Transcript;
  /** Why the gateway does not tell any more. */
  refused: Problem | null;
  /** What an answer of the gateway says of an operation, before the stream does. */
  learn: (operation: Operation) => void;
}

export function useTranscript(id: string): Followed {
  const [transcript, setTranscript] = useState(NOTHING);
  const [refused, setRefused] = useState<Problem | null>(null);
  const learn = useRef<Followed["learn"]>(() => undefined);
  useEffect(() => {
    const controller = new AbortController();
    let now = NOTHING;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const become = (next: Transcript): void => {
      now = next;
      timer ??= setTimeout(() => {
        timer = undefined;
        setTranscript(now);
      }, DRAWN_MS);
    };
    learn.current = (operation) => become(withOperation(now, operation));
    const take = ({ event, data }: { event: string; data: string }): boolean => {
      become(happened(now, event, data));
      return false;
    };
    void listen(chat.events(id), "", take, controller.signal).then((problem) => {
      if (!controller.signal.aborted) setRefused(problem);
    });
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [id]);
  return { transcript, refused, learn: (operation) => learn.current(operation) };
}
