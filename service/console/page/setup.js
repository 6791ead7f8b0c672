// Before arming: which source is followed, whose body it is, which policies there are; and how hard the arms may push.
(() => {
  "use strict";
  const place = window.teleopdSide.place;
  place.innerHTML =
    '<section class="run"><h3>this run</h3><div class="now"></div>' +
    '<div class="row source"><label>source <select aria-label="source"></select></label>' +
    '<button type="button">use</button></div>' +
    '<div class="row policy"><label>policy <select aria-label="policy"></select></label></div>' +
    '<div class="command"></div><div class="said" role="status"></div></section>' +
    '<section class="calibration"><h3>calibration</h3><div class="row">' +
    '<input aria-label="name of the operator" placeholder="name" maxlength="64" size="9" spellcheck="false">' +
    '<select aria-label="pose"><option value="t">T-pose</option><option value="n">N-pose</option></select>' +
    '<button type="button">calibrate</button></div><div class="big" role="status" aria-live="assertive"></div>' +
    '<div class="said"></div></section>' +
    '<section class="force"><h3>force limit of the arms [N]</h3><div class="row">' +
    '<input type="range" min="5" max="15" step="0.5" aria-label="force limit in newton">' +
    '<button type="button">the run\'s own</button></div><div class="said" role="status"></div></section>';
  const at = (selector) => place.querySelector(selector);
  const run = at(".run"), calibration = at(".calibration"), force = at(".force");
  const sources = run.querySelector(".source select"), use = run.querySelector(".source button");
  const policies = run.querySelector(".policy select");
  const begin = calibration.querySelector("button"), pose = calibration.querySelector("select");
  const person = calibration.querySelector("input"), slider = force.querySelector("input");
  let facts = null, now = null, commands = {};
  for (const part of [calibration, force, ...run.querySelectorAll(".row")]) part.hidden = true;

  async function ask(question, said) {
    try {
      const answer = await fetch("/teleopd/ask", {
        method: "POST", cache: "no-store", headers: { "Content-Type": "application/json" },
        body: JSON.stringify(question),
      });
      const sentence = (await answer.text()).trim();
      said.textContent = answer.ok ? sentence : "refused: " + sentence;
      said.classList.toggle("bad", !answer.ok);
    } catch (error) {
      said.textContent = "not asked: the service does not answer";
      said.classList.add("bad");
    }
  }

  function options(select, names, chosen) {
    select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
  }

  async function learn() {
    try {
      facts = await (await fetch("/teleopd/facts", { cache: "no-store" })).json();
    } catch (error) {
      setTimeout(learn, 2000);
      return;
    }
    commands = Object.fromEntries((facts.policies || []).map((policy) => [policy.name, policy.command]));
    options(policies, [...new Set([facts.policy, ...Object.keys(commands)])].filter(Boolean), facts.policy);
    options(sources, facts.sources || [], now ? now.setup.source : "");
    run.querySelector(".source").hidden = !facts.asks || (facts.sources || []).length < 2;
    run.querySelector(".policy").hidden = policies.options.length < 2;
    calibration.hidden = !facts.asks;
  }

  function show(message) {
    if (!message.setup) return;
    const fresh = !now || now.setup.source !== message.setup.source;
    now = message;
    const { setup } = message;
    const policy = facts && facts.policy ? ", policy " + facts.policy : "";
    run.querySelector(".now").textContent =
      "source " + setup.source + policy + (setup.operator ? ", operator " + setup.operator : "");
    if (fresh) sources.value = setup.source;
    use.disabled = setup.why_not !== "" || setup.waits;
    use.title = setup.why_not;
    const said = run.querySelector(".said");
    const sentence = setup.waits ? "changing ..." : setup.sentence;
    if (sentence && said.dataset.from !== sentence) {
      said.dataset.from = sentence;
      said.textContent = sentence;
    }
    showCalibration(message.calibration);
    showForce(message.force_limit_n);
  }

  function showCalibration(state) {
    const busy = ["countdown", "measuring", "working"].includes(state.stage);
    begin.textContent = busy ? "cancel" : "calibrate";
    begin.disabled = state.stage === "working";
    calibration.dataset.stage = state.stage;
    const big = calibration.querySelector(".big"), left = Math.ceil(state.left_s || 0);
    big.textContent = {
      countdown: state.pose + " in " + left + " s", measuring: "hold still: " + left + " s", working: "...",
    }[state.stage] || "";
    if (busy) calibration.querySelector(".said").textContent = "";
    else if (state.sentence) {
      const said = calibration.querySelector(".said");
      said.textContent = state.sentence;
      said.classList.toggle("bad", state.stage === "failed");
    }
  }

  let sliding = 0;

  function showForce(newton) {
    force.hidden = newton === null || !(facts && facts.asks);
    if (newton === null) return;
    force.querySelector("h3").textContent = "force limit of the arms: " + newton.toFixed(1) + " N";
    if (Date.now() - sliding > 15000) slider.value = newton;
  }

  use.addEventListener("click", () => ask({ what: "source", name: sources.value }, run.querySelector(".said")));
  policies.addEventListener("change", () => {
    const command = commands[policies.value];
    run.querySelector(".command").textContent = policies.value === facts.policy || !command
      ? "" : "another policy needs a restart: " + command;
  });
  begin.addEventListener("click", () => {
    const busy = begin.textContent === "cancel";
    ask(busy ? { what: "cancel_calibration" } : { what: "calibrate", operator: person.value.trim(), pose: pose.value },
      calibration.querySelector(".said"));
  });
  slider.addEventListener("input", () => { sliding = Date.now(); });
  slider.addEventListener("change", () => {
    sliding = Date.now();
    ask({ what: "force_limit", newton: Number(slider.value) }, force.querySelector(".said"));
  });
  force.querySelector("button").addEventListener("click", () => {
    sliding = 0;
    ask({ what: "force_limit", newton: null }, force.querySelector(".said"));
  });
  window.teleopdSide.hear(show);
  learn();
})();
