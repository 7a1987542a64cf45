// Listens to the run and hands each event to the part of the page that shows it.

import { gapTrace, gaze, histogram, stages, trace } from "./charts.js";
import { duration } from "./drawing.js";
import { prepare, show, why } from "./emotions.js";
import { asked, forget, introduce, onChoice, stream, update } from "./streams.js";
import { blank, restart, watch } from "./video.js";

const byId = (id) => document.getElementById(id);
const SILENT_MS = 4000;
const SPEAK_MS = 10000;
const STAGES = {
  total: "step latency (deadline to result)", "end to end": "end-to-end latency",
  wait: "waiting for the step", encode: "encoding the face", fuse: "fusing face and gaze",
  detect: "detecting the face", align: "aligning the face",
  "face age": "age of the newest face", "sample age": "age of the newest gaze",
};
const WORDS = {
  ok: "ok", filling: "filling", no_face: "no face", no_gaze: "no gaze", stale: "stale",
  connecting: "connecting", lost: "connection lost, retrying", ended: "the run has ended",
};

let source = null;
let about = null;
let points = [];
let latency = {};
let heard = 0;
let spokenAt = -SPEAK_MS;
let state = "connecting";

function setState(next) {
  if (next === state) return;
  state = next;
  const chip = byId("state");
  chip.dataset.state = next;
  chip.textContent = WORDS[next] ?? next;
  document.body.classList.toggle("away", next === "lost" || next === "ended");
  const over = next === "ended";
  document.querySelector(".notice").classList.toggle("over", over);
  byId("running").textContent = over ? "Emotion inference has ended." : "Emotion inference is running.";
  byId("tell").hidden = over;
  if (over) blank("the run has ended");
  speak(WORDS[next] ?? next, true);
}

// Not every hop: changes of state at once, what is felt and shown now and then.
function speak(words, now = false) {
  if (!words || (!now && performance.now() - spokenAt < SPEAK_MS)) return;
  spokenAt = performance.now();
  byId("spoken").textContent = words;
}

function hello(told) {
  if (state === "lost" || state === "ended") setState("connecting");
  about = told;
  points = [];
  byId("bundle").textContent = told.bundle;
  introduce(told);
  document.title = `emer-edge · ${stream() === null ? "" : `${stream()} · `}${told.bundle}`;
  prepare(told);
  gaze(null, told.display);
  byId("trace-card").hidden = !told.heads.some((each) => each.target === "valence" || each.target === "arousal");
  drawTraces();
}

function missed(told) {
  points.push(...told.points.filter((each) => !points.length || each.end_ns > points[points.length - 1].end_ns));
}

function drawTraces() {
  const past_s = points.length ? (points[points.length - 1].end_ns - points[0].end_ns) / 1e9 : 0;
  const span_s = [30, 60].find((each) => each >= past_s) ?? about.trace_s;
  for (const name of ["valence", "arousal"]) trace(name, points, span_s, about.heads);
  gapTrace(points, span_s);
}

function result(told) {
  const values = Object.fromEntries(Object.entries(told.heads).filter(([, value]) => typeof value === "number"));
  if (!points.length || points[points.length - 1].end_ns < told.end_ns) {
    points.push({ end_ns: told.end_ns, values, gap: told.gap && told.gap.distance, markers: told.markers.map((each) => each.label) });
  }
  while (points.length && told.end_ns - points[0].end_ns > about.trace_s * 1e9) points.shift();
  const words = show(told);
  setState(told.state);
  speak(words || why(told));
  drawTraces();
  latency = told.latency;
  drawLatency();
  sensors(told);
  update(told.streams ?? [], WORDS);
}

// Nothing of the one who was shown stays when another is chosen.
function choose() {
  source.close();
  points = [];
  latency = {};
  setState("connecting");
  show({ heads: {}, gap: null, state: "connecting", filling_s: 0 });
  drawTraces();
  drawLatency();
  for (const name of ["sensors", "notes"]) byId(name).replaceChildren();
  byId("dropped").textContent = "nothing";
  gaze(null, about.display);
  blank("");
  restart();
  connect();
}

