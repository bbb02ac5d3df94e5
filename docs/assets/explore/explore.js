// The page to play with: docs/explore.md holds the controls, frames.js the splits that flskew has drawn.
//
// The first half computes and touches no page: tests compare it with Python. The second half shows it.

"use strict";

globalThis.flskewExplore = (() => {
  const DATA = globalThis.flskewFrames;

  // Schemes: what each does, the section about it in which-partitioner, its controls, and the code of its partitioner.

  const SCHEMES = {
    iid: {
      name: "IID",
      says: "Rows are assigned at random, so clients differ only by chance. This is a split without skew.",
      section: "iid",
      controls: {},
      code: (s) => `IidPartitioner(${s.clients}, seed=${DATA.seed})`,
    },
    dirichlet: {
      name: "Dirichlet",
      says: "For each class, the clients' shares are drawn from a Dirichlet distribution. The smaller alpha is, the more classes and sizes differ.",
      section: "dirichlet",
      controls: { alpha: DATA.alphas },
      code: (s) => `DirichletPartitioner(${s.clients}, alpha=${s.alpha}, seed=${DATA.seed})`,
    },
    exclusion: {
      name: "Label exclusion",
      says: "You choose which classes each client never sees; each class is split evenly among the other clients.",
      section: "label-exclusion",
      controls: { excluded: true },
      code: () => `LabelExclusionPartitioner(excluded, seed=${DATA.seed})`,
    },
    pathological: {
      name: "Pathological (k classes per client)",
      says: "Each client has exactly k classes, and each class is split evenly among the clients that hold it.",
      section: "pathological",
      controls: { held: DATA.held },
      code: (s) => `PathologicalPartitioner(${s.clients}, num_classes_per_partition=${s.held}, seed=${DATA.seed})`,
    },
    extended: {
      name: "Extended Dirichlet",
      says: "Each client has exactly k classes, in unequal amounts: a Dirichlet draw splits each class among the clients that hold it.",
      section: "extended-dirichlet",
      controls: { held: DATA.heldUnequally, alpha: DATA.alphas },
      code: (s) =>
        `ExtendedDirichletPartitioner(${s.clients}, num_classes_per_partition=${s.held}, alpha=${s.alpha}, seed=${DATA.seed})`,
    },
    shards: {
      name: "Shards",
      says: "Rows are sorted by class and cut into shards; each client gets the same number of random shards.",
      section: "shards",
      controls: { shards: DATA.shards },
      code: (s) => `ShardPartitioner(${s.clients}, num_shards_per_partition=${s.shards}, seed=${DATA.seed})`,
    },
    inner: {
      name: "Inner Dirichlet (equal sizes)",
      says: "For each client, the shares of the classes are drawn from a Dirichlet distribution. All clients have the same size.",
      section: "inner-dirichlet",
      controls: { alpha: DATA.alphas },
      code: (s) => {
        const size = (DATA.numClasses * DATA.rowsPerClass) / s.clients;
        return `InnerDirichletPartitioner([${size}] * ${s.clients}, alpha=${s.alpha}, seed=${DATA.seed})`;
      },
    },
    quantity: {
      name: "Sizes (quantity skew)",
      says: "Clients differ in size only: the sizes are drawn from a Dirichlet distribution, and rows are assigned at random.",
      section: "sizes",
      controls: { alpha: DATA.alphas },
      code: (s) => `QuantityPartitioner(${s.clients}, alpha=${s.alpha}, seed=${DATA.seed})`,
    },
    mixture: {
      name: "Partly IID",
      says: "A fraction of the rows is assigned at random. Of the remaining rows, each client gets two classes.",
      section: "partly-iid",
      controls: { iid: DATA.iidFractions },
      code: (s) =>
        `MixturePartitioner(PathologicalPartitioner(${s.clients}, seed=${DATA.seed}), iid_fraction=${s.iid})`,
    },
  };

  // More cells than those of ten clients are tedious to click.
  const MOST_EXCLUDING = 10;
  const HOSPITALS = [[1, 3, 7], [2, 5, 8], [4, 6, 9]];
  const START = { scheme: "dirichlet", clients: 10, alpha: 0.3, held: 2, shards: 2, iid: 0.5, excluded: [] };

  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const nearest = (stops, value) => {
    const wanted = Math.min(Math.max(value, stops[0]), stops.at(-1)); // or huge numbers would be as far from all stops
    return stops.reduce((best, stop) => (Math.abs(stop - wanted) < Math.abs(best - wanted) ? stop : best));
  };

  /** The numbers of clients that a scheme can show. */
  function clientStops(scheme) {
    return scheme === "exclusion" ? DATA.clients.filter((count) => count <= MOST_EXCLUDING) : DATA.clients;
  }

  /** The nearest state that can be shown. */
  function allowed(wanted) {
    const state = { ...START, ...wanted };
    if (!Object.hasOwn(SCHEMES, state.scheme)) state.scheme = START.scheme;
    const { controls } = SCHEMES[state.scheme];
    state.clients = nearest(clientStops(state.scheme), state.clients);
    for (const name of ["alpha", "held", "shards", "iid"]) {
      if (controls[name]) state[name] = nearest(controls[name], state[name]);
    }
    if (controls.excluded) {
      state.excluded = Array.from({ length: state.clients }, (_, client) => {
        const codes = state.excluded[client] ?? HOSPITALS[client % HOSPITALS.length];
        const known = [...new Set(codes)].filter((code) => code >= 0 && code < DATA.numClasses);
        return known.length < DATA.numClasses ? known.sort((a, b) => a - b) : [];
      });
      // Each class needs a client that may hold it.
      for (let code = 0; code < DATA.numClasses; code++) {
        if (state.excluded.every((codes) => codes.includes(code))) {
          state.excluded[0] = state.excluded[0].filter((other) => other !== code);
        }
      }
    }
    return state;
  }

  /** Python's code: `excluded` where needed, and the line that makes the split. */
  function codeOf(state) {
    const line = `split = ${SCHEMES[state.scheme].code(state)}.assign(labels)`;
    const lines = line.length <= 80 ? line : broken(line);
    return state.scheme === "exclusion" ? `${excludedCode(state.excluded)}\n${lines}` : lines;
  }

  /** The whole script: imports and labels too. */
  function scriptOf(state) {
    const names = [...new Set(SCHEMES[state.scheme].code(state).match(/\w+Partitioner/g))].sort();
    return [
      "import numpy as np",
      "",
      `from flskew import ${names.join(", ")}`,
      "",
      `labels = np.repeat(np.arange(${DATA.numClasses}), ${DATA.rowsPerClass})`,
      codeOf(state),
    ].join("\n");
  }

  /** A line that is too long, broken where ruff breaks it. */
  function broken(line) {
    const [, start, inside, end] = line.match(/^(split = \w+\()(.*)(\)\.assign\()labels\)$/);
    if (`${start}${inside}${end}`.length <= 80) return `${start}${inside}${end}\n    labels\n)`;
    return `${start}\n    ${inside}\n${end}labels)`;
  }

  function excludedCode(excluded) {
    const sets = excluded.map((codes) => (codes.length ? `{${codes.join(", ")}}` : "set()"));
    const line = `excluded = [${sets.join(", ")}]`;
    return line.length <= 80 ? line : ["excluded = [", ...sets.map((set) => `    ${set},`), "]"].join("\n");
  }

  // Counts: one list per client, with one number per class.

  function countsOf(state) {
    if (state.scheme === "exclusion") return allocate(state.excluded);
    return unpack(DATA.frames[SCHEMES[state.scheme].code(state)]);
  }

  /** What scripts/explore_frames.py packs. */
  function unpack(text) {
    const digits = [...text].map((letter) => letter.charCodeAt(0) - 35 - (letter > "\\" ? 1 : 0));
    const numbers = [];
    while (digits.length) {
      const digit = digits.shift();
      if (digit < 60) numbers.push(digit);
      else if (digit < 70) numbers.push(60 + (digit - 60) * 91 + digits.shift());
      else numbers.push(...Array(digit - 68).fill(0));
    }
    const rows = [];
    while (numbers.length) rows.push(numbers.splice(0, DATA.numClasses));
    return rows;
  }

  /** LabelExclusionPartitioner's counts: equal shares among the holders of a class, rounded as flskew rounds them. */
  function allocate(excluded) {
    const counts = excluded.map(() => Array(DATA.numClasses).fill(0));
    for (let code = 0; code < DATA.numClasses; code++) {
      const holders = excluded.flatMap((codes, client) => (codes.includes(code) ? [] : [client]));
      const shares = holders.map(() => 1 / holders.length);
      const whole = sum(shares);
      let edge = 0, before = 0;
      holders.forEach((client, place) => {
        edge += shares[place];
        const shifted = Math.floor((edge / whole) * DATA.rowsPerClass + DATA.offsets[code]);
        const above = Math.min(shifted, DATA.rowsPerClass);
        counts[client][code] = above - before;
        before = above;
      });
    }
    return counts;
  }

  // Measures: docs/skew.md defines them. Each has its value, and the values with no skew and with full skew.

  const entropy = (shares) => -sum(shares.filter((share) => share > 0).map((share) => share * Math.log2(share)));
  const scaled = (numbers) => {
    const total = sum(numbers);
    return numbers.map((number) => number / total);
  };
  const mean = (numbers) => sum(numbers) / numbers.length;
  const column = (rows, place) => rows.map((row) => row[place]);

  function measures(counts) {
    const sizes = counts.map(sum);
    const weights = scaled(sizes);
    const classes = [...counts[0].keys()];
    const overall = scaled(classes.map((code) => sum(column(counts, code))));
    const filled = counts.filter((_, client) => sizes[client] > 0).map(scaled);
    const entropies = filled.map(entropy);
    const distances = counts.map((row, client) =>
      sizes[client] ? sum(scaled(row).map((share, code) => Math.abs(share - overall[code]))) / 2 : 0);
    const pooled = entropy(classes.map((code) => mean(column(filled, code))));
    const divergence = filled.length > 1 ? (pooled - mean(entropies)) / Math.log2(filled.length) : 0;
    const differences = sum(sizes.flatMap((size) => sizes.map((other) => Math.abs(size - other))));
    const cells = counts.flat();
    return {
      total_variation: [sum(weights.map((w, client) => w * distances[client])), 0, 1 - sum(weights.map((w) => w * w))],
      jensen_shannon: [Math.sqrt(Math.min(Math.max(divergence, 0), 1)), 0, 1],
      missing_classes: [cells.filter((count) => count === 0).length / cells.length, 0, 1 - 1 / classes.length],
      effective_classes: [mean(entropies.map((bits) => 2 ** bits)), 2 ** entropy(overall), 1],
      effective_clients: [2 ** entropy(weights) / counts.length, 1, 1 / counts.length],
      gini: [differences / (2 * counts.length * sum(sizes)), 0, 1 - 1 / counts.length],
    };
  }

  // The address: what is after its # restores a state.

  function hashOf(state) {
    const parts = [`scheme=${state.scheme}`, `clients=${state.clients}`];
    for (const name of Object.keys(SCHEMES[state.scheme].controls)) {
      parts.push(`${name}=${name === "excluded" ? state.excluded.map((codes) => codes.join("")).join(".") : state[name]}`);
    }
    return `#${parts.join("&")}`;
  }

  function stateOf(hash) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const wanted = {};
    if (given.has("scheme")) wanted.scheme = given.get("scheme");
    for (const name of ["clients", "alpha", "held", "shards", "iid"]) {
      const number = Number.parseFloat(given.get(name));
      if (Number.isFinite(number)) wanted[name] = number;
    }
    if (given.has("excluded")) {
      wanted.excluded = given.get("excluded").split(".").map((digits) => [...digits].map(Number));
    }
    return wanted;
  }

  return { DATA, SCHEMES, allocate, allowed, clientStops, codeOf, countsOf, hashOf, measures, scriptOf, stateOf, unpack };
})();

