import { shape } from "./dom.ts";

const WIDTH = 90;
const HEIGHT = 22;

/** Draws rates, the oldest first, as a small line. The number beside it says the same, so that it needs no label. */
export function spark(rates: readonly number[]): SVGElement {
  const top = Math.max(...rates, 0) || 1;
  const step = WIDTH / Math.max(rates.length - 1, 1);
  const points = rates.map((rate, index) =>
    `${(index * step).toFixed(1)} ${(HEIGHT - 1 - (rate / top) * (HEIGHT - 3)).toFixed(1)}`
  );
  const picture = shape("svg", {
    class: "spark",
    width: WIDTH,
    height: HEIGHT,
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    "aria-hidden": "true",
  });
  if (points.length < 2) return picture;
  picture.append(
    shape("path", { class: "area", d: `M0 ${HEIGHT} L${points.join(" L")} L${WIDTH} ${HEIGHT} Z` }),
    shape("path", { d: `M${points.join(" L")}` }),
  );
  return picture;
}
