// On top of viser's page: the soft stop, always there, and its key. Plain script, no build step, no network.
(() => {
  "use strict";
  const box = document.createElement("div");
  box.id = "teleopd-stop";
  box.innerHTML =
    '<button type="button">SOFT STOP</button><div role="status" aria-live="assertive"></div>';
  const button = box.querySelector("button");
  const status = box.querySelector("div");
  const hint = "key: Escape. Returns to stand; again: damps. Not an emergency stop";
  status.textContent = hint;
  let busy = 0;

  async function stop() {
    const turn = ++busy;
    // Named, so that a request which the browser repeats by itself is not taken for a second press.
    const press = Date.now().toString(36) + Math.random().toString(36).slice(2, 10);
    button.classList.add("pressed");
    let said;
    try {
      const answer = await fetch("/stop?press=" + press, { method: "POST", keepalive: true, cache: "no-store" });
      said = answer.ok ? "stop sent" : "NOT SENT: " + (await answer.text());
    } catch (error) {
      said = "NOT SENT: the service does not answer. Use the remote or the power switch";
    }
    status.textContent = said;
    if (turn === busy) {
      setTimeout(() => button.classList.remove("pressed"), 250);
      if (said === "stop sent") setTimeout(() => { if (turn === busy) status.textContent = hint; }, 4000);
    }
  }

  // On pointer down, not on click: a finger that slips off has stopped the robot all the same.
  button.addEventListener("pointerdown", (event) => { event.preventDefault(); stop(); });
  button.addEventListener("click", (event) => { if (event.detail === 0) stop(); });
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.repeat) stop();
  }, true);
  document.body.appendChild(box);

  // viser's page draws nothing at all then, its buttons included.
  if (!document.createElement("canvas").getContext("webgl2")) {
    const sentence = document.createElement("div");
    sentence.id = "teleopd-flat";
    sentence.setAttribute("role", "status");
    sentence.textContent =
      "This browser cannot draw in 3D (no WebGL 2), so the robot and the buttons ready, arm and hold to run are " +
      "missing. Turn on its hardware acceleration, open the page elsewhere, or operate with 'teleop ctl'. " +
      "SOFT STOP and the figures work.";
    document.body.appendChild(sentence);
  }

  // Lost and found again: viser's page reconnects by itself; say what happened meanwhile.
  async function watch() {
    try {
      const answer = await fetch("/alive", { cache: "no-store" });
      box.classList.toggle("lost", !answer.ok);
      if (answer.status === 401) status.textContent = "this page's token is no longer valid: open the printed address";
      else if (box.dataset.lost === "1") location.reload();
      box.dataset.lost = "0";
    } catch (error) {
      box.classList.add("lost");
      box.dataset.lost = "1";
      status.textContent = "NO CONNECTION: nothing here reaches the robot";
    }
    setTimeout(watch, 1000);
  }
  watch();
})();
