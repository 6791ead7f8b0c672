// Live plots on canvases: the last 30 s, an axis with units, a legend with the newest values. Plain script.
window.teleopdPlots = (() => {
  "use strict";
  const SPAN_S = 30, WIDTH = 300, HEIGHT = 96, LEFT = 34, BOTTOM = 14, TOP = 6;
  // Colours that differ in lightness too, and dashes, so that nobody needs to tell red from green.
  const LOOKS = [
    ["#1864ab", []], ["#e8590c", [6, 3]], ["#2b8a3e", [2, 2]], ["#862e9c", [8, 3, 2, 3]], ["#212529", [3, 5]],
  ];
  const NICE = [1, 2, 5, 10];

  function top(values) {
    const most = Math.max(1e-3, ...values);
    const power = 10 ** Math.floor(Math.log10(most));
    return power * NICE.find((step) => step * power >= most);
  }

  function short(value) {
    return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
  }

  class Plot {
    constructor(parent, title, unit) {
      const box = document.createElement("section");
      box.innerHTML = '<h3></h3><canvas role="img"></canvas><div class="legend"></div>';
      box.querySelector("h3").textContent = title + " [" + unit + "]";
      this.title = title;
      this.unit = unit;
      this.canvas = box.querySelector("canvas");
      this.canvas.id = "teleopd-plot-" + title.replaceAll(" ", "-");
      this.legend = box.querySelector(".legend");
      this.lines = new Map();
      parent.appendChild(box);
    }

    // `values`: name -> number, or null where there is none now.
    add(t, values) {
      for (const [name, value] of Object.entries(values)) {
        if (!this.lines.has(name)) {
          if (value === null || this.lines.size >= LOOKS.length) continue;
          this.lines.set(name, []);
        }
        this.lines.get(name).push([t, value]);
      }
      for (const points of this.lines.values()) {
        while (points.length && points[0][0] < t - SPAN_S) points.shift();
      }
      this.draw(t);
    }

    draw(t) {
      const scale = window.devicePixelRatio || 1;
      this.canvas.width = WIDTH * scale;
      this.canvas.height = HEIGHT * scale;
      const pen = this.canvas.getContext("2d");
      pen.scale(scale, scale);
      pen.font = "10px system-ui, sans-serif";
      const all = [...this.lines.values()].flat().map((point) => point[1]).filter((value) => value !== null);
      const high = top(all);
      const x = (when) => WIDTH - (t - when) / SPAN_S * (WIDTH - LEFT);
      const y = (value) => HEIGHT - BOTTOM - value / high * (HEIGHT - BOTTOM - TOP);
      this.axes(pen, high, x, y, t);
      [...this.lines.values()].forEach((points, i) => {
        [pen.strokeStyle, pen.lineWidth] = [LOOKS[i][0], 1.5];
        pen.setLineDash(LOOKS[i][1]);
        pen.beginPath();
        let down = false;
        for (const [when, value] of points) {
          if (value === null) down = false;
          else if (down) pen.lineTo(x(when), y(value));
          else { pen.moveTo(x(when), y(value)); down = true; }
        }
        pen.stroke();
      });
      this.say(all.length);
    }

    axes(pen, high, x, y, t) {
      pen.fillStyle = "#868e96";
      pen.strokeStyle = "#dee2e6";
      pen.lineWidth = 1;
      for (const share of [0, 0.5, 1]) {
        pen.beginPath();
        pen.moveTo(LEFT, y(share * high));
        pen.lineTo(WIDTH, y(share * high));
        pen.stroke();
        pen.textAlign = "right";
        pen.fillText(String(+(share * high).toPrecision(3)), LEFT - 4, y(share * high) + 3);
      }
      for (const ago of [30, 20, 10, 0]) {
        pen.textAlign = ago === 0 ? "right" : ago === SPAN_S ? "left" : "center";
        pen.fillText(ago ? "-" + ago + " s" : "now", x(t - ago), HEIGHT - 2);
      }
    }

    say(points) {
      const parts = [...this.lines].map(([name, values], i) => {
        const newest = values.length ? values[values.length - 1][1] : null;
        return [name, newest === null ? "-" : short(newest) + " " + this.unit, LOOKS[i][0]];
      });
      this.legend.replaceChildren(...parts.map(([name, value, colour]) => {
        const part = document.createElement("span");
        const mark = document.createElement("i");
        mark.style.background = colour;
        part.append(mark, name + " " + value);
        return part;
      }));
      if (!parts.length) this.legend.textContent = "nothing measured yet";
      this.canvas.dataset.points = points;
      this.canvas.setAttribute("aria-label", this.title + ": " + parts.map((part) => part[0] + " " + part[1]).join(", "));
    }
  }

  return { Plot };
})();
