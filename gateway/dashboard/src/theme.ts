// Dark or light: the system's preference, unless somebody has chosen.

import { useState } from "preact/hooks";

export type Theme = "system" | "light" | "dark";
const KEY = "asya.theme";
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>((document.documentElement.dataset["theme"] as Theme | undefined) ?? "system");
  const turn = (): void => {
    const next = NEXT[theme];
    if (next === "system") {
      delete document.documentElement.dataset["theme"];
      localStorage.removeItem(KEY);
    } else {
      document.documentElement.dataset["theme"] = next;
      localStorage.setItem(KEY, next);
    }
    setTheme(next);
  };
  return [theme, turn];
}
