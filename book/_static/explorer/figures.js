/* The pictures of the page, drawn as SVG in the pixels of the page, so that letters keep their size on a phone. */
"use strict";

const figures = (() => {
  const { normalCdf } = probabilities;

  function svg(name, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  const text = (x, y, content, attributes = {}) => svg("text", { x, y, ...attributes }, content);
  const line = (x1, y1, x2, y2, attributes = {}) => svg("line", { x1, y1, x2, y2, ...attributes });

  function picture(width, height, label) {
    const attributes = { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label };
    return svg("svg", attributes);
  }

  /** Round numbers from 0 to at least `most`, about `count` of them. */
  function ticks(most, count) {
    const rough = most / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const values = [];
    for (let i = 0; (i - 1) * step < most; i++) values.push((i * step).toFixed(digits));
    return values;
  }

  /**
   * The frontier: a bar for each text budget, marks for two curves beside it, and the chosen attack.
   * `bars`, `circles` and `dashes` hold one radius for each budget: NaN draws none, Infinity draws to the top.
   */
  function frontier(width, { bars, circles, dashes, d, epsilon, certified, label }) {
    const height = width < 480 ? 240 : 300;
    const [left, right, top, bottom] = [46, width - 10, 14, height - 44];
    const finite = [...bars, ...circles, ...dashes, epsilon].filter((value) => Number.isFinite(value));
    const marks = ticks(Math.max(...finite, 1e-3), 5);
    const most = Number(marks[marks.length - 1]);
    const x = (budget) => left + ((budget + 0.5) * (right - left)) / bars.length;
    const y = (radius) => bottom - (Math.min(radius, most) * (bottom - top)) / most;
    const wide = (0.7 * (right - left)) / bars.length;
    const root = picture(width, height, label);
    for (const mark of marks) {
      root.append(line(left, y(mark), right, y(mark), { class: "grid" }));
      root.append(text(left - 6, y(mark), mark, { class: "tick", "text-anchor": "end", dy: "0.35em" }));
    }
    bars.forEach((radius, budget) => {
      root.append(text(x(budget), bottom + 16, budget, { class: "tick", "text-anchor": "middle" }));
      if (Number.isNaN(radius)) return;
      const tall = Math.max(2, bottom - y(radius)); // a radius of 0 is more than none
      const size = { x: x(budget) - wide / 2, y: bottom - tall, width: wide, height: tall };
      root.append(
        svg("rect", { class: "bar", ...size }, svg("title", {}, `d = ${budget}: ${numbers.radiusText(radius)}`)),
      );
    });
    dashes.forEach((radius, budget) => {
      if (Number.isNaN(radius)) return;
      root.append(line(x(budget) - wide * 0.62, y(radius), x(budget) + wide * 0.62, y(radius), { class: "dash" }));
    });
    circles.forEach((radius, budget) => {
      if (!Number.isNaN(radius)) root.append(svg("circle", { class: "other", cx: x(budget), cy: y(radius), r: 4.5 }));
    });
    root.append(chosenMark(x(d), y(epsilon), certified));
    root.append(line(left, bottom, right, bottom, { class: "axis" }));
    root.append(text((left + right) / 2, height - 8, "text budget d (edited tokens)", { "text-anchor": "middle" }));
    const turned = { "text-anchor": "middle", transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)` };
    root.append(svg("text", turned, "certified image radius ε"));
    return root;
  }

  /** A tick where the attack is certified, a cross where it is not; on a disc, so that it can be seen on a bar. */
  function chosenMark(x, y, certified) {
    const path = certified ? "M -4.5 0.5 L -1.5 3.5 L 4.5 -3.5" : "M -3.5 -3.5 L 3.5 3.5 M 3.5 -3.5 L -3.5 3.5";
    const disc = svg("circle", { r: 8 });
    return svg("g", { class: "chosen", transform: `translate(${x} ${y})` }, disc, svg("path", { d: path }));
  }

  /** A short name of a likelihood ratio. */
  function ratioName(logGamma) {
    if (logGamma === Infinity || logGamma === -Infinity) return logGamma > 0 ? "∞" : "0";
    const exponent = logGamma / Math.LN10;
    if (Math.abs(exponent) < 3) return Number((10 ** exponent).toPrecision(2)).toString();
    const whole = Math.floor(exponent); // the ratio itself may be too large for a float
    return `${(10 ** (exponent - whole)).toFixed(1)}e${whole}`;
  }

  /** The rows of the worst case: classes by their ratio, with the classifier's cut and both masses. */
  function rowsOf({ ratio, worst, shift }) {
    const rows = ratio.classes.map((c, k) => {
      const cut = worst.cuts[k];
      return { name: ratioName(c.logGamma), cut, p: c.p, q: c.q, left: c.q * normalCdf(cut - shift) };
    });
    const excluded = { name: ratioName(-Infinity), cut: Infinity, p: ratio.pAtZero, q: 0, left: 0 };
    const added = { name: ratioName(Infinity), cut: -Infinity, p: 0, q: ratio.qAtInfinity, left: 0 };
    return [excluded, ...rows, added].filter((row) => row.p > 0 || row.q > 0);
  }

  /**
   * The worst classifier: a row for each class of noisy texts, along it the image noise in the direction of the attack.
   * Shaded is what the classifier flags. On the right are the masses of the class without and under attack.
   */
  function worstCase(width, found, label) {
    const rows = rowsOf(found);
    const size = Math.max(12, Math.min(26, 260 / rows.length));
    const [left, middle, right] = [56, Math.round(width * 0.66), width - 8];
    const [curves, first] = [20, 86];
    const bottom = first + rows.length * size;
    const root = picture(width, bottom + 44, label);
    const [least, most] = [-4, Math.max(4, found.shift + 4)];
    const x = (noise) => left + ((Math.min(Math.max(noise, least), most) - least) * (middle - left)) / (most - least);
    const hill = (centre) => {
      const points = [];
      for (let i = 0; i <= 120; i++) {
        const noise = least + (i * (most - least)) / 120;
        points.push(`${x(noise)} ${first - 8 - 44 * Math.exp(-((noise - centre) ** 2) / 2)}`);
      }
      return `M ${points.join(" L ")}`;
    };
    root.append(svg("path", { class: "clean", d: hill(0) }), svg("path", { class: "attacked", d: hill(found.shift) }));
    root.append(text(left, curves - 6, "image noise", { class: "head" }));
    root.append(text(middle + 14, curves - 6, "mass of texts", { class: "head" }));
    root.append(text(left - 8, first - 8, "γ", { class: "head", "text-anchor": "end" }));
    rows.forEach((row, i) => {
      const top = first + i * size;
      const thick = size - 3;
      const bar = (mass) => Math.max(mass > 0 ? 1 : 0, mass * (right - middle - 14));
      root.append(text(left - 8, top + size / 2, row.name, { class: "tick", "text-anchor": "end", dy: "0.25em" }));
      root.append(svg("rect", { class: "strip", x: left, y: top, width: middle - left, height: thick }));
      root.append(svg("rect", { class: "bar", x: left, y: top, width: x(row.cut) - left, height: thick }));
      root.append(svg("rect", { class: "clean", x: middle + 14, y: top, width: bar(row.p), height: thick / 2 }));
      const under = { x: middle + 14, y: top + thick / 2, width: bar(row.q), height: thick / 2 };
      root.append(svg("rect", { class: "attacked", ...under }));
    });
    for (const [noise, kind] of [
      [0, "clean"],
      [found.shift, "attacked"],
    ]) {
      root.append(line(x(noise), first - 8, x(noise), bottom, { class: `${kind} centre` }));
    }
    root.append(line(left, bottom, middle, bottom, { class: "axis" }));
    const numbersBelow = most - least > 14 ? 4 : 2;
    for (let noise = least; noise <= most; noise += numbersBelow) {
      root.append(text(x(noise), bottom + 15, noise, { class: "tick", "text-anchor": "middle" }));
    }
    root.append(text((left + middle) / 2, bottom + 34, "along the attack, in σ", { "text-anchor": "middle" }));
    root.append(text(middle + 14, bottom + 15, "0", { class: "tick" }));
    root.append(text(right, bottom + 15, "1", { class: "tick", "text-anchor": "end" }));
    return root;
  }

  /** Several texts for one image: each level P(K >= k) without and under the image perturbation. */
  function levels(width, before, after, label) {
    const size = Math.max(14, Math.min(26, 260 / before.length));
    const [left, right, first] = [46, width - 8, 26];
    const bottom = first + before.length * size;
    const root = picture(width, bottom + 40, label);
    root.append(text(left - 8, first - 10, "k", { class: "head", "text-anchor": "end" }));
    root.append(text(left, first - 10, "probability that at least k texts are flagged", { class: "head" }));
    before.forEach((probability, i) => {
      const y = first + i * size;
      const half = (size - 4) / 2;
      const bar = (p, top, kind) =>
        svg("rect", { class: kind, x: left, y: top, width: p * (right - left), height: half });
      root.append(text(left - 8, y + size / 2, i + 1, { class: "tick", "text-anchor": "end", dy: "0.25em" }));
      root.append(bar(probability, y, "clean"), bar(after[i], y + half, "attacked"));
    });
    root.append(line(left, bottom, right, bottom, { class: "axis" }));
    for (const mark of [0, 0.5, 1]) {
      const place = mark === 0 ? "start" : mark === 1 ? "end" : "middle";
      root.append(text(left + mark * (right - left), bottom + 15, mark, { class: "tick", "text-anchor": place }));
    }
    return root;
  }

  return { frontier, worstCase, levels, rowsOf, chosenMark, svg };
})();
