// What all pages do beside htmx: the theme, times as people say them, forms that go at once, the state of the stream.
(() => {
  "use strict";

  const units = [[60, "s"], [60, "min"], [24, "h"], [Infinity, "d"]];

  function said(ms) {
    let value = Math.round((Date.now() - ms) / 1000);
    const ahead = value < 0;
    value = Math.abs(value);
    if (value < 2) return "now";
    for (const [size, name] of units) {
      if (value < size) return ahead ? `in ${value} ${name}` : `${value} ${name} ago`;
      value = Math.floor(value / size);
    }
    return "";
  }

  function times(root) {
    for (const found of root.querySelectorAll("time[data-at]")) {
      const text = said(Number(found.dataset.at));
      if (found.textContent !== text) found.textContent = text;
    }
  }

  function dark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  document.getElementById("theme")?.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("wherry-theme", next); } catch { /* not kept, then */ }
    document.dispatchEvent(new CustomEvent("wherry:theme"));
  });

  document.getElementById("environment")?.addEventListener("change", (event) => event.target.form.submit());

  for (const chosen of document.querySelectorAll("select[data-submits]")) {
    chosen.addEventListener("change", () => chosen.form.submit());
  }

  for (const form of document.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (!confirm(form.dataset.confirm)) event.preventDefault();
    });
  }

  const menu = document.querySelector(".menu-button");
  menu?.addEventListener("toggle", () => document.body.classList.toggle("menu-open", menu.open));

  const notice = document.getElementById("notice");
  document.body.addEventListener("htmx:sseError", () => {
    if (notice && !notice.dataset.final) notice.textContent = "The connection is lost. Trying again …";
  });
  document.body.addEventListener("htmx:sseOpen", () => {
    if (notice && !notice.dataset.final) notice.textContent = "";
  });
  document.body.addEventListener("htmx:sseClose", () => { if (notice) notice.dataset.final = "1"; });
  document.body.addEventListener("htmx:afterSwap", (event) => times(event.target));

  times(document);
  setInterval(() => times(document), 1000);
})();
