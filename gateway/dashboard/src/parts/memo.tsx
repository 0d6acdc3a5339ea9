// A component that draws again only when its properties differ.

import { Component, type ComponentChild, type FunctionComponent } from "preact";

function shallow<P extends object>(a: P, b: P): boolean {
  const keys = Object.keys(a) as (keyof P)[];
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

export function memo<P extends object>(
  draw: (props: P) => ComponentChild,
  same: (before: P, after: P) => boolean = shallow,
): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props, next);
    }
    override render() {
      return draw(this.props);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}
