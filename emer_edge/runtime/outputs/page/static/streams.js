// The chooser of a run that reads several people: how each does, and whose stream the page shows.

const box = document.getElementById("streams");
let chosen = new URLSearchParams(location.search).get("stream");
let listen = () => {};

/** The chosen stream, null where the run names none. */
export const stream = () => chosen;

/** Whether visitors see a display that nobody operates: the picture alone. */
export const kiosk = new URLSearchParams(location.search).has("kiosk");

const own = () => asked(location.pathname, kiosk ? { kiosk: 1 } : {});

/** An address of this page's server, asked about the chosen stream. */
export function asked(path, parameters = {}) {
  const query = new URLSearchParams(chosen === null ? parameters : { ...parameters, stream: chosen }).toString();
  return query ? `${path}?${query}` : path;
}

/** Call `act` when another stream is chosen. */
export function onChoice(act) {
  listen = act;
}

/** Take what the run says: all streams, and which one it shows. */
export function introduce(told) {
  chosen = told.stream ?? null;
  const names = (told.streams ?? []).map((each) => each.name);
  box.hidden = names.length === 0;
  const have = [...box.querySelectorAll("input")].map((each) => each.value);
  if (names.length !== have.length || names.some((each, at) => each !== have[at])) {
    for (const each of box.querySelectorAll("label")) each.remove();
    box.append(...names.map(choice));
  }
  for (const each of box.querySelectorAll("input")) each.checked = each.value === chosen;
  history.replaceState(null, "", own());
  update(told.streams ?? [], {});
}

/** Forget a stream that the run does not have. */
export function forget() {
  chosen = null;
}

/** Show how each stream does; `words` names the states. */
export function update(streams, words) {
  for (const each of streams) {
    const label = [...box.querySelectorAll("label")].find((one) => one.dataset.stream === each.name);
    if (!label) continue;
    const told = label.querySelector(".how");
    const state = each.state === null ? "" : words[each.state] ?? each.state;
    told.dataset.state = each.state ?? "";
    told.textContent = each.gap === null ? state : `gap ${each.gap.toFixed(2)}`;
  }
}

function choice(name) {
  const label = document.createElement("label");
  label.dataset.stream = name;
  const input = document.createElement("input");
  input.type = "radio";
  input.name = "stream";
  input.value = name;
  const title = document.createElement("span");
  title.className = "who";
  title.textContent = name;
  const how = document.createElement("span");
  how.className = "how";
  label.append(input, title, how);
  input.addEventListener("change", () => {
    chosen = name;
    history.replaceState(null, "", own());
    listen(name);
  });
  return label;
}
