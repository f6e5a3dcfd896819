// A log that is followed: lines come with their position, so that a connection that was lost goes on where it was.
(() => {
  "use strict";
  const root = document.getElementById("log");
  if (!root) return;
  const list = root.querySelector("ol"), box = document.getElementById("follow"), said = document.getElementById("log-said");
  const MOST = 5000;
  const containers = document.querySelector("nav a[href$='/containers']").getAttribute("href") + "/";
  let last = 0, source = null;

  function bottom() { root.scrollTop = root.scrollHeight; }

  function two(value) { return String(value).padStart(2, "0"); }

  function clock(ms) {
    const at = new Date(ms);
    return `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  }

  function span(kind, text) {
    const made = document.createElement("span");
    made.className = kind;
    made.textContent = text;
    return made;
  }

  function add([position, at, stream, container, text]) {
    if (position <= last) return;
    last = position;
    const item = document.createElement("li");
    item.id = `line-${position}`;
    item.className = stream;
    const from = span("from", "");
    if (container) {
      const link = document.createElement("a");
      link.href = containers + container;
      link.tabIndex = -1;
      link.textContent = container.slice(-8);
      from.append(link);
    }
    item.append(span("at", clock(at)), from, span("text", text));
    list.append(item);
  }

  const existing = list.lastElementChild;
  if (existing) last = Number(existing.id.slice(5)) || 0;

  function open() {
    source = new EventSource(root.dataset.follow);
    source.addEventListener("lines", (event) => {
      const near = root.scrollHeight - root.scrollTop - root.clientHeight < 60;
      JSON.parse(event.data).forEach(add);
      document.getElementById("log-empty")?.remove();
      while (list.childElementCount > MOST) list.firstElementChild.remove();
      if (near) bottom();
    });
    source.addEventListener("gone", (event) => { said.textContent = event.data; source.close(); });
    source.onopen = () => { said.textContent = ""; };
    source.onerror = () => { if (source.readyState !== 2) said.textContent = "The connection is lost. Trying again …"; else again(); };
  }

  // Browsers give up where the service does not answer for a while; this does not.
  function again() {
    said.textContent = "The connection is lost. Trying again …";
    const address = new URL(root.dataset.follow, location.href);
    address.searchParams.set("after", last);
    root.dataset.follow = address.href;
    setTimeout(() => { if (box.checked) open(); }, 1000);
  }

  box.addEventListener("change", () => {
    if (box.checked) { bottom(); open(); } else { source.close(); said.textContent = "Stopped."; }
  });
  bottom();
  open();
})();
