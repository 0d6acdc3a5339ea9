import { render } from "preact";
import "./style/base.css";
import "./style/parts.css";
import "./style/views.css";
import { App } from "./app";

render(<App />, document.getElementById("app") as HTMLElement);
