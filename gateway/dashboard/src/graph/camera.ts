// Where one looks at the graph from: wheel and buttons zoom, dragging pans, two fingers do both.

import { NODE_HEIGHT, NODE_WIDTH } from "./layout";

export interface View {
  x: number;
  y: number;
  scale: number;
}

const [CLOSEST, FARTHEST] = [2, 0.04];
/** A graph of two actors is not blown up to fill the screen. */
const FIT_CLOSEST = 1;
const MARGIN = 32;
/** Less is a click. */
const DRAG = 4;

export class Camera {
  private view: View = { x: 0, y: 0, scale: 1 };
  private size = { width: 0, height: 0 };
  /** Nobody has moved it: then it keeps everything in sight when the window or the graph changes. */
  private untouched = true;
  private pointers = new Map<number, { x: number; y: number }>();
  private start = { x: 0, y: 0 };
  private dragging = false;
  private readonly stopping = new AbortController();
  private readonly observer: ResizeObserver;

  constructor(
    private readonly svg: SVGSVGElement,
    private readonly show: (view: View) => void,
  ) {
    const { signal } = this.stopping;
    svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false, signal });
    svg.addEventListener("pointerdown", (event) => this.down(event), { signal });
    svg.addEventListener("pointermove", (event) => this.move(event), { signal });
    for (const end of ["pointerup", "pointercancel"] as const) {
      svg.addEventListener(end, (event) => void this.pointers.delete(event.pointerId), { signal });
    }
    // A click that ends a drag chooses nothing.
    const onClick = (event: Event): void => {
      if (this.dragging) event.stopPropagation();
      this.dragging = false;
    };
    svg.addEventListener("click", onClick, { capture: true, signal });
    this.observer = new ResizeObserver(() => {
      if (this.untouched) this.fit();
    });
    this.observer.observe(svg);
  }

  stop(): void {
    this.stopping.abort();
    this.observer.disconnect();
  }

  /** A new graph: shown whole, unless somebody has chosen where to look. */
  home(size: { width: number; height: number }): void {
    const grown = this.size.width !== size.width || this.size.height !== size.height;
    this.size = { width: size.width, height: size.height };
    if (this.untouched || grown) this.fit();
  }

  fit(): void {
    const { clientWidth, clientHeight } = this.svg;
    const { width, height } = this.size;
    if (clientWidth === 0 || width === 0) return;
    const scale = Math.min(FIT_CLOSEST, (clientWidth - 2 * MARGIN) / width, (clientHeight - 2 * MARGIN) / height);
    this.untouched = true;
    this.set({ scale, x: (clientWidth - width * scale) / 2, y: (clientHeight - height * scale) / 2 });
  }

  zoom(factor: number, x = this.svg.clientWidth / 2, y = this.svg.clientHeight / 2): void {
    const scale = Math.min(CLOSEST, Math.max(FARTHEST, this.view.scale * factor));
    const by = scale / this.view.scale;
    this.untouched = false;
    this.set({ scale, x: x - (x - this.view.x) * by, y: y - (y - this.view.y) * by });
  }

  /** Moves as little as needed to have an actor on the screen. */
  reveal(at: { x: number; y: number }): void {
    const { scale } = this.view;
    const nudge = (low: number, length: number, room: number): number => {
      if (low < MARGIN) return MARGIN - low;
      return low + length > room - MARGIN ? Math.max(MARGIN, room - MARGIN - length) - low : 0;
    };
    const dx = nudge(this.view.x + at.x * scale, NODE_WIDTH * scale, this.svg.clientWidth);
    const dy = nudge(this.view.y + at.y * scale, NODE_HEIGHT * scale, this.svg.clientHeight);
    if (dx !== 0 || dy !== 0) {
      this.untouched = false;
      this.set({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
    }
  }

  private set(view: View): void {
    this.view = view;
    this.show(view);
  }

  private place(event: { clientX: number; clientY: number }): { x: number; y: number } {
    const { left, top } = this.svg.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const { x, y } = this.place(event);
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.zoom(Math.exp(-Math.max(-200, Math.min(200, event.deltaY * lines)) * 0.0022), x, y);
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, this.place(event));
    this.start = this.place(event);
    this.dragging = false;
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.place(event);
    if (!this.dragging && Math.hypot(now.x - this.start.x, now.y - this.start.y) < DRAG) return;
    if (!this.dragging) this.svg.setPointerCapture(event.pointerId);
    this.dragging = true;
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const spread = (a: { x: number; y: number }): number => Math.hypot(a.x - other.x, a.y - other.y);
      if (spread(before) > 0) this.zoom(spread(now) / spread(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    }
    const part = other ? 0.5 : 1;
    this.untouched = false;
    this.set({ ...this.view, x: this.view.x + (now.x - before.x) * part, y: this.view.y + (now.y - before.y) * part });
  }
}
