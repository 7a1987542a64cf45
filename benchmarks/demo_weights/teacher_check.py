"""Compare the rebuilt teacher with the package's own, run in Node: `python -m benchmarks.demo_weights.teacher_check`.

The package's bundle with everything inside (`dist/face-api.esm.js`) reads its own weights and computes with
TensorFlow.js on the CPU. Pictures are random: blurred spots of several sizes, so that every class is met.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_weights.material import face_api
from benchmarks.demo_weights.teacher import SIZE, Teacher
from emer_edge.core.heads import EMOTIONS

LARGEST_DIFFERENCE: Final = 1e-3
"""Of a probability."""
_PICTURES: Final = 12
_NAMES: Final = {
    "happiness": "happy", "sadness": "sad", "fear": "fearful", "surprise": "surprised", "disgust": "disgusted",
    "anger": "angry", "neutral": "neutral",
}  # fmt: skip
_SCRIPT: Final = """
import fs from 'fs';
const [bundle, models, pictures, count, size] = process.argv.slice(2);
// The bundle is built for browsers: it looks for a document, and for nothing in it.
globalThis.window = globalThis;
globalThis.document = { createElement: () => ({ getContext: () => null }) };
globalThis.addEventListener = () => {};
const faceapi = await import(bundle);
await faceapi.tf.setBackend('cpu');
const read = async (paths) => paths.map((path) => {
  const bytes = fs.readFileSync(path);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
});
const manifest = JSON.parse(fs.readFileSync(models + '/face_expression_model-weights_manifest.json'));
const net = new faceapi.FaceExpressionNet();
net.loadFromWeightMap(await faceapi.tf.io.weightsLoaderFactory(read)(manifest, models));
const bytes = fs.readFileSync(pictures), each = size * size * 3, rows = [];
for (let at = 0; at < Number(count); at++) {
  const rgb = Float32Array.from(bytes.subarray(at * each, (at + 1) * each));
  const found = await net.predictExpressions(faceapi.tf.tensor3d(rgb, [Number(size), Number(size), 3]));
  rows.push(Object.fromEntries(Object.entries(found)));
}
console.log(JSON.stringify(rows));
"""


def pictures(count: int = _PICTURES, seed: int = 0) -> NDArray[np.uint8]:
    """Draw pictures without any object: (count, 112, 112, 3) uint8, B, G, R."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        total = np.full((SIZE, SIZE, 3), rng.uniform(60, 190), np.float32)
        for cells in (3, 6, 12, 28, 56):
            spots = rng.normal(0, rng.uniform(5, 40), (cells, cells, 3)).astype(np.float32)
            total += cv2.resize(spots, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        drawn.append(np.clip(total, 0, 255).astype(np.uint8))
    return np.stack(drawn)


def in_node(work: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities of the package itself, as `Teacher.probabilities`.

    Raises:
        OSError, CalledProcessError: Node is not there, or the script failed.
    """
    package = face_api(work)
    with tempfile.TemporaryDirectory() as folder:
        script, raw = Path(folder) / "teacher.mjs", Path(folder) / "pictures"
        script.write_text(_SCRIPT, "utf-8")
        raw.write_bytes(np.ascontiguousarray(images[..., ::-1]).tobytes())
        bundle = Path(folder) / "face-api.mjs"
        bundle.write_bytes((package / "dist/face-api.esm.js").read_bytes())
        command = ["node", str(script), bundle.as_uri(), str(package / "model"), str(raw), str(len(images)), str(SIZE)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = json.loads(answer.strip().splitlines()[-1])
    return np.array([[row[_NAMES[emotion]] for emotion in EMOTIONS] for row in rows], np.float32)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/demo-weights"), help="folder of the downloads")
    work = parser.parse_args().work.resolve()
    images = pictures()
    mine, theirs = Teacher(work).probabilities(images), in_node(work, images)
    difference = float(np.abs(mine - theirs).max())
    classes = len({*theirs.argmax(axis=1).tolist()})
    print(f"{len(images)} pictures of {classes} classes: the largest difference of a probability is {difference:.2g}")
    sys.exit(difference > LARGEST_DIFFERENCE)


if __name__ == "__main__":
    _main()
