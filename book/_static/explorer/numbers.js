/*
 * What the page shows for one choice of its controls. Every number is rounded to the safe side: radii, values and
 * confidence bounds down; a required probability and the ceiling of n draws up.
 */
"use strict";

const numbers = (() => {
  const { MARGIN, clip, probability, lowered, root, clopperPearson } = probabilities;
  const DIGITS = 3; // decimals of a radius
  const LEAST_VALUE = 1e-290;

  // name: least, largest, whole number?
  const LIMITS = {
    beta: [0, 1, false],
    vocab: [2, 200000, true],
    sigma: [0, 100, false],
    tau: [1e-12, 0.99, false],
    p: [0, 1, false],
    n: [1, 1e7, true],
    misses: [0, 1e7, true],
    alpha: [1e-6, 0.5, false],
    texts: [1, 16, true],
    alike: [0, 1, false],
    d: [0, 20, true],
    epsilon: [0, 1000, false],
  };

  const START = {
    kernel: "uniform",
    beta: 0.25,
    vocab: 32000,
    sigma: 0.5,
    tau: 4.6e-5,
    evidence: "plain",
    source: "draws",
    p: 0.99,
    n: 10000,
    misses: 20,
    alpha: 0.01,
    texts: 1,
    alike: 0.5,
    d: 3,
    epsilon: 1,
  };

  /** The remedy for a value that cannot be used, or an empty string. */
  function remedy(name, setting) {
    let [least, most, whole] = LIMITS[name];
    if (name === "misses") most = Math.min(most, setting.n);
    const value = setting[name];
    if (Number.isFinite(value) && value >= least && value <= most && (!whole || Number.isInteger(value))) return "";
    return `give a ${whole ? "whole " : ""}number from ${least} to ${most}`;
  }

  /** x rounded down to decimals; ceiled: up. */
  function floored(x, digits) {
    const scale = 10 ** digits;
    if (Math.round(x * scale) / scale === x) return x;
    const below = Math.floor(x * scale) / scale;
    return Number.isFinite(below) && below > x ? (Math.floor(x * scale) - 1) / scale : below;
  }
  const ceiled = (x, digits) => 0 - floored(-x, digits);

  const radiusText = (x) => (Number.isNaN(x) ? "none" : x === Infinity ? "any" : x.toFixed(DIGITS));

  /** A value with three significant digits, rounded down (or up). */
  function valueText(x, up = false) {
    if (x === 0) return "0";
    const rounded = up ? ceiled : floored;
    const exponent = Math.floor(Math.log10(x));
    if (x >= 1e-3) return rounded(x, 2 - exponent).toFixed(2 - exponent);
    return `${rounded(x / 10 ** exponent, 2).toFixed(2)}e${exponent}`;
  }

  /** A probability, rounded down (or up), with two significant digits of its distance to 1. */
  function probabilityText(p, up = false) {
    if (p.hit < 0.1) return valueText(p.hit, up);
    const digits = p.miss > 0 ? clip(1 - Math.floor(Math.log10(p.miss)), 4, 15) : 4;
    return (1 - (up ? floored : ceiled)(p.miss, digits)).toFixed(digits);
  }

  /** The certified radius, in the units of sigma; `margin` as in certificate.js. */
  function radius(setting, p, d, masked, margin = MARGIN) {
    const ratio = certificate.likelihoodRatio(setting, d, masked);
    const shift =
      setting.texts === 1
        ? certificate.certifiedShift(p, ratio, setting.tau, margin)
        : certificate.certifiedShiftTexts(levels(setting, p), ratio, setting.tau, margin);
    if (Number.isNaN(shift)) return NaN;
    return setting.sigma === 0 ? 0 : shift * setting.sigma;
  }
  const levels = (setting, p) => certificate.levelsOf(p, setting.texts, setting.alike);

  /** The least value under attack; the ratio is that of the edits. 0 where a float64 would lose its digits. */
  function value(setting, p, ratio, s) {
    if (s === Infinity) return 0;
    if (s === 0 && certificate.tracesNothing(ratio)) return p.hit;
    if (p.miss === 0 && ratio.qFinite === 1) return 1; // always right, wherever the attack leads
    const safe = lowered(p, MARGIN);
    const least =
      setting.texts > 1
        ? certificate.worstValueTexts(levels(setting, safe), ratio, s)
        : certificate.worstCase(safe, ratio, s).value;
    return least < LEAST_VALUE ? 0 : least * (1 - MARGIN);
  }

  /** The least probability that certifies (d, epsilon), or null. */
  function leastProbability(setting, ratio, s) {
    if (s === Infinity) return null;
    if (setting.texts === 1) return certificate.required(ratio, s, setting.tau);
    const inLogOdds = (t) => ({ hit: 1 / (1 + Math.exp(-t)), miss: 1 / (1 + Math.exp(t)) });
    const short = (t) => Math.log(value(setting, inLogOdds(t), ratio, s) + 1e-300) - Math.log(setting.tau);
    if (short(36) < 0) return null;
    return lowered(inLogOdds(root(short, -36, 36)), -10 * MARGIN);
  }

  /** The smallest number of draws that certifies if all of them are unsafe; Infinity if none does. */
  function drawsNeeded(needed, alpha) {
    if (needed.miss === 0) return Infinity;
    return Math.ceil((Math.log(alpha) / Math.log1p(-needed.miss)) * (1 + MARGIN));
  }

  /** Everything that the page shows, from the values of its controls. */
  function explore(setting) {
    const { sigma, tau, n, alpha, d, epsilon } = setting;
    const masked = setting.evidence === "masked";
    const fromDraws = setting.source === "draws" && setting.texts === 1;
    const p = probability(fromDraws ? clopperPearson(n - setting.misses, n, alpha) : setting.p);
    const most = probability(clopperPearson(n, n, alpha, -MARGIN));
    const frontier = [];
    for (let edits = 0; edits <= Math.max(8, d); edits++) {
      const [plain, other] = [false, true].map((kind) => floored(radius(setting, p, edits, kind), DIGITS));
      const ceiling = ceiled(radius({ ...setting, texts: 1 }, most, edits, masked, -MARGIN), DIGITS);
      const single = floored(radius({ ...setting, texts: 1 }, p, edits, masked), DIGITS);
      frontier.push({ d: edits, plain, masked: other, ceiling, single });
    }
    const s = epsilon === 0 ? 0 : epsilon / sigma;
    const ratio = certificate.likelihoodRatio(setting, d, masked);
    const untouched = certificate.likelihoodRatio(setting, 0, masked);
    const needed = leastProbability(setting, ratio, s);
    return {
      p,
      most,
      frontier,
      certified: frontier[d][setting.evidence] >= epsilon,
      oneMore: radius(setting, p, d + 1, masked) >= epsilon,
      both: value(setting, p, ratio, s),
      textAlone: value(setting, p, ratio, 0),
      imageAlone: value(setting, p, untouched, s),
      needed,
      draws: needed && drawsNeeded(needed, alpha),
      shift: s,
      ratio,
      worst: setting.texts === 1 && s < Infinity ? certificate.worstCase(p, ratio, s) : null,
      levels: setting.texts > 1 ? levels(setting, p) : null,
    };
  }

  return {
    LIMITS,
    START,
    remedy,
    floored,
    ceiled,
    radiusText,
    valueText,
    probabilityText,
    radius,
    value,
    leastProbability,
    drawsNeeded,
    explore,
  };
})();
