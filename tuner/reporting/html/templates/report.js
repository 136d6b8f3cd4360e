"use strict";
(() => {
  const data = JSON.parse(document.getElementById("trials").textContent);
  const charts = JSON.parse(document.getElementById("charts").textContent);
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
  /* Vega keeps with each element of a drawing what it was made from. */
  const itemOf = (element) => [].concat(element.__data__ || [])[0];
  const show = (event) => {
    const item = event.target.closest(".chart svg") && itemOf(event.target);
    unmark();
    if (!item || !item.tooltip) return;
    const trial = data.trials[event.target.dataset.t];
    tip.replaceChildren();
    if (trial) {
      marked = [...document.querySelectorAll(`svg [data-t="${event.target.dataset.t}"]`)];
      for (const mark of marked) mark.classList.add("on");
      const head = document.createElement("b");
      head.textContent = trial.l;
      const state = [trial.s, trial.o].filter(Boolean).join(", ");
      tip.append(head, [state, trial.n].filter(Boolean).join(" "));
      if (trial.d) tip.append(document.createElement("br"), trial.d);
    } else tip.append(Object.entries(item.tooltip).map(([name, value]) => `${name}: ${value}`).join(", "));
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

  /* --- figures --- */
  const phone = matchMedia("(max-width:820px)");
  const embed = async (room, spec, datasets) => {
    const options = { mode: "vega-lite", ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip: false };
    await vegaEmbed(room, { ...spec, datasets }, { ...options, config: charts.config });
    room.style.minHeight = "";
    for (const mark of room.querySelectorAll("svg path, svg text, svg line")) {
      const item = itemOf(mark);
      if (item && item.tooltip && item.datum && item.datum.trial !== undefined) mark.dataset.t = item.datum.trial;
    }
  };
  const rooms = [...document.querySelectorAll("[data-figure]")];
  let turn = 0;
  /* Figures near the window are drawn first, the others after them. */
  const near = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) near[entry.isIntersecting ? "add" : "delete"](entry.target);
  }, { rootMargin: "50%" });
  const drawAll = async () => {
    const mine = ++turn;
    for (const room of rooms) {
      const figure = charts.figures[room.dataset.figure];
      room.style.minHeight = room.style.minHeight || `${figure.wide.height || 300}px`;
      watcher.observe(room);
    }
    const waiting = new Set(rooms);
    const next = () => [...waiting].find((room) => near.has(room));
    while (waiting.size) {
      await new Promise((done) => setTimeout(done));  // the page answers its reader between two figures
      if (mine !== turn) return;
      const room = next() || [...waiting][0];
      waiting.delete(room);
      const figure = charts.figures[room.dataset.figure];
      await embed(room, phone.matches ? figure.narrow : figure.wide, figure.data);
    }
    await explore();
    return performance.now();
  };

  /* --- any two metrics --- */
  const colours = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"].map((name) => `var(--${name})`);
  const chosen = (id) => $(id).selectedIndex;
  const pointsOf = (x, y, fold, colour) => Object.entries(data.trials).flatMap(([number, trial]) => {
    const values = (trial.m && trial.m[fold]) || [];
    if (typeof values[x] !== "number" || typeof values[y] !== "number") return [];
    const group = data.choices.length ? trial.c[colour] : trial.s;
    const best = Number(number) === data.best;
    return [{ trial: Number(number), label: trial.l, x: values[x], y: values[y], group, best, named: best || trial.s === "baseline" }];
  });
  const scatter = (points, xName, yName, width) => {
    const groups = [...new Set(points.map((point) => point.group))].sort((a, b) => (a === "baseline") - (b === "baseline") || (a < b ? -1 : 1));
    const range = groups.map((group, index) => (group === "baseline" ? "var(--base)" : colours[index % colours.length]));
    const shapes = groups.map((group) => (group === "baseline" ? "diamond" : "circle"));
    const axis = (field, title, more) => ({ field, type: "quantitative", title, scale: { zero: false, padding: 16 }, axis: more });
    const place = {
      x: axis("x", xName, { tickCount: width < 520 ? 3 : 7 }),
      y: axis("y", yName, { titleAngle: 0, titleAlign: "left", titleBaseline: "bottom", titleX: -52, titleY: -10, minExtent: 52, tickCount: 6 }),
    };
    const name = { type: "text", align: { expr: `datum.x < ${middle(points)} ? "left" : "right"` }, dx: { expr: `datum.x < ${middle(points)} ? 10 : -10` }, fontSize: 11, limit: 160 };
    return {
      groups, range,
      spec: {
        width, height: width < 520 ? 280 : 370, autosize: { type: "fit-x", contains: "padding" }, data: { name: "points" },
        encoding: place,
        layer: [
          { mark: { type: "point", filled: true, size: 64, opacity: 0.75 },
            encoding: {
              color: { field: "group", type: "nominal", scale: { domain: groups, range } },
              shape: { field: "group", type: "nominal", scale: { domain: groups, range: shapes } },
              tooltip: { field: "label", type: "nominal" } } },
          { transform: [{ filter: "datum.best" }], mark: { type: "point", size: 200, strokeWidth: 2, stroke: "var(--best)", tooltip: null } },
          { transform: [{ filter: "datum.named" }], mark: { ...name, stroke: "var(--card)", strokeWidth: 3 }, encoding: { text: { field: "label", type: "nominal" } } },
          { transform: [{ filter: "datum.named" }], mark: { ...name, fill: "var(--ink)" }, encoding: { text: { field: "label", type: "nominal" } } },
        ],
      },
    };
  };
  const middle = (points) => {
    const values = points.map((point) => point.x);
    return (Math.min(...values) + Math.max(...values)) / 2 || 0;
  };
  const explore = async () => {
    if (!$("explorer")) return;
    const [x, y] = [chosen("x-metric"), chosen("y-metric")];
    const points = pointsOf(x, y, chosen("fold"), chosen("colour"));
    const width = Math.max(280, $("explorer-plot").clientWidth);
    const { groups, range, spec } = scatter(points, data.metrics[x], data.metrics[y], width);
    $("explorer-legend").replaceChildren(...groups.map((group, index) => {
      const item = document.createElement("li"), mark = document.createElement("span");
      mark.className = group === "baseline" ? "kind baseline" : "kind";
      mark.style.background = range[index];
      item.append(mark, group);
      return item;
    }));
    await embed($("explorer-plot"), spec, { points });
  };
  const fill = (select, names, first) => {
    names.forEach((name, index) => select.add(new Option(name, index)));
    select.selectedIndex = Math.max(0, first);
    select.addEventListener("change", explore);
  };
  if ($("explorer")) {
    fill($("x-metric"), data.metrics, data.metrics.indexOf(data.sides[0]));
    fill($("y-metric"), data.metrics, data.metrics.indexOf(data.sides[1]));
    fill($("fold"), ["mean", ...Array.from({ length: data.folds }, (_, fold) => `fold ${fold + 1}`)], 0);
    fill($("colour"), data.choices.length ? data.choices : ["state"], 0);
  }
  phone.addEventListener("change", drawAll);
  window.drawn = drawAll();
})();
