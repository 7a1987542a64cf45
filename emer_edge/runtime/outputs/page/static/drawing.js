// The little SVG that the page needs: elements, scales, ticks.

const NAMES = "http://www.w3.org/2000/svg";

/** One SVG element with attributes and, perhaps, text. */
export function shape(name, attributes = {}, text = undefined) {
  const made = document.createElementNS(NAMES, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
  }
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Maps low..high to start..end; values outside are clamped. */
export function scale(low, high, start, end) {
  return (value) => start + ((Math.min(Math.max(value, low), high) - low) / (high - low || 1)) * (end - start);
}

/** Powers of ten, or 1, 2 and 5 times them where there is room, inside low..high. */
export function decades(low, high) {
  const steps = Math.log10(high / low) < 2.5 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of steps) {
      const value = step * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(Number(value.toPrecision(1)));
    }
  }
  return found;
}

/** How wide a drawing is on the screen, so that its text is as large as the page's. */
export function widthOf(drawing, otherwise) {
  return Math.max(200, drawing.clientWidth || otherwise);
}

/** A number with a fixed count of digits and its sign. */
export function signed(value, digits = 2) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
}

/** A duration in ms for people. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0.005) return "0 ms";
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(ms >= 1 ? 1 : 2)} ms`;
}
