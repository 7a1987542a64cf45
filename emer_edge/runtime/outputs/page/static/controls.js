// What a visitor may do: set a marker, and start and end a recording. Only what the run allows is shown.

import { asked } from "./streams.js";

const byId = (id) => document.getElementById(id);
const answer = byId("answer");
let records = false;

async function send(control, body, done) {
  answer.textContent = "";
  try {
    const reply = await fetch(asked(`/${control}`), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    answer.textContent = reply.ok ? done : `Not done: ${(await reply.text()).trim()}`;
    return reply.ok;
  } catch {
    answer.textContent = "Not done: the run does not answer.";
    return false;
  }
}

/** Show the controls that the run offers. */
export function offer(controls) {
  byId("controls").hidden = controls.length === 0;
  for (const name of ["marker", "record"]) byId(name).hidden = !controls.includes(name);
}

/** Show whether a recording is being written, whoever has started it. */
export function recording(on) {
  if (on === records) return;
  records = on;
  byId("record").classList.toggle("on", on);
  byId("record").querySelector("button").textContent = on ? "End recording" : "Record";
  byId("consent").disabled = on;
}

byId("marker").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("label");
  if (await send("marker", { label: field.value }, `Marker set: ${field.value}`)) field.value = "";
});

byId("record").addEventListener("submit", (event) => {
  event.preventDefault();
  if (records) send("record", { consent_id: null }, "The recording has ended.");
  else send("record", { consent_id: byId("consent").value }, "Recording, images too.");
});
