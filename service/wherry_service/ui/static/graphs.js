// Graphs over time, drawn by uPlot of the columns that /series gives (ui/pages/series.py).
(() => {
  "use strict";

  const EVERY_MS = 5000;
  const names = {
    succeeded: "succeeded", failed: "failed", p50: "p50", p95: "p95", backlog: "waiting", running: "running",
    containers: "containers", cold_starts: "cold starts", cores: "processors", memory: "memory",
  };

  function colour(name) {
    const of = getComputedStyle(document.documentElement);
    const kinds = { failed: "--bad", p95: "--warn", backlog: "--warn", cold_starts: "--bar-draining", succeeded: "--good" };
    return of.getPropertyValue(kinds[name] || "--accent").trim();
  }

  function number(value) {
    if (value === null || value === undefined) return "–";
    return value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
  }

  function clock(seconds, span) {
    const at = new Date(seconds * 1000);
    const two = (value) => String(value).padStart(2, "0");
    const day = `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
    return span > 2 * 86400 ? day : time;
  }

  function options(place, lines) {
    const of = getComputedStyle(document.documentElement);
    const ink = of.getPropertyValue("--soft").trim();
    const line = of.getPropertyValue("--line").trim();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px sans-serif" };
    return {
      width: Math.max(200, place.clientWidth),
      height: 180,
      cursor: { sync: { key: "graphs" }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, space: 64, values: (graph, ticks) => ticks.map((at) => clock(at, graph.scales.x.max - graph.scales.x.min)) },
        { ...axis, size: 52, values: (_, ticks) => ticks.map(number) },
      ],
      series: [
        { label: "at", value: (graph, at) => (at ? clock(at, 0) : "–") },
        ...lines.map((name) => ({
          label: names[name], stroke: colour(name), width: 2, value: (_, value) => number(value),
          points: { size: 5 }, spanGaps: false,
        })),
      ],
    };
  }

  function summary(lines, columns) {
    return lines.map((name) => {
      const found = columns[name].filter((value) => value !== null);
      return `${names[name]}: now ${number(found.at(-1))}, at most ${number(found.length ? Math.max(...found) : null)}`;
    }).join("; ");
  }

  function begin(section) {
    const places = [...section.querySelectorAll(".graph")];
    const drawn = new Map();
    let minutes = 60;
    let timer = 0;
    let asked = 0;

    function draw(columns) {
      if (columns.at.length < 2) {
        for (const place of places) place.textContent = "Nothing to draw yet.";
        return;
      }
      for (const place of places) {
        const lines = place.dataset.lines.split(" ");
        const data = [columns.at, ...lines.map((name) => columns[name])];
        if (drawn.has(place)) drawn.get(place).setData(data);
        else {
          place.textContent = "";
          drawn.set(place, new uPlot(options(place, lines), data, place));
        }
        const caption = place.parentElement.querySelector("figcaption").textContent;
        place.setAttribute("aria-label", `${caption}. ${summary(lines, columns)}`);
      }
    }

    async function look() {
      clearTimeout(timer);
      const mine = ++asked;
      const there = new URL(section.dataset.series, location.href);
      there.searchParams.set("minutes", minutes);
      try {
        const headers = { [section.dataset.proofHeader]: section.dataset.proof, Accept: "application/json" };
        const answer = await fetch(there, { headers });
        if (mine !== asked) return;
        if (answer.ok) draw(await answer.json());
        if (answer.status === 401 || answer.status === 403) return;
      } catch { /* the service is away: asked again */ }
      if (mine === asked) timer = setTimeout(look, document.hidden ? 6 * EVERY_MS : EVERY_MS);
    }

    function again() {
      for (const graph of drawn.values()) graph.destroy();
      drawn.clear();
      look();
    }

    for (const button of section.querySelectorAll("[data-minutes]")) {
      button.addEventListener("click", () => {
        minutes = Number(button.dataset.minutes);
        for (const other of section.querySelectorAll("[data-minutes]")) other.setAttribute("aria-pressed", other === button);
        again();
      });
    }
    new ResizeObserver(() => {
      for (const [place, graph] of drawn) graph.setSize({ width: Math.max(200, place.clientWidth), height: 180 });
    }).observe(section);
    document.addEventListener("wherry:theme", again);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
    look();
  }

  for (const section of document.querySelectorAll(".graphs")) begin(section);
})();
