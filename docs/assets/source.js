// The scheme that was chosen on the other pages, else the system's.
const kept = Object.keys(localStorage).find((key) => key.endsWith(".__palette"));
const chosen = kept && JSON.parse(localStorage.getItem(kept))?.color?.scheme;
const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "slate" : "default";
document.body.dataset.mdColorScheme = chosen || dark;
