// Our own part of the page: plots, limbs, the gate and camera tiles, from the console's live figures.
(() => {
  "use strict";
  const SILENT_MS = 3000;
  const box = document.createElement("div");
  box.id = "teleopd-side";
  box.innerHTML =
    '<div class="head"><button type="button" aria-expanded="false">Figures</button><span class="mode"></span>' +
    '<span class="alarm" role="status"></span></div>' +
    '<div class="body"><div class="setup"></div><section><h3>cameras</h3><div class="tiles"></div></section>' +
    '<section><h3>tracking of each limb</h3><div class="chips"></div></section>' +
    '<div class="plots"></div><section><h3>gate</h3><div class="gate"></div></section></div>';
  const at = (selector) => box.querySelector(selector);
  const toggle = at(".head button"), alarm = at(".head .alarm"), badge = at(".head .mode");
  const { Plot } = window.teleopdPlots;
  const plots = {
    latency: new Plot(at(".plots"), "latency per stage", "ms"),
    rate: new Plot(at(".plots"), "source rate", "Hz"),
    age: new Plot(at(".plots"), "source age", "ms"),
    late: new Plot(at(".plots"), "loop lateness p99", "ms"),
  };
  let socket = null, heard = 0, opened = false;
  const hearers = [];
  // For setup.js: its place, and every message.
  window.teleopdSide = { place: at(".setup"), hear: (hearer) => hearers.push(hearer) };

  function words(values) {
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name.replaceAll("_", " "), value]));
  }

  function show(message) {
    heard = Date.now();
    alarm.textContent = "";
    badge.textContent = message.mode || "";
    plots.latency.add(message.t_s, words(message.latency_ms));
    plots.rate.add(message.t_s, { rate: message.source.hz });
    plots.age.add(message.t_s, { age: message.source.age_ms });
    plots.late.add(message.t_s, words(message.late_ms));
    showLimbs(message.limbs);
    showGate(message.gate);
    showCameras(message.cameras);
    for (const hearer of hearers) hearer(message);
  }

  function showLimbs(limbs) {
    const parts = Object.entries(limbs).map(([name, share]) => {
      const part = document.createElement("span");
      part.className = share === 1 ? "" : share === 0 ? "lost" : "part";
      part.textContent = name + (share === 1 ? " tracked" : share === 0 ? " LOST" : " " + Math.round(100 * share) + " %");
      return part;
    });
    at(".chips").replaceChildren(...parts);
    if (!parts.length) at(".chips").textContent = "no frame yet";
  }

  function showGate(gate) {
    const list = (counts) => Object.entries(counts).map(([name, n]) => name.replaceAll("_", " ") + " " + n).join(", ");
    const steps = list(gate.steps), joints = list(gate.joints);
    at(".gate").textContent = steps ? "ticks: " + steps + (joints ? "; joints: " + joints : "") : "no intervention";
  }

  const tiles = new Map();

  function showCameras(cameras) {
    at(".tiles").parentElement.hidden = !cameras.length;
    for (const camera of cameras) {
      if (!tiles.has(camera.number)) {
        const tile = document.createElement("figure");
        tile.innerHTML = '<img alt=""><figcaption></figcaption><div class="words"></div>';
        at(".tiles").appendChild(tile);
        tiles.set(camera.number, { tile, shown: 0, busy: false });
      }
      const state = tiles.get(camera.number), figure = state.tile;
      const age = camera.age_ms === null ? "" : ", " + (camera.age_ms / 1000).toFixed(1) + " s old";
      figure.querySelector("img").alt = "camera " + camera.name;
      figure.querySelector("figcaption").textContent = camera.name + ": " + camera.hz.toFixed(0) + " Hz" + age;
      figure.querySelector(".words").textContent = camera.words;
      figure.classList.toggle("stalled", camera.words !== "");
      if (camera.seq && camera.seq !== state.shown && !state.busy) fetchPicture(camera, state);
    }
  }

  async function fetchPicture(camera, state) {
    state.busy = true;
    try {
      const answer = await fetch("/teleopd/camera/" + camera.number, { cache: "no-store" });
      if (answer.ok) {
        const image = state.tile.querySelector("img"), before = image.src;
        image.src = URL.createObjectURL(await answer.blob());
        if (before) URL.revokeObjectURL(before);
        state.shown = camera.seq;
        image.dataset.seq = camera.seq;
      }
    } catch (error) {
      // The next message asks again.
    } finally {
      state.busy = false;
    }
  }

  function connect() {
    if (!opened || socket) return;
    socket = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/teleopd/live");
    socket.onmessage = (event) => show(JSON.parse(event.data));
    socket.onclose = () => { socket = null; setTimeout(connect, 1000); };
  }

  function open(wanted) {
    opened = wanted;
    box.classList.toggle("closed", !wanted);
    toggle.setAttribute("aria-expanded", String(wanted));
    toggle.textContent = wanted ? "Figures: hide" : "Figures";
    heard = Date.now();
    alarm.textContent = badge.textContent = "";
    if (wanted) connect();
    else if (socket) socket.close();
  }

  toggle.addEventListener("click", () => open(!opened));
  // Keys typed here are no shortcuts of the 3D view. Escape has stopped the robot before this hears it.
  box.addEventListener("keydown", (event) => event.stopPropagation());
  setInterval(() => {
    if (opened && Date.now() - heard > SILENT_MS) {
      badge.textContent = "";
      alarm.textContent = "no figures for " + Math.round((Date.now() - heard) / 1000) + " s";
    }
  }, 500);
  document.body.appendChild(box);
  open(window.innerWidth >= 1000);
})();