(() => {
  const { DATA, SCHEMES, allowed, clientStops, codeOf, countsOf, hashOf, measures, scriptOf, stateOf } =
    globalThis.flskewExplore;
  const root = document.querySelector(".explore");
  const find = (name) => root.querySelector(`[data-explore=${name}]`);
  const SLIDERS = ["clients", "alpha", "held", "shards", "iid"];
  // Pixels, of the cells of a picture. A lower one would have no room for the name of its class.
  const WIDEST = 56, HIGHEST = 36, LOWEST = 18, SMALLEST_CROSSED = 8;

  let state = allowed(stateOf(location.hash));
  let counts = [];
  let resting;

  const number = (value, digits = 0) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const percent = (value) => `${number(100 * value)}\u00a0%`;
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // Controls

  function stopsOf(name) {
    return name === "clients" ? clientStops(state.scheme) : SCHEMES[state.scheme].controls[name];
  }

  function showControls() {
    const scheme = SCHEMES[state.scheme];
    find("scheme").value = state.scheme;
    find("says").textContent = scheme.says;
    find("more").href = `../which-partitioner/#${scheme.section}`;
    find("excluding").hidden = !scheme.controls.excluded;
    for (const name of SLIDERS) {
      const stops = stopsOf(name);
      find(`${name}-field`).hidden = !stops;
      if (!stops) continue;
      const slider = find(name);
      slider.max = stops.length - 1;
      slider.value = stops.indexOf(state[name]);
      slider.setAttribute("aria-valuetext", state[name]);
      find(`${name}-value`).textContent = state[name];
    }
  }

  // Picture: a table with a dot, or a cross, in each cell. It is built anew only if its shape changes.

  function build(picture, excluding) {
    const clients = [...counts.keys()];
    const sizes = make("tr", { className: "sizes" }, make("th", { scope: "row" }, "rows"));
    sizes.append(...clients.map(() => make("td", {}, make("i"), make("span"))));
    const names = make("tr", { className: "clients" }, make("th", { scope: "row" }, "client"));
    names.append(...clients.map((client) => make("th", { scope: "col" }, make("span", {}, `${client}`))));
    const rows = [...counts[0].keys()].map((code) => {
      const head = make("th", { scope: "row" }, make("span", {}, "class "), `${code}`);
      const cells = clients.map((client) => {
        const dot = [make("i"), make("span")];
        const button = () => make("button", { type: "button", tabIndex: -1 }, ...dot);
        const cell = make("td", {}, ...(excluding ? [button()] : dot));
        Object.assign(cell.dataset, { client, code });
        return cell;
      });
      return make("tr", { className: "classes" }, head, ...cells);
    });
    picture.replaceChildren(make("caption"), make("thead", {}, sizes, names), make("tbody", {}, ...rows));
    picture.dataset.shape = `${clients.length} ${excluding}`;
    if (excluding) picture.querySelector("button").tabIndex = 0;
  }

  function showPicture() {
    const picture = find("picture");
    const excluding = state.scheme === "exclusion";
    if (picture.dataset.shape !== `${counts.length} ${excluding}`) build(picture, excluding);
    const { cell, high, step, tiny } = fit(picture);
    const falling = counts.flat().sort((one, other) => other - one);
    const largest = falling[0];
    const sizes = counts.map((row) => row.reduce((total, count) => total + count, 0));
    const partOf = (count) => Math.sqrt(count / largest);
    const hasRoom = (count) => {
      const side = 0.94 * partOf(count) * Math.min(cell, high);
      return 6.2 * `${count}`.length <= 0.82 * side && side > 13;
    };
    // A larger dot than one with a number has a number, too: 84 is narrower than 140, which would be odd to see.
    const unwritten = falling.find((count) => !hasRoom(count)) ?? -1;
    picture.querySelectorAll(".sizes td").forEach((td, client) => {
      const text = number(sizes[client]);
      td.style.setProperty("--part", sizes[client] / Math.max(...sizes));
      td.querySelector("span").textContent = text;
      td.classList.toggle("small", 6.2 * text.length > cell);
      td.title = `client ${client}: ${text} rows`;
    });
    picture.querySelectorAll(".clients th[scope=col]").forEach((th, client) => {
      th.classList.toggle("small", client % step !== 0);
    });
    for (const td of picture.querySelectorAll(".classes td")) {
      const { client, code } = td.dataset;
      const count = counts[client][code];
      td.querySelector("i").style.setProperty("--part", partOf(count));
      td.querySelector("span").textContent = count;
      td.classList.toggle("none", count === 0);
      td.classList.toggle("small", count <= unwritten);
      td.title = `client ${client}, class ${code}: ${number(count)} rows`;
      if (excluding) {
        const button = td.querySelector("button");
        const excluded = state.excluded[client].includes(Number(code));
        button.setAttribute("aria-pressed", excluded);
        button.setAttribute("aria-label", `Exclude class ${code} from client ${client}`);
      }
    }
    const scale = unwritten <= 0 ? "" : ` The largest is ${number(largest)} rows.`;
    const key = counts.flat().includes(0) ? (tiny ? " No dot: no rows." : " A cross: no rows.") : "";
    picture.caption.textContent = `A dot's area is the number of rows.${scale}${key}`;
  }

  /** Adapt the cells to the room that there is. */
  function fit(picture) {
    const head = picture.querySelector(".sizes th").offsetWidth;
    const cell = Math.min((find("frame").clientWidth - head) / counts.length, WIDEST);
    const high = Math.min(Math.max(cell, LOWEST), HIGHEST);
    const tiny = cell < SMALLEST_CROSSED;
    picture.style.setProperty("--columns", counts.length);
    picture.style.setProperty("--cell", `${cell}px`);
    picture.style.setProperty("--high", `${high}px`);
    picture.classList.toggle("tiny", tiny);
    // Of the clients' numbers, every second, fifth or tenth has room.
    const step = [1, 2, 5, 10].find((every) => every * cell >= (counts.length > 10 ? 16 : 9));
    return { cell, high, step, tiny };
  }

  // Measures

  const MEANINGS = {
    total_variation: (value) => `${percent(value)} of the labels would have to change to make all clients alike`,
    jensen_shannon: () => "a distance between clients that papers often report; all clients count equally",
    missing_classes: (value) => `${percent(value)} of all pairs of a client and a class have no rows`,
    effective_classes: (value) => `clients effectively have ${number(value, 1)} classes on average; rare classes count less`,
    effective_clients: (value) => `effectively, ${number(value * counts.length, 1)} of ${counts.length} clients hold the rows`,
    gini: () => "how unequal the sizes are: 0 if all clients have the same number of rows",
  };

  function buildMeasures() {
    for (const name of Object.keys(MEANINGS)) {
      const link = make("a", { href: "../skew/#what-the-measures-mean" }, make("code", {}, name));
      const value = make("output", { id: `explore-${name}` });
      const item = make("li", {}, link, value, make("div", { className: "bar" }, make("i")), make("p"));
      find(name === "effective_clients" || name === "gini" ? "sizes" : "labels").append(item);
    }
  }

  function showMeasures() {
    for (const [name, [value, none, full]] of Object.entries(measures(counts))) {
      const output = document.getElementById(`explore-${name}`);
      const skew = none === full ? 0 : Math.min(Math.max((value - none) / (full - none), 0), 1);
      output.textContent = number(value, name === "effective_classes" ? 2 : 3);
      output.parentElement.querySelector("i").style.setProperty("--part", skew);
      output.parentElement.querySelector("p").textContent = MEANINGS[name](value);
    }
  }

  // In words, also for those who cannot see the picture

  function showSummary(refusal = "") {
    const sizes = counts.map((row) => row.reduce((total, count) => total + count, 0));
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)].map((size) => number(size));
    const cells = counts.flat();
    const missing = cells.filter((count) => count === 0).length;
    const left = DATA.numClasses * DATA.rowsPerClass - sizes.reduce((total, size) => total + size, 0);
    const text = [
      refusal,
      `${counts.length} clients have ${least === most ? least : `${least} to ${most}`} rows${least === most ? " each" : ""}.`,
      missing ? `${missing} of ${cells.length} client-class pairs ${missing === 1 ? "has" : "have"} no rows.` : "Every client has every class.",
      `To make all clients alike, ${percent(measures(counts).total_variation[0])} of the labels would have to change.`,
      left ? `${number(left)} rows are unassigned: their classes have no client.` : "",
    ].filter(Boolean).join(" ");
    find("summary").textContent = text;
  }

  // Code

  const TOKENS = /(?<k>\b(?:import|from|as)\b)|(?<mi>\b\d+(?:\.\d+)?\b)|(?<n>\w+)|(?<o>[^\w\s]+)/g;

  function coloured(text) {
    const parts = [];
    let last = 0;
    for (const found of text.matchAll(TOKENS)) {
      const [kind] = Object.entries(found.groups).find(([, token]) => token);
      parts.push(text.slice(last, found.index), make("span", { className: kind }, found[0]));
      last = found.index + found[0].length;
    }
    return [...parts, text.slice(last)];
  }

  function showCode() {
    const line = codeOf(state);
    const script = scriptOf(state);
    find("code").replaceChildren(...coloured(line));
    find("script").replaceChildren(...coloured(script));
  }

  async function copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
      find("copied").textContent = "Copied.";
    } catch {
      // Without access to the clipboard, the code is selected for Ctrl+C.
      find("whole").open = true;
      getSelection().selectAllChildren(find(button === find("copy-line") ? "code" : "script"));
      find("copied").textContent = "Selected: press Ctrl+C to copy.";
    }
    setTimeout(() => { find("copied").textContent = ""; }, 3000);
  }

  // Together

  function show() {
    counts = countsOf(state);
    showControls();
    showPicture();
    showMeasures();
    showSummary();
    showCode();
    for (const preset of document.querySelectorAll(".explore-presets a")) {
      const wanted = hashOf(allowed(stateOf(preset.hash)));
      if (wanted === hashOf(state)) preset.setAttribute("aria-current", "true");
      else preset.removeAttribute("aria-current");
    }
  }

  function change(wanted) {
    state = allowed({ ...state, ...wanted });
    show();
    clearTimeout(resting);
    resting = setTimeout(rest, 300);
  }

  /** Once a slider has come to rest: screen readers would stumble, and browsers refuse many changes of an address. */
  function rest() {
    history.replaceState(history.state, "", hashOf(state));
    find("status").textContent = find("summary").textContent;
  }

  function toggle(cell) {
    const [client, code] = [Number(cell.dataset.client), Number(cell.dataset.code)];
    const excluded = state.excluded.map((codes) => [...codes]);
    const held = !excluded[client].includes(code);
    excluded[client] = held ? [...excluded[client], code] : excluded[client].filter((other) => other !== code);
    if (excluded[client].length === DATA.numClasses) {
      refuse(`Client ${client} needs at least one class.`);
    } else if (excluded.every((codes) => codes.includes(code))) {
      refuse(`Client ${client} is the last with class ${code}, and every class needs a client.`);
    } else {
      change({ excluded });
    }
  }

  function refuse(reason) {
    showSummary(reason);
    find("status").textContent = reason;
  }

  function move(event) {
    const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
    const cell = event.target.closest("td[data-client]");
    if (!cell || !(right || down)) return;
    event.preventDefault();
    const [client, code] = [Number(cell.dataset.client) + right, Number(cell.dataset.code) + down];
    find("picture").querySelector(`[data-client="${client}"][data-code="${code}"] button`)?.focus();
  }

  function start() {
    for (const [id, scheme] of Object.entries(SCHEMES)) {
      find("scheme").append(make("option", { value: id }, scheme.name));
    }
    buildMeasures();
    find("scheme").addEventListener("change", (event) => change({ scheme: event.target.value }));
    for (const name of SLIDERS) {
      find(name).addEventListener("input", (event) => change({ [name]: stopsOf(name)[event.target.value] }));
    }
    find("clear").addEventListener("click", () => change({ excluded: state.excluded.map(() => []) }));
    const picture = find("picture");
    picture.addEventListener("click", (event) => {
      if (event.target.closest("button")) toggle(event.target.closest("td"));
    });
    picture.addEventListener("keydown", move);
    picture.addEventListener("focusin", (event) => {
      for (const button of picture.querySelectorAll("button")) button.tabIndex = button === event.target ? 0 : -1;
    });
    find("copy-line").addEventListener("click", (event) => copy(event.currentTarget, codeOf(state)));
    find("copy-all").addEventListener("click", (event) => copy(event.currentTarget, `${scriptOf(state)}\n`));
    addEventListener("hashchange", () => {
      // Other addresses are sections of the page; without a setting or a section, it is as it was at first.
      if (location.hash && !location.hash.includes("scheme=")) return;
      state = allowed(stateOf(location.hash));
      show();
    });
    root.hidden = false;
    new ResizeObserver(() => showPicture()).observe(find("frame"));
    show();
  }

  start();
})();