function drawLatency() {
  const select = byId("stage");
  for (const name of Object.keys(STAGES)) {
    if (latency[name] && ![...select.options].some((each) => each.value === name)) {
      select.append(new Option(STAGES[name], name));
    }
  }
  histogram(latency[select.value], STAGES[select.value]);
  stages(latency, STAGES);
}

function sensors(told) {
  const rates = told.sensors.rates_hz;
  const size = told.sensors.camera_px ? `${told.sensors.camera_px[0]} × ${told.sensors.camera_px[1]}, ` : "";
  const seen = rates.samples ? `, eyes seen in ${Math.min(100, Math.round((100 * rates.seen) / rates.samples))} %` : "";
  const list = byId("sensors");
  list.replaceChildren(
    ...sensor("Camera", rates.frames, `${size}${rate(rates.frames)}`, told.face_slots, about.slots.face, about.floors.face, `newest usable face ${duration(told.face_age_ms)} old`, told.state),
    ...told.notes.includes("there is no eye tracker") ? [] : sensor("Eye tracker", rates.samples, `${rate(rates.samples)}${seen}`, told.eye_slots, about.slots.eye, about.floors.eye, `newest gaze ${duration(told.sample_age_ms)} old`, told.state),
  );
  const lost = Object.entries(told.dropped).map(([place, count]) => `${count} ${place}`);
  byId("dropped").textContent = lost.join(", ") || "nothing";
  const notes = [...told.notes];
  if (told.degraded.length) notes.push(`the tracker leaves ${told.degraded.length} columns empty: ${told.degraded.slice(0, 3).join(", ")}${told.degraded.length > 3 ? " …" : ""}`);
  byId("notes").replaceChildren(...notes.map((each) => {
    const item = document.createElement("li");
    item.textContent = each;
    return item;
  }));
}

const rate = (hz) => (hz === null || hz === undefined ? "rate unknown so far" : `${hz.toFixed(hz < 100 ? 1 : 0)} per second`);

function sensor(name, hz, words, full, all, floor, age, runState) {
  const term = document.createElement("dt");
  const filling = runState === "filling";
  const health = hz === 0 ? "bad" : full < floor && !filling ? "warn" : "ok";
  term.dataset.health = health;
  term.textContent = name;
  const told = document.createElement("span");
  told.textContent = { ok: filling ? "filling" : "ok", warn: "covers too little of the window", bad: "silent" }[health];
  term.append(told);
  const about = document.createElement("dd");
  const slots = document.createElement("div");
  slots.className = "slots";
  slots.setAttribute("role", "img");
  slots.setAttribute("aria-label", `${full} of ${all} slots of the window covered`);
  for (let at = 0; at < all; at++) {
    const slot = document.createElement("i");
    if (at < full) slot.className = "full";
    slots.append(slot);
  }
  const first = document.createElement("div");
  first.textContent = words;
  const last = document.createElement("div");
  last.textContent = `${full} of ${all} slots covered, ${age}`;
  about.append(first, slots, last);
  return [term, about];
}

function connect() {
  const own = new EventSource(asked("/events"));
  source = own;
  const on = (name, act) => own.addEventListener(name, (event) => {
    heard = performance.now();
    act(JSON.parse(event.data));
  });
  on("hello", hello);
  on("trace", missed);
  on("result", result);
  on("gaze", (told) => gaze(told.at, about.display));
  on("pulse", () => {});
  on("end", () => setState("ended"));
  own.addEventListener("error", () => {
    if (own !== source) return; // another stream was chosen
    if (state !== "ended") setState("lost");
    if (own.readyState === EventSource.CLOSED) {
      // Refused outright: the token has changed, the stream is not there, or too many watch. The browser gives up; we ask again.
      setTimeout(async () => {
        try {
          if ((await fetch("/", { cache: "no-store" })).status === 401) location.reload();
          if (stream() !== null && (await fetch(asked("/frame"), { cache: "no-store" })).status === 404) forget();
        } catch {
          // not there: the next attempt tells
        }
        if (own === source) connect();
      }, 2000);
    }
  });
}

setInterval(() => {
  if (heard && performance.now() - heard > SILENT_MS && state !== "ended") setState("lost");
}, 1000);
onChoice(choose);
byId("stage").addEventListener("change", drawLatency);
window.addEventListener("resize", () => {
  if (about) drawTraces();
  drawLatency();
});
connect();
watch();
