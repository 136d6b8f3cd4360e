"use strict";
(() => {
  const data = JSON.parse(document.getElementById("trials").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);

  /* --- tooltips: a trial is marked in all figures at once --- */
  const tip = $("tip");
  let marked = [];
  const unmark = () => {
    for (const mark of marked) mark.classList.remove("on");
    marked = [];
    tip.hidden = true;
  };
  const put = (x, y) => {
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - width - 8)) + "px";
    tip.style.top = (y + height + 24 > innerHeight ? y - height - 12 : y + 16) + "px";
  };
  const show = (event) => {
    const mark = event.target.closest("svg [data-t]");
    if (!mark) return unmark();
    const trial = data.trials[mark.dataset.t];
    if (!trial) return;
    unmark();
    marked = [...mark.closest("main").querySelectorAll(`svg [data-t="${mark.dataset.t}"]`)];
    for (const other of marked) other.classList.add("on");
    tip.replaceChildren();
    const head = document.createElement("b");
    head.textContent = trial.l;
    const state = [trial.s, trial.o].filter(Boolean).join(", ");
    tip.append(head, [state, trial.n].filter(Boolean).join(" "));
    if (trial.d) tip.append(document.createElement("br"), trial.d);
    tip.hidden = false;
    put(event.clientX, event.clientY);
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", unmark, { passive: true });

  /* --- leaderboard: sort, filter, unfold --- */
  const board = $("board");
  const lines = [...board.tBodies];
  const text = new Map(lines.map((line) => [line, line.textContent.toLowerCase()]));
  let kind = "";
  const filter = () => {
    const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const line of lines) {
      const fits = (!kind || line.dataset.kind === kind) && words.every((word) => text.get(line).includes(word));
      line.hidden = !fits;
      shown += fits;
    }
    $("shown").textContent = shown === lines.length ? `${shown} rows` : `${shown} of ${lines.length} rows`;
  };
  $("filter").addEventListener("input", filter);
  for (const button of document.querySelectorAll(".kinds button")) {
    button.addEventListener("click", () => {
      kind = button.dataset.kind;
      for (const one of document.querySelectorAll(".kinds button")) one.setAttribute("aria-pressed", one === button);
      filter();
    });
  }
  const sortBy = (header) => {
    const column = header.cellIndex;
    const numeric = "number" in header.dataset;
    const before = header.getAttribute("aria-sort");
    const down = before ? before === "ascending" : numeric && column > 0;
    for (const other of board.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (line) => {
      const cell = line.rows[0].cells[column];
      return numeric ? (cell.dataset.v === "" ? null : Number(cell.dataset.v)) : cell.textContent.trim().toLowerCase();
    };
    const keyed = lines.map((line) => [key(line), line]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
    });
    board.append(...keyed.map(([, line]) => line));
  };
  for (const header of board.tHead.rows[0].cells) {
    header.tabIndex = 0;
    header.addEventListener("click", () => sortBy(header));
    header.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sortBy(header); }
    });
  }
  board.addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (!button) return;
    const on = button.closest("tbody").rows[1].classList.toggle("on");
    button.setAttribute("aria-expanded", on);
  });
  filter();

  /* --- any two metrics --- */
  if (!$("explorer")) return;
  const colours = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
  const fill = (select, names, chosen) => {
    names.forEach((name, index) => select.add(new Option(name, index)));
    select.selectedIndex = Math.max(0, chosen);
    select.addEventListener("change", draw);
  };
  const draw = () => {
    const [x, y, fold, colour] = ["x-metric", "y-metric", "fold", "colour"].map((id) => $(id).selectedIndex);
    const points = [];
    for (const [number, trial] of Object.entries(data.trials)) {
      const values = trial.m && trial.m[fold];
      if (values && values[x] !== null && values[y] !== null && values[x] !== undefined && values[y] !== undefined)
        points.push({ number, trial, x: values[x], y: values[y], group: data.choices.length ? trial.c[colour] : trial.s });
    }
    const groups = [...new Set(points.map((point) => point.group))].sort((a, b) => (a === "baseline") - (b === "baseline") || (a < b ? -1 : 1));
    const paint = (group) => (group === "baseline" ? "base" : colours[groups.indexOf(group) % colours.length]);
    legend(groups, paint);
    plot(points, paint, data.metrics[x], data.metrics[y]);
  };
  const element = (tag, attributes, words) => {
    const made = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (words !== undefined) made.textContent = words;
    return made;
  };
  const mark = (group, at, paint, number) => {
    const [x, y] = at;
    const shape = group === "baseline"
      ? element("path", { d: `M${x} ${y - 6}l6 6l-6 6l-6 -6z` })
      : element("circle", { cx: x, cy: y, r: 4.5 });
    shape.setAttribute("fill", `var(--${paint})`);
    shape.setAttribute("fill-opacity", group === "baseline" ? 0.95 : 0.7);
    if (number !== undefined) shape.setAttribute("data-t", number);
    return shape;
  };
  const legend = (groups, paint) => {
    $("explorer-legend").replaceChildren(...groups.map((group) => {
      const item = document.createElement("li");
      const box = element("svg", { width: 14, height: 14, "aria-hidden": "true" });
      box.append(mark(group, [7, 7], paint(group)));
      item.append(box, group);
      return item;
    }));
  };
  const scale = (values, start, end) => {
    let low = Math.min(...values), high = Math.max(...values);
    const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 0.5;
    low = low >= 0 && low < pad ? 0 : low - pad;
    high += pad;
    const place = (value) => start + ((value - low) / (high - low)) * (end - start);
    const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw * (1 - 1e-9));
    const ticks = [];
    for (let index = Math.ceil(low / step); index * step <= high; index++) ticks.push(index * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const largest = Math.max(...ticks.map(Math.abs));
    const short = (value) => (largest >= 1e5 || digits > 4 ? (value ? value.toExponential(1) : "0") : value.toFixed(digits));
    return { place, ticks: ticks.map((tick) => [place(tick), short(tick)]) };
  };
  const plot = (points, paint, xName, yName) => {
    const room = $("explorer-plot");
    const width = Math.max(280, room.clientWidth), height = width < 520 ? 320 : 420;
    const box = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "font-size": 12 });
    box.setAttribute("aria-label", `${yName} against ${xName}`);
    const left = 64, right = width - 14, top = 28, bottom = height - 44;
    if (points.length) {
      const x = scale(points.map((point) => point.x), left, right), y = scale(points.map((point) => point.y), bottom, top);
      const word = (at, words, anchor) => box.append(element("text", { x: at[0], y: at[1], fill: "var(--muted)", "text-anchor": anchor }, words));
      for (const [at, words] of y.ticks) {
        box.append(element("line", { x1: left, x2: right, y1: at, y2: at, stroke: "var(--line)" }));
        word([left - 8, at + 4], words, "end");
      }
      const thin = width < 520 ? 2 : 1;
      x.ticks.forEach(([at, words], index) => {
        box.append(element("line", { x1: at, x2: at, y1: bottom, y2: bottom + 4, stroke: "var(--faint)" }));
        if (index % thin === 0) word([at, bottom + 18], words, "middle");
      });
      word([0, 14], yName, "start");
      word([right, bottom + 38], xName, "end");
      for (const point of points) {
        const at = [x.place(point.x), y.place(point.y)];
        box.append(mark(point.trial.s === "baseline" ? "baseline" : point.group, at, paint(point.group), point.number));
        if (Number(point.number) === data.best)
          box.append(element("circle", { cx: at[0], cy: at[1], r: 8, fill: "none", stroke: "var(--best)", "stroke-width": 2 }));
      }
      room.replaceChildren(box);
      names(box, points, x, y, [left, right, top, bottom]);
      return;
    }
    room.replaceChildren(box);
  };
  /* The best and the baselines get their names first. Other names are left out where they would cover
     another name or a point. */
  const names = (box, points, x, y, [left, right, top, bottom]) => {
    const first = (point) => Number(point.number) === data.best ? 0 : point.trial.s === "baseline" ? 1 : 2;
    const taken = [], dots = points.map((point) => [x.place(point.x), y.place(point.y)]);
    for (const point of [...points].sort((a, b) => first(a) - first(b))) {
      const [at, level] = [x.place(point.x), y.place(point.y)];
      const word = element("text", { x: at + 9, y: level + 4, fill: "var(--ink)", "font-size": 11, "pointer-events": "none" }, clip(point.trial.l));
      box.append(word);
      const wide = word.getComputedTextLength();
      const free = ([start, height]) => start >= left && start + wide <= right + 10 && height >= top - 6 && height <= bottom + 6
        && taken.every(([l, r, v]) => Math.abs(height - v) > 12 || start > r + 3 || start + wide < l - 3)
        && (first(point) < 2 || dots.every(([a, b]) => (a === at && b === level) || Math.abs(height - b) > 9 || a < start - 5 || a > start + wide + 5));
      const place = [[at + 9, level], [at - 9 - wide, level], [at - wide / 2, level - 12], [at - wide / 2, level + 13]].find(free);
      if (!place) { word.remove(); continue; }
      word.setAttribute("x", place[0]);
      word.setAttribute("y", place[1] + 4);
      taken.push([place[0], place[0] + wide, place[1]]);
    }
  };
  const clip = (words) => (words.length > 26 ? words.slice(0, 25) + "…" : words);
  fill($("x-metric"), data.metrics, data.metrics.indexOf(data.sides[0]));
  fill($("y-metric"), data.metrics, data.metrics.indexOf(data.sides[1]));
  fill($("fold"), ["mean", ...Array.from({ length: data.folds }, (_, fold) => `fold ${fold + 1}`)], 0);
  fill($("colour"), data.choices.length ? data.choices : ["state"], 0);
  draw();
  let drawnAt = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== drawnAt) { drawnAt = innerWidth; draw(); } });
})();
