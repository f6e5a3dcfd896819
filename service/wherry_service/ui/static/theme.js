// Before anything is painted: light or dark, as was chosen in this browser, else as the system says.
(() => {
  "use strict";
  let chosen = null;
  try { chosen = localStorage.getItem("wherry-theme"); } catch { /* not kept, then */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
