// Runs before the first paint, so that a chosen theme does not flash. The policy of the page allows no inline script.
try {
  const chosen = localStorage.getItem("asya.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's own preference holds.
}
