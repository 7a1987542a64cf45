// Listens to the run and hands each event to the part of the page that shows it.

import { gapTrace, gaze, histogram, stages, trace } from "./charts.js";
import { duration } from "./drawing.js";
import { prepare, show, why } from "./emotions.js";
import { offer, recording } from "./controls.js";
import { asked, forget, introduce, kiosk, onChoice, stream, update } from "./streams.js";
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
  ok: "ok", face_alone: "face alone", filling: "filling", no_face: "no face", no_gaze: "no gaze", stale: "a sensor is silent",
  connecting: "connecting", lost: "connection lost, retrying", ended: "the run has ended",
};

const NO_TRACKER = "there is no eye tracker";
const DEMO = "demo weights";

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
  offer(told.controls);
  banners([]);
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
  gapTrace(points, span_s, about);
}

// On top: what makes the figures say nothing about people.
function banners(notes) {
  const words = notes.filter((each) => each.startsWith(DEMO)).map((each) => `${each[0].toUpperCase()}${each.slice(1)}: these figures say nothing about people.`);
  if (about.simulated) words.push("Simulated sensors: nobody is being read.");
  list("banners", words);
}

// Lists and regions are left alone where nothing has changed, so that readers of screens hear nothing twice.
function list(id, words) {
  if (byId(id).textContent === words.join("")) return;
  byId(id).replaceChildren(...words.map((each) => {
    const item = document.createElement("li");
    item.textContent = each;
    return item;
  }));
}

function result(told) {
  const values = Object.fromEntries(Object.entries(told.heads).filter(([, value]) => typeof value === "number"));
  if (!points.length || points[points.length - 1].end_ns < told.end_ns) {
    points.push({ end_ns: told.end_ns, values, gap: told.gap && told.gap.distance, markers: told.markers.map((each) => each.label) });
  }
  while (points.length && told.end_ns - points[0].end_ns > about.trace_s * 1e9) points.shift();
  const faceAlone = told.notes.includes(NO_TRACKER);
  document.body.classList.toggle("face-alone", faceAlone);
  byId("gap-title").textContent = faceAlone ? "What the face shows" : "Gap between felt and shown";
  const words = show(told);
  setState(faceAlone && told.state === "no_gaze" && Object.keys(told.heads).length ? "face_alone" : told.state);
  banners(told.notes);
  recording(told.recording);
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
  for (const name of ["sensors", "slots", "notes"]) byId(name).replaceChildren();
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
  const all = [["Camera", rates.frames, `${size}${rate(rates.frames)}`, told.face_slots, about.slots.face, about.floors.face, `newest usable face ${duration(told.face_age_ms)} old`]];
  if (!told.notes.includes(NO_TRACKER)) all.push(["Eye tracker", rates.samples, `${rate(rates.samples)}${seen}`, told.eye_slots, about.slots.eye, about.floors.eye, `newest gaze ${duration(told.sample_age_ms)} old`]);
  const shown = all.map((each) => sensor(...each, told.state));
  byId("sensors").replaceChildren(...shown.flatMap((each) => each.slice(0, 2)));
  byId("slots").replaceChildren(...shown.flatMap((each) => each.slice(2)));
  const lost = Object.entries(told.dropped).map(([place, count]) => `${count} ${place}`);
  byId("dropped").textContent = lost.join(", ") || "nothing";
  const notes = told.notes.filter((each) => each !== NO_TRACKER && !each.startsWith(DEMO)); // they stand above
  if (told.degraded.length) notes.push(`the tracker leaves ${told.degraded.length} columns empty: ${told.degraded.slice(0, 3).join(", ")}${told.degraded.length > 3 ? " …" : ""}`);
  list("notes", notes);
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
  about.textContent = words;
  const title = document.createElement("dt");
  title.dataset.health = health;
  title.textContent = name;
  const window = document.createElement("dd");
  const slots = document.createElement("div");
  slots.className = "slots";
  slots.setAttribute("role", "img");
  slots.setAttribute("aria-label", `${full} of ${all} slots of the window covered`);
  for (let at = 0; at < all; at++) {
    const slot = document.createElement("i");
    if (at < full) slot.className = "full";
    slots.append(slot);
  }
  window.append(slots, `${full} of ${all} slots covered, ${age}`);
  return [term, about, title, window];
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
document.documentElement.classList.toggle("kiosk", kiosk);
byId("details").addEventListener("toggle", drawLatency);
onChoice(choose);
byId("stage").addEventListener("change", drawLatency);
window.addEventListener("resize", () => {
  if (about) drawTraces();
  drawLatency();
});
connect();
watch();
