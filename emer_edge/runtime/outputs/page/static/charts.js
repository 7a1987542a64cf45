// Traces of valence and arousal, the latency histogram, and where the person looks.

import { decades, duration, scale, shape, signed, widthOf } from "./drawing.js";

const byId = (id) => document.getElementById(id);
const HEIGHT = 130;
const ENDS = { valence: ["pleasant", "unpleasant"], arousal: ["excited", "calm"] };

/** Values over the last `span_s` seconds, felt and shown, and the room between them. */
export function trace(name, points, span_s, heads) {
  const drawing = byId(name);
  const head = { felt: `er-${name}`, shown: `fer-${name}` };
  const possible = Object.values(head).filter((each) => heads.some((other) => other.name === each));
  const read = possible.filter((each) => points.some((point) => point.values[each] !== undefined));
  const known = read.length ? read : possible; // without an eye tracker only what is shown is read
  drawing.closest("figure").hidden = known.length === 0;
  if (!known.length) return;
  const range = heads.find((each) => each.name === known[0]);
  const WIDTH = widthOf(drawing, 360);
  const newest = points.length ? points[points.length - 1].end_ns : 0;
  const x = scale(-span_s, 0, 30, WIDTH - 4);
  const y = scale(range.low, range.high, HEIGHT - 20, 6);
  const at = (point) => x((point.end_ns - newest) / 1e9);
  const parts = [];
  for (const tick of [range.low, (range.low + range.high) / 2, range.high]) {
    parts.push(shape("line", { x1: 30, x2: WIDTH - 4, y1: y(tick), y2: y(tick), class: tick === 0 ? "zero" : "grid" }));
    parts.push(shape("text", { x: 24, y: y(tick) + 4, "text-anchor": "end" }, tick === 0 ? "0" : signed(tick, 0)));
  }
  ENDS[name].forEach((word, low) => parts.push(shape("text", { x: 34, y: low ? HEIGHT - 25 : 18 }, word)));
  for (const back of [span_s, span_s / 2, 0]) {
    const words = back ? ago(back) : "now";
    const anchor = back === span_s ? "start" : back ? "middle" : "end";
    parts.push(shape("text", { x: x(-back), y: HEIGHT - 4, "text-anchor": anchor }, words));
  }
  for (const run of runs(points, (point) => known.every((each) => point.values[each] !== undefined))) {
    if (known.length === 2) {
      const out = run.map((each) => `${at(each).toFixed(1)},${y(each.values[head.felt]).toFixed(1)}`);
      const back = run.map((each) => `${at(each).toFixed(1)},${y(each.values[head.shown]).toFixed(1)}`).reverse();
      parts.push(shape("polygon", { points: [...out, ...back].join(" "), class: "between" }));
    }
    for (const side of ["felt", "shown"]) {
      if (!known.includes(head[side])) continue;
      const path = run.map((each) => `${at(each).toFixed(1)},${y(each.values[head[side]]).toFixed(1)}`);
      parts.push(shape("polyline", { points: path.length > 1 ? path.join(" ") : `${path[0]} ${path[0]}`, class: `line ${side}`, "stroke-linecap": "round" }));
    }
  }
  for (const point of points.filter((each) => each.markers.length)) parts.push(marker(point, at(point), 6, HEIGHT - 20));
  drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  drawing.replaceChildren(...parts);
  const last = points.length ? points[points.length - 1].values : {};
  const spoken = [];
  const now = byId(`${name}-now`);
  now.replaceChildren();
  for (const side of ["felt", "shown"]) {
    const value = last[head[side]];
    if (value === undefined) continue;
    const word = document.createElement("span");
    word.className = side;
    word.textContent = `${side} ${signed(value)}`;
    now.append(word, " ");
    spoken.push(word.textContent);
  }
  drawing.setAttribute("aria-label", `${name}: ${spoken.join(", ") || "unknown now"}`);
}

