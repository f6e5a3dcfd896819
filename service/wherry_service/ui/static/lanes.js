// Containers as lanes over time, on a canvas: 200 lanes with 100 bars each are one picture of some milliseconds.
(() => {
  "use strict";
  const LANE = 22, BAR = 12, LEFT = 190, TOP = 26, EVERY_MS = 1000;

  for (const root of document.querySelectorAll(".lanes")) {
    const canvas = root.querySelector("canvas"), said = root.querySelector(".lanes-said");
    const page = JSON.parse(document.body.getAttribute("hx-headers") || "{}");
    let data = null, hits = [], hovered = null, failed = false;

    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

    function palette() {
      return {
        creating: colour("--bar-creating"), starting: colour("--bar-starting"), idle: colour("--bar-idle"),
        busy: colour("--bar-busy"), draining: colour("--bar-draining"), good: colour("--bar-input"),
        bad: colour("--bad"), ink: colour("--ink"), soft: colour("--soft"), line: colour("--line"), paper: colour("--card"),
      };
    }

    function step(span) {
      for (const s of [10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3]) if (span / s <= 9) return s;
      return 7200e3;
    }

    function clock(ms, fine) {
      const text = new Date(ms).toTimeString();
      return fine ? text.slice(0, 8) : text.slice(0, 5);
    }

    function draw() {
      if (!data) return;
      const wide = canvas.parentElement.clientWidth, left = wide < 560 ? 96 : LEFT;
      const high = TOP + Math.max(data.lanes.length, 1) * LANE + 4, scale = devicePixelRatio || 1;
      canvas.width = wide * scale; canvas.height = high * scale;
      canvas.style.width = `${wide}px`; canvas.style.height = `${high}px`;
      const c = canvas.getContext("2d"), p = palette();
      c.scale(scale, scale);
      c.font = "12px " + getComputedStyle(document.body).fontFamily;
      c.textBaseline = "middle";
      hits = [];
      const span = data.now - data.since, x = (ms) => left + Math.min(Math.max((ms - data.since) / span, 0), 1) * (wide - left - 6);
      const gap = step(span) * (wide < 560 ? 3 : 1);
      c.strokeStyle = p.line; c.fillStyle = p.soft; c.textAlign = "center";
      for (let at = Math.ceil(data.since / gap) * gap; at < data.now; at += gap) {
        const place = Math.round(x(at)) + 0.5;
        c.beginPath(); c.moveTo(place, TOP - 6); c.lineTo(place, high); c.stroke();
        if (place < wide - 24) c.fillText(clock(at, gap < 60e3), place, 9);
      }
      c.textAlign = "left";
      data.lanes.forEach(([id, name, app, states, bars, ended], index) => {
        const y = TOP + index * LANE, middle = y + LANE / 2;
        c.fillStyle = hovered && hovered.id === id ? p.ink : p.soft;
        let label = `${app}/${name}`;
        while (label.length > 4 && c.measureText(label).width > left - 12) label = label.slice(0, -2) + "…";
        c.fillText(label, 0, middle);
        states.forEach(([word, at], n) => {
          if (word === "stopped") return;
          const until = n + 1 < states.length ? states[n + 1][1] : data.now;
          if (until < data.since) return;
          const a = x(at), b = x(until);
          c.fillStyle = p[word] || p.idle;
          c.fillRect(a, y + 2, Math.max(b - a, 1), LANE - 4);
          hits.push({ x: a, y: y + 2, w: Math.max(b - a, 1), h: LANE - 4, id, text: `${app}/${name}, ${id}: ${word}${ended && n + 2 >= states.length ? `, then ${ended}` : ""}` });
        });
        bars.forEach(([input, begin, end, outcome]) => {
          const a = x(begin), w = Math.max(x(end || data.now) - a, 2);
          const isBad = ["failed", "timeout", "lost", "rejected"].includes(outcome);
          c.fillStyle = isBad ? p.bad : p.good;
          c.fillRect(a, y + (LANE - BAR) / 2, w, BAR);
          if (w > 5) { c.strokeStyle = p.paper; c.lineWidth = 1; c.strokeRect(a + 0.5, y + (LANE - BAR) / 2 + 0.5, w - 1, BAR - 1); }
          hits.push({ x: a, y: y + 3, w: Math.max(w, 4), h: LANE - 6, id, input, text: `${input}: ${outcome}, ${(((end || data.now) - begin) / 1000).toFixed(2)} s` });
        });
      });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${data.lanes.length} containers`);
      if (!hovered && !failed) said.textContent = data.lanes.length ? "" : "No container ran in this time.";
    }

    function at(event) {
      const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      for (let n = hits.length - 1; n >= 0; n--) {
        const hit = hits[n];
        if (x >= hit.x && x <= hit.x + hit.w && y >= hit.y && y <= hit.y + hit.h) return hit;
      }
      return null;
    }

    canvas.addEventListener("mousemove", (event) => {
      hovered = at(event);
      canvas.style.cursor = hovered ? "pointer" : "default";
      said.textContent = hovered ? hovered.text : "";
    });
    canvas.addEventListener("mouseleave", () => { hovered = null; said.textContent = ""; });
    canvas.addEventListener("click", (event) => {
      const hit = at(event);
      if (hit) location.href = hit.input ? root.dataset.inputs + hit.input : root.dataset.containers + hit.id;
    });

    async function load() {
      try {
        const answer = await fetch(root.dataset.feed, { headers: page });
        if (!answer.ok) throw new Error(await answer.text());
        data = await answer.json();
        failed = false;
        draw();
      } catch (error) {
        failed = true;
        said.textContent = `The picture can't be shown now: ${String(error.message || error).slice(0, 200)}`;
      }
      setTimeout(load, document.hidden ? 5000 : EVERY_MS);
    }

    new ResizeObserver(draw).observe(canvas.parentElement);
    document.addEventListener("wherry:theme", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    load();
  }
})();
