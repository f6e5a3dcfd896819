// A terminal in the page, and the websocket that leads to its shell (ui/terminal.py).
(() => {
  "use strict";

  const place = document.getElementById("terminal");
  const said = document.getElementById("terminal-said");
  const again = document.getElementById("terminal-again");
  if (!place) return;
  // Of one message: a long text that is pasted goes in pieces.
  const PIECE = 32 * 1024;
  const encoder = new TextEncoder();
  let socket = null;

  const terminal = new Terminal({
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono").trim(),
    fontSize: 14,
    scrollback: 5000,
    theme: { background: "#10191b", foreground: "#e3eae7", cursor: "#62c6c9", selectionBackground: "#2d565b" },
  });
  const fit = new FitAddon.FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  fit.fit();

  function open() {
    return socket !== null && socket.readyState === WebSocket.OPEN;
  }

  function type(bytes) {
    for (let at = 0; open() && at < bytes.length; at += PIECE) socket.send(bytes.subarray(at, at + PIECE));
  }

  function over(text) {
    said.textContent = text;
    again.hidden = false;
    if (document.activeElement && place.contains(document.activeElement)) again.focus();
  }

  function connect() {
    const there = new URL(place.dataset.socket, location.href);
    there.protocol = there.protocol === "https:" ? "wss:" : "ws:";
    there.searchParams.set("rows", terminal.rows);
    there.searchParams.set("columns", terminal.cols);
    const mine = new WebSocket(there);
    let ended = "";
    socket = mine;
    mine.binaryType = "arraybuffer";
    again.hidden = true;
    said.textContent = "Connecting …";
    mine.addEventListener("open", () => { said.textContent = "Connected."; terminal.focus(); });
    mine.addEventListener("message", (event) => {
      if (typeof event.data !== "string") { terminal.write(new Uint8Array(event.data)); return; }
      const told = JSON.parse(event.data);
      ended = told.error ? told.error : `The shell has ended (exit code ${told.exit}).`;
    });
    mine.addEventListener("close", () => { over(ended || "The connection is lost."); });
  }

  terminal.attachCustomKeyEventHandler((event) => {
    if (event.key !== "Escape" || !event.ctrlKey || !event.shiftKey) return true;
    if (event.type === "keydown") document.querySelector("main a")?.focus();
    return false;
  });
  terminal.onData((text) => type(encoder.encode(text)));
  terminal.onBinary((text) => type(Uint8Array.from(text, (one) => one.charCodeAt(0))));
  terminal.onResize(({ rows, cols }) => { if (open()) socket.send(JSON.stringify({ rows, columns: cols })); });
  new ResizeObserver(() => fit.fit()).observe(place);
  again.addEventListener("click", () => { terminal.reset(); connect(); });
  connect();
})();
