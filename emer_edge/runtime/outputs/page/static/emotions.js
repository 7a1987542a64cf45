// The gap, and felt and shown side by side.

import { shape, signed } from "./drawing.js";

const byId = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)} %`;
const RADIUS = 70;
let heads = [];
let window_s = 1;
let rows = [];
let circles = null;

/** Lay out bars for the heads that the bundle has. */
export function prepare(about) {
  heads = about.heads;
  window_s = about.window_s;
  const body = byId("bars");
  body.replaceChildren();
  rows = [];
  for (const size of ["7", "3"]) {
    const felt = heads.find((each) => each.name === `er-${size}`);
    const shown = heads.find((each) => each.name === `fer-${size}`);
    const names = (felt ?? shown)?.classes ?? [];
    names.forEach((name, at) => {
      const row = document.createElement("tr");
      if (at === 0 && rows.length) row.className = "first";
      const made = { name, felt: felt && cell("felt"), shown: shown && cell("shown"), heads: [felt?.name, shown?.name] };
      const title = document.createElement("th");
      title.scope = "row";
      title.textContent = name;
      row.append(made.felt?.box ?? document.createElement("td"), title, made.shown?.box ?? document.createElement("td"));
      body.append(row);
      rows.push({ ...made, row, title });
    });
  }
  byId("emotions").hidden = rows.length === 0;
  byId("intensity").hidden = !heads.some((each) => each.target === "intensity");
  venn(null);
}

function cell(side) {
  const box = document.createElement("td");
  box.className = side;
  const inner = document.createElement("div");
  inner.className = "cell";
  const track = document.createElement("b");
  track.className = "track";
  const bar = document.createElement("i");
  const figure = document.createElement("span");
  figure.textContent = "–";
  track.append(bar);
  inner.append(track, figure);
  box.append(inner);
  return { box, bar, figure };
}

/** Show a result; returns a sentence for those who listen. */
export function show(result) {
  const best = {};
  for (const [head, value] of Object.entries(result.heads)) {
    if (value && typeof value === "object") {
      best[head] = Object.entries(value).reduce((one, other) => (other[1] > one[1] ? other : one));
    }
  }
  for (const each of rows) {
    [each.felt, each.shown].forEach((side, at) => {
      if (!side) return;
      const share = result.heads[each.heads[at]]?.[each.name];
      side.bar.style.transform = `scaleX(${share ?? 0})`;
      side.figure.textContent = share === undefined ? "–" : percent(share);
      side.box.classList.toggle("best", best[each.heads[at]]?.[0] === each.name);
    });
    each.title.className = each.heads.some((head) => best[head]?.[0] === each.name) ? "top" : "";
  }
  const felt = best["er-7"] ?? best["er-3"];
  const shown = best["fer-7"] ?? best["fer-3"];
  word("felt", felt);
  word("shown", shown);
  byId("gap").classList.toggle("none", !felt && !shown);
  intensity(result);
  venn(result.gap);
  byId("covers").textContent = Object.keys(result.heads).length ? `This reading covers the last ${seconds(result)} s.` : "";
  byId("reading").textContent = reading(result);
  const filling = byId("filling");
  filling.hidden = result.state !== "filling";
  filling.value = Math.max(0, 1 - result.filling_s / window_s);
  byId("gap-more").textContent = more(result);
  if (!felt && !shown) return "";
  const words = [felt && `felt ${felt[0]}`, shown && `shown ${shown[0]}`, result.gap && `gap ${result.gap.distance.toFixed(2)}`];
  return words.filter(Boolean).join(", ");
}

function word(side, best) {
  byId(`${side}-word`).textContent = best ? best[0] : "–";
  byId(`${side}-share`).textContent = best ? percent(best[1]) : "";
}

function intensity(result) {
  const head = heads.find((each) => each.target === "intensity");
  if (!head) return;
  const value = result.heads[head.name];
  const box = byId("intensity");
  const known = typeof value === "number";
  box.querySelector("i").style.transform = `scaleX(${known ? Math.min(1, Math.max(0, value / head.high)) : 0})`;
  box.querySelector("output").textContent = known ? `${value.toFixed(2)} of ${head.high}` : "–";
}

const seconds = (result) => ((result.end_ns - result.begin_ns) / 1e9).toFixed(1);

// In a visitor's words: how unusual the gap is, or why there is none.
function more(result) {
  if (!Object.keys(result.heads).length) return why(result);
  const { gap, absent } = result;
  if (!gap) return [absent.er ? `Only the face is read: ${absent.er}` : `No gap: ${absent.gap}`, ...strange(result)].join(" · ");
  if (gap.larger_than) return `Larger than in ${gap.larger_than[0]} of ${gap.larger_than[1]} clips in which felt and shown agree.`;
  return `Not compared with other clips: ${absent.larger_than}.`;
}

function reading(result) {
  const { gap } = result;
  if (!gap) return "no gap";
  const parts = [`window ends ${(result.end_ns / 1e9).toFixed(1)} s (monotonic) and is ${seconds(result)} s long`];
  parts.push(gap.p_differ === null ? `p_differ: ${result.absent.p_differ}` : `labels differ: ${percent(gap.p_differ)}`);
  const differences = ["valence", "arousal"].filter((name) => gap[name] !== null).map((name) => `${name} ${signed(gap[name])}`);
  if (differences.length) parts.push(`felt minus shown: ${differences.join(", ")}`);
  return parts.join(" · ");
}

const strange = (result) => (result.face_distance > 1 ? ["this face is unlike those of training"] : []);

/** Why there is no emotion. */
export function why(result) {
  const reasons = {
    filling: `filling the first window: ${result.filling_s.toFixed(1)} s left`,
    no_face: "no emotion: the face is missing in too much of the window",
    no_gaze: `no emotion: ${result.absent?.fer ?? "the eyes are missing in too much of the window"}`,
    stale: "no emotion: a sensor is silent",
  };
  return reasons[result.state] ?? "";
}

/** How far apart the centres of two circles of radius 1 are that share `share` of the area of each.
 *
 * Circles d apart share the lens 2 acos(d / 2) − d / 2 √(4 − d²), which falls from π at 0 to 0 at 2: it is bisected.
 */
export function apartFor(share) {
  const lens = (d) => (2 * Math.acos(d / 2) - (d / 2) * Math.sqrt(4 - d * d)) / Math.PI;
  let [near, far] = [0, 2];
  for (let step = 0; step < 30; step++) {
    const middle = (near + far) / 2;
    if (lens(middle) > share) near = middle;
    else far = middle;
  }
  return far;
}

// The circles share 1 − gap of their area: one on the other at 0, side by side at 1.
function venn(gap) {
  const drawing = byId("venn");
  if (!circles) {
    const circle = (kind) => shape("circle", { cx: 160, cy: 84, r: RADIUS, class: kind });
    circles = {
      felt: [circle("felt"), circle("ring felt")],
      shown: [circle("shown"), circle("ring shown")],
      figure: shape("text", { x: 160, y: 104, class: "figure" }, "–"),
    };
    drawing.replaceChildren(
      ...circles.felt, ...circles.shown, circles.figure, shape("text", { x: 160, y: 184, class: "small" }, "0: the same · 1: nothing in common"),
    );
  }
  drawing.classList.toggle("unknown", !gap);
  const apart = (RADIUS / 2) * apartFor(1 - (gap ? gap.distance : 0.5));
  for (const each of circles.felt) each.setAttribute("cx", 160 - apart);
  for (const each of circles.shown) each.setAttribute("cx", 160 + apart);
  circles.figure.textContent = gap ? gap.distance.toFixed(2) : "–";
  drawing.setAttribute("aria-label", gap ? `gap ${gap.distance.toFixed(2)} of 1` : "gap unknown");
}
