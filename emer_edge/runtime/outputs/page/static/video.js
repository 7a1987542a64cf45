// Video: one image after the other, each asked for when the last one is drawn, so that a slow line gets fewer.

import { asked, stream } from "./streams.js";

const canvas = document.getElementById("video");
const note = document.getElementById("video-note");
const faceNote = document.getElementById("face-note");
const button = document.getElementById("pause");
let paused = false;
let number = 0;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

button.addEventListener("click", () => {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Show video" : "Pause video";
  if (paused) blank("paused");
  else note.textContent = "";
});

/** Take the image away and say why. */
export function blank(why) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  note.textContent = why;
  faceNote.textContent = "";
}

/** Begin anew: another stream counts its own images. */
export function restart() {
  number = 0;
}

/** Ask for images for ever; nothing is asked for while the page is hidden or the video paused. */
export async function watch() {
  for (;;) {
    if (paused || document.hidden) {
      await sleep(250);
      continue;
    }
    try {
      const whose = stream();
      const reply = await fetch(asked("/frame", { after: number }), { cache: "no-store" });
      if (stream() !== whose) continue; // nobody sees another's face under this name
      if (reply.status === 200) {
        number = Number(reply.headers.get("X-Number"));
        const face = JSON.parse(reply.headers.get("X-Face") ?? "{}");
        const image = await createImageBitmap(await reply.blob());
        if (!paused && stream() === whose) draw(image, face);
        image.close();
      } else if (reply.status === 204) {
        if (!paused) blank("no image from the camera");
      } else {
        await sleep(2000);
      }
    } catch {
      if (!document.body.classList.contains("away")) note.textContent = "the run does not answer";
      number = 0; // a new run counts anew
      await sleep(1000);
    }
  }
}

function draw(image, face) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  note.textContent = "";
  const unit = canvas.width / 320;
  if (face.box) {
    const [left, top, right, bottom] = [face.box[0] * canvas.width, face.box[1] * canvas.height, face.box[2] * canvas.width, face.box[3] * canvas.height];
    for (const [colour, width] of [["rgba(0,0,0,.55)", 3.2 * unit], [face.missed ? "#ffb454" : "#fff", 1.4 * unit]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.roundRect(left, top, right - left, bottom - top, 6 * unit);
      pen.stroke();
    }
    for (const [x, y] of face.points) {
      pen.beginPath();
      pen.arc(x * canvas.width, y * canvas.height, 1.8 * unit, 0, 7);
      pen.fillStyle = "#fff";
      pen.strokeStyle = "rgba(0,0,0,.7)";
      pen.lineWidth = unit;
      pen.stroke();
      pen.fill();
    }
  }
  const words = face.missed ? `face not usable: ${face.missed}` : face.box ? "face detected" : "no recent detection";
  if (faceNote.textContent !== words) faceNote.textContent = words;
}
