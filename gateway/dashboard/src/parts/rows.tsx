// A long list of which only what is on the screen exists. All rows are of one height.

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

export const ROW_HEIGHT = 37;
/** Rows above and below the visible ones, so that fast scrolling shows no gaps. */
const SPARE = 12;
/** The end is asked for when it is this many rows away. */
const AHEAD = 40;

/** Scroll positions by list, so that the way back leads to the same place. */
const positions = new Map<string, number>();

export function Rows<T>(props: {
  name: string;
  items: T[];
  selected: number;
  more: boolean;
  onMore: () => void;
  onTop?: (atTop: boolean) => void;
  head: ComponentChildren;
  row: (item: T, index: number) => ComponentChildren;
  columns: string;
  label: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: positions.get(props.name) ?? 0, height: 900 });
  const { items, selected } = props;

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    element.scrollTop = positions.get(props.name) ?? 0;
    const measure = (): void => {
      const top = element.scrollTop;
      positions.set(props.name, top);
      props.onTop?.(top < ROW_HEIGHT);
      setView((before) =>
        Math.abs(before.top - top) < ROW_HEIGHT && before.height === element.clientHeight && top > 0
          ? before
          : { top, height: element.clientHeight },
      );
    };
    measure();
    element.addEventListener("scroll", measure, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", measure);
      observer.disconnect();
    };
  }, [props.name]);

  const first = Math.max(0, Math.floor(view.top / ROW_HEIGHT) - SPARE);
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / ROW_HEIGHT) + SPARE);

  useEffect(() => {
    if (props.more && last + AHEAD > items.length) props.onMore();
  }, [props.more, last, items.length]);

  useEffect(() => {
    const element = box.current;
    if (!element || selected < 0) return;
    const [top, bottom] = [selected * ROW_HEIGHT, (selected + 2) * ROW_HEIGHT];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight;
  }, [selected]);

  return (
    <div class="rows" ref={box} role="table" aria-label={props.label} aria-rowcount={items.length + 1} style={{ "--columns": props.columns }}>
      <div class="rows-head" role="row">
        {props.head}
      </div>
      <div class="rows-body" role="rowgroup" style={{ height: `${items.length * ROW_HEIGHT}px` }}>
        <div style={{ transform: `translateY(${first * ROW_HEIGHT}px)` }}>
          {items.slice(first, last).map((item, index) => props.row(item, first + index))}
        </div>
      </div>
    </div>
  );
}