/** The gap over the same span, under its figure; what the newest reading covers, and how large a gap is usual. */
export function gapTrace(points, span_s, { window_s, usual_gap: usual }) {
  const drawing = byId("gap-trace");
  const [width, height, left] = [widthOf(drawing, 680), 118, 30];
  const newest = points.length ? points[points.length - 1].end_ns : 0;
  const x = scale(-span_s, 0, left, width - 4);
  const y = scale(0, 1, height - 20, 18);
  const at = (point) => x((point.end_ns - newest) / 1e9).toFixed(1);
  const known = points.filter((each) => typeof each.gap === "number");
  const parts = [shape("text", { x: 0, y: 9 }, "gap")];
  if (points.length && Object.keys(points[points.length - 1].values).length) {
    parts.push(shape("rect", { x: x(-window_s), y: y(1), width: x(0) - x(-window_s), height: y(0) - y(1), class: "covered" }));
    parts.push(shape("text", { x: x(0), y: 9, "text-anchor": "end" }, "covered by this reading"));
  }
  for (const tick of [0, 0.5, 1]) {
    parts.push(shape("line", { x1: left, x2: width - 4, y1: y(tick), y2: y(tick), class: "grid" }));
    parts.push(shape("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  for (const run of runs(points, (point) => typeof point.gap === "number")) {
    const path = run.map((each) => `${at(each)},${y(each.gap).toFixed(1)}`);
    parts.push(shape("polygon", { points: [`${at(run[0])},${y(0)}`, ...path, `${at(run[run.length - 1])},${y(0)}`].join(" "), class: "area" }));
    parts.push(shape("polyline", { points: path.join(" "), class: "line" }));
  }
  for (const back of [span_s, span_s / 2, 0]) {
    const anchor = back === span_s ? "start" : back ? "middle" : "end";
    parts.push(shape("text", { x: x(-back), y: height - 4, "text-anchor": anchor }, back ? ago(back) : "now"));
  }
  if (usual !== null) {
    parts.push(shape("line", { x1: left, x2: width - 4, y1: y(usual), y2: y(usual), class: "usual" }));
    parts.push(shape("text", { x: left + 4, y: y(usual) - 4, class: "usual-text" }, "felt and shown agree below this, in 95 % of clips"));
  }
  for (const point of points.filter((each) => each.markers.length)) parts.push(marker(point, at(point), y(1), y(0)));
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.replaceChildren(...parts);
  const values = known.map((each) => each.gap);
  const words = values.length ? `between ${Math.min(...values).toFixed(2)} and ${Math.max(...values).toFixed(2)}` : "unknown so far";
  drawing.setAttribute("aria-label", `gap over time, 0 to 1: ${words}${usual === null ? "" : `; up to ${usual.toFixed(2)} is usual where felt and shown agree`}`);
}

function marker(point, x, top, bottom) {
  const line = shape("line", { x1: x, x2: x, y1: top, y2: bottom, class: "marker" });
  line.append(shape("title", {}, point.markers.join(", ")));
  return line;
}

const ago = (seconds) => (seconds >= 60 ? `−${seconds / 60} min` : `−${seconds} s`);

// Stretches without holes: where a value is missing, the line breaks.
function runs(points, holds) {
  const found = [];
  let run = [];
  for (const point of points) {
    if (holds(point)) {
      run.push(point);
    } else if (run.length) {
      found.push(run);
      run = [];
    }
  }
  if (run.length) found.push(run);
  return found;
}

const edge = (number) => 10 ** (number / 20); // of a bin, in ms

// Labels one above the other where they would overlap: each in the lowest lane with room, at its mark's right or left.
function laned(labels, right) {
  const ends = [];
  return labels.map(({ here, words }) => {
    const size = 7.2 * words.length;
    const flip = here + 4 + size > right;
    const start = flip ? here - 4 - size : here + 4;
    let lane = ends.findIndex((end) => end + 6 <= start);
    if (lane < 0) lane = ends.length;
    ends[lane] = start + size;
    return { here, words, lane, x: flip ? here - 4 : here + 4, anchor: flip ? "end" : "start" };
  });
}

/** All durations of a stage; `bins` are pairs of number and count, 20 a decade of ms. */
export function histogram(stage, name) {
  const drawing = byId("histogram");
  const [width, height, left, bottom, top] = [widthOf(drawing, 680), 206, 30, 184, 46];
  const parts = [];
  if (!stage) {
    drawing.replaceChildren();
    byId("percentiles").textContent = "nothing measured so far";
    return;
  }
  const bins = [...stage.bins].sort((one, other) => one[0] - other[0]);
  let low = edge(bins[0][0] - 1);
  let high = Math.max(edge(bins[bins.length - 1][0]), stage.max_ms);
  if (high / low < 10) [low, high] = [low / Math.sqrt((10 * low) / high), high * Math.sqrt((10 * low) / high)];
  const along = scale(Math.log10(low), Math.log10(high), left, width - 8);
  const x = (value) => along(Math.log10(value));
  const most = Math.max(...bins.map((each) => each[1]));
  const y = scale(0, most, bottom, top);
  let last = -Infinity;
  for (const tick of decades(low, high)) {
    parts.push(shape("line", { x1: x(tick), x2: x(tick), y1: top, y2: bottom, class: "grid" }));
    if (x(tick) - last < 52 || x(tick) > width - 14) continue;
    last = x(tick);
    parts.push(shape("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle" }, tick >= 1000 ? `${tick / 1000} s` : `${tick} ms`));
  }
  for (const tick of [0, most]) {
    parts.push(shape("line", { x1: left, x2: width - 8, y1: y(tick), y2: y(tick), class: "grid" }));
    parts.push(shape("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  for (const [number, count] of bins) {
    const start = x(edge(number - 1));
    const rise = Math.max(bottom - y(count), 1.5); // one slow hop must be seen
    parts.push(shape("rect", { x: start + 0.5, y: bottom - rise, width: Math.max(x(edge(number)) - start - 1, 1), height: rise, class: "bar" }));
  }
  const marks = [["p50", stage.p50_ms], ["p99", stage.p99_ms], ["max", stage.max_ms]];
  const labels = marks.map(([words, value]) => ({ here: x(value), words: `${words} ${duration(value)}` }));
  for (const { here, words, lane, x: at, anchor } of laned(labels, width - 4)) {
    const y = top - 8 - 14 * lane;
    parts.push(shape("line", { x1: here, x2: here, y1: y - 8, y2: bottom, class: "mark" }));
    parts.push(shape("text", { x: at, y, "text-anchor": anchor, class: "mark-text" }, words));
  }
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.replaceChildren(...parts);
  const figures = `half within ${duration(stage.p50_ms)}, 90 % ${duration(stage.p90_ms)}, 99 % ${duration(stage.p99_ms)}, maximum ${duration(stage.max_ms)}; ${stage.count} in all, no outliers removed`;
  byId("percentiles").textContent = figures;
  drawing.setAttribute("aria-label", `${name}: ${figures}`);
}

/** Every stage and age in a row of its own, all on one logarithmic axis; `names`: key -> words. */
export function stages(latency, names) {
  const known = Object.keys(names).filter((each) => latency[each]);
  byId("stages-table").hidden = !known.length;
  if (!known.length) return;
  const numbers = known.flatMap((each) => latency[each].bins.map((bin) => bin[0]));
  const low = Math.max(-2, Math.floor((Math.min(...numbers) - 1) / 20)); // what is 0 ms old must not take the room of the rest
  const high = Math.max(Math.ceil(Math.max(...numbers) / 20), low + 1);
  byId("stages-axis").textContent = `${duration(10 ** low)} to ${duration(10 ** high)}`;
  byId("stages").replaceChildren(...known.map((key) => {
    const { bins, p50_ms, p90_ms, p99_ms, max_ms, count } = latency[key];
    const [width, height] = [200, 22];
    const x = scale(low * 20, high * 20, 0, width);
    const most = Math.max(...bins.map((each) => each[1]));
    const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    drawing.append(shape("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, class: "grid" }));
    for (const [number, share] of bins) {
      const rise = Math.max((share / most) * height, 2.5);
      drawing.append(shape("rect", { x: x(number - 1), y: height - rise, width: Math.max(x(number) - x(number - 1), 1), height: rise, class: "bar" }));
    }
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = names[key];
    const picture = document.createElement("td");
    picture.append(drawing);
    row.append(head, picture, ...[p50_ms, p90_ms, p99_ms, max_ms].map(duration).concat(String(count)).map((words) => {
      const cell = document.createElement("td");
      cell.textContent = words;
      return cell;
    }));
    return row;
  }));
}

const trail = [];

/** Where the person looks, in shares of the display; null: the tracker sees no eye. */
export function gaze(at, display) {
  const drawing = byId("display");
  const width = widthOf(drawing, 320);
  const height = (width * display[1]) / display[0];
  trail.push(at);
  if (trail.length > 12) trail.shift();
  const parts = [shape("rect", { x: 1, y: 1, width: width - 2, height: height - 2, rx: 6, class: "glass" })];
  const place = (point) => [Math.min(Math.max(point[0], -0.02), 1.02) * width, Math.min(Math.max(point[1], -0.03), 1.03) * height];
  const seen = trail.slice(trail.lastIndexOf(null) + 1);
  if (seen.length > 1) {
    parts.push(shape("polyline", { points: seen.map((each) => place(each).map((one) => one.toFixed(1)).join(",")).join(" "), class: "trail" }));
  }
  if (at) {
    const [x, y] = place(at);
    parts.push(shape("circle", { cx: x, cy: y, r: 7, class: "point" }));
  } else {
    parts.push(shape("text", { x: width / 2, y: height / 2 + 5, class: "away" }, "no eye detected"));
  }
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.replaceChildren(...parts);
}
