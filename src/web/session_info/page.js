"use strict";
const INTERVAL = 1000, KEPT = 120;
const TABS = ["Graphs", "Connection", "Windows", "Statistics"];
const SVG = "http://www.w3.org/2000/svg";
const samples = [];
let tab = TABS[0], chosen = "";
const byId = (id) => document.getElementById(id);

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const short = (value) => String(Number(value.toPrecision(3)));

function scaled(value, step, names) {
  let index = 0;
  while (Math.abs(value) >= step && index + 1 < names.length) { value /= step; index += 1; }
  return (short(value) + " " + names[index]).trim();
}

function show(unit, value) {
  switch (unit) {
    case "bytes": return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
    case "bytes-per-second": return scaled(value * 8, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
    case "milliseconds": return short(value) + " ms";
    default: return Math.abs(value) < 1e4 ? short(value) : scaled(value, 1000, ["", "k", "M", "G", "T"]);
  }
}

function nice(least) {
  if (!(least > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * (1 - 1e-9));
}

function endOfScale(unit, most) {
  if (unit === "bytes-per-second") return nice(most * 8) / 8;
  if (unit !== "bytes" || most < 1) return nice(most);
  const step = 1024 ** Math.floor(Math.log(most) / Math.log(1024));
  return nice(most / step) * step;
}

// The mean since the sample before; servers tell how many there ever were, and their sum.
function compare(client, before) {
  for (const [key, spread] of Object.entries(client.latencies)) {
    const then = before?.latencies[key], count = spread.count - then?.count;
    if (count > 0) spread.recent = (spread.sum - then.sum) / count;
  }
}

const clientOf = (sample) => sample.clients.find((client) => client.id === chosen);

function reading(client, path) {
  let value = client;
  for (const key of path) value = value === undefined || value === null ? undefined : value[key];
  return typeof value === "number" ? value : undefined;
}

function graph(definition) {
  const section = element("section");
  section.append(element("h2", definition.title));
  const lines = definition.lines.map((line) => samples.flatMap((sample) => {
    const client = clientOf(sample);
    const value = client && reading(client, line.path);
    return value === undefined ? [] : [[sample.time, value]];
  }));
  const legend = element("ul", undefined, "legend");
  definition.lines.forEach((line, index) => {
    const value = reading(clientOf(samples.at(-1)), line.path);
    const absence = clientOf(samples.at(-1)).missing.includes(line.path[1]) ? "not told" : "–";
    legend.append(element("li", line.label + " " + (value === undefined ? absence : show(definition.unit, value)), "t" + index));
  });
  section.append(legend);
  const most = endOfScale(definition.unit, Math.max(0, ...lines.flat().map((point) => point[1])));
  const end = samples.at(-1).time, begin = Math.min(samples[0].time, end - 10);
  const x = (at) => 70 + 510 * (at - begin) / (end - begin), y = (value) => 135 - 120 * value / most;
  const picture = drawn("svg", {viewBox: "0 0 600 150", preserveAspectRatio: "none", role: "img", "aria-label": definition.title});
  for (const part of [0, 0.5, 1]) {
    picture.append(drawn("path", {class: "rule", d: "M70 " + y(most * part) + "H580"}));
    picture.append(drawn("text", {x: 64, y: y(most * part) + 4, "text-anchor": "end"}, show(definition.unit, most * part)));
  }
  lines.forEach((points, index) => picture.append(drawn("polyline", {
    class: "l" + index,
    points: points.map(([at, value]) => x(at).toFixed(1) + "," + y(value).toFixed(1)).join(" "),
  })));
  section.append(picture);
  return section;
}

function table(heads, rows) {
  const made = element("table"), head = element("tr");
  heads.forEach((text, index) => head.append(element("th", text, index ? "n" : "")));
  made.append(head);
  for (const row of rows) {
    const line = element("tr");
    row.forEach((text, index) => line.append(element("td", text, index && heads.length ? "n" : "")));
    made.append(line);
  }
  return made;
}

function section(...parts) {
  const made = element("section", undefined, "wide");
  made.append(...parts);
  return made;
}

const words = (key) => key.replaceAll("-", " ");
const texts = (object) => Object.entries(object).filter(([, value]) => typeof value === "string").map(([key, value]) => [words(key), value]);

const PAGES = {
  Graphs: (sample) => sample.graphs.map(graph),
  Connection: (sample, client) => {
    const parts = [section(element("h2", "Connection"), table([], texts(client))), section(element("h2", "Server"), table([], texts(sample.server)))];
    if (client.missing.length) parts.push(section(element("h2", "Not told by this server"), element("p", client.missing.map(words).join(", "))));
    return parts;
  },
  Windows: (_, client) => {
    const rows = client.windows.flatMap((window) => Object.entries(window.encodings).map(([name, counts]) =>
      [window.id, window.size ? window.size.join("×") : "", name, show("count", counts.frames), show("count", counts.pixels)]));
    return [section(table(["window", "size", "encoding", "pictures", "pixels"], rows))];
  },
  Statistics: (sample, client) => {
    const numbers = ["cur", "min", "avg", "50p", "80p", "90p", "95p", "99p", "max"];
    const spreads = Object.entries(client.latencies).map(([key, spread]) =>
      [words(key), ...numbers.map((name) => spread[name] === undefined ? "–" : spread[name].toFixed(2))]);
    const metrics = Object.entries(client.metrics).map(([key, value]) => [words(key), show(sample.units[key], value)]);
    return [section(table(["latency, ms", ...numbers], spreads)), section(table([], metrics))];
  },
};

function draw() {
  const sample = samples.at(-1), main = byId("main");
  if (!sample) return;
  const ids = sample.clients.map((client) => client.id);
  if (!ids.includes(chosen)) chosen = ids[0] ?? "";
  const select = byId("client");
  if (select.dataset.ids !== ids.join()) {
    select.dataset.ids = ids.join();
    select.replaceChildren(...sample.clients.map((client) => {
      const option = element("option", (client.username || client.type || "?") + "@" + (client.hostname || "?") + " (" + client.id + ")");
      option.value = client.id;
      return option;
    }));
  }
  select.value = chosen;
  const client = clientOf(sample);
  main.replaceChildren(...(client ? PAGES[tab](sample, client) : [element("p", "Nobody uses the session now.")]));
}

async function sampleOnce() {
  try {
    const answer = await fetch("SessionInfo.json", {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.status + " " + answer.statusText);
    const sample = await answer.json();
    const last = samples.at(-1);
    // another server has taken its place
    if (last && sample.time < last.time) samples.length = 0;
    for (const client of sample.clients) compare(client, samples.at(-1)?.clients.find((other) => other.id === client.id));
    samples.push(sample);
    if (samples.length > KEPT) samples.shift();
    byId("state").textContent = [sample.server.software, sample.server.display].filter(Boolean).join(" ");
    draw();
  } catch (error) {
    byId("state").textContent = "No answer: " + error.message;
  }
  setTimeout(sampleOnce, INTERVAL);
}

for (const name of TABS) {
  const button = element("button", name);
  button.addEventListener("click", () => {
    tab = name;
    for (const other of byId("tabs").children) other.setAttribute("aria-selected", String(other.textContent === tab));
    draw();
  });
  button.setAttribute("aria-selected", String(name === tab));
  byId("tabs").append(button);
}
byId("client").addEventListener("change", (event) => { chosen = event.target.value; draw(); });
sampleOnce();
