/*
 * The hybrid certificate: likelihood ratios of text edits, the worst case, and what it certifies.
 *
 * This is a second implementation, written from the formulas and not from the Python package; tests compare the two.
 * Lengths of image perturbations are in units of sigma: s = epsilon / sigma.
 */
"use strict";

const certificate = (() => {
  const { MARGIN, sum, clip, choose, probability, not, lowered, normalCdf, normalQuantile, finiteQuantile, root } =
    probabilities;

  /* ---- The likelihood ratio of d edits ---- */

  /**
   * Classes of noisy texts with one ratio each: `p` is the mass of a class without the attack, `q` its mass under it.
   * Texts that the attack makes impossible have mass `pAtZero` (ratio 0). Texts that are impossible without it have
   * mass `qAtInfinity` under attack (ratio infinity), and `qFinite` is the rest.
   */
  function ratioOf(classes) {
    const both = classes.filter((c) => c.p > 0 && c.q > 0).sort((one, other) => one.logGamma - other.logGamma);
    const without = sum(classes.filter((c) => c.q > 0 && c.p === 0).map((c) => c.q));
    return {
      classes: both,
      pAtZero: sum(classes.filter((c) => c.p > 0 && c.q === 0).map((c) => c.p)),
      qFinite: without === 0 ? 1 : sum(both.map((c) => c.q)),
      qAtInfinity: without,
    };
  }
  const NO_TRACE = ratioOf([{ logGamma: 0, p: 1, q: 1 }]);
  const tracesNothing = (ratio) => ratio.classes.length === 1 && ratio.classes[0].logGamma === 0 && ratio.qFinite === 1;

  /** The ratio of d edits. `masked`: the law without the attack is taken given that all d positions were replaced. */
  function likelihoodRatio({ kernel, beta, vocab }, d, masked) {
    if (d === 0) return NO_TRACE;
    const all = beta ** d;
    const rest = beta === 0 ? 1 : -Math.expm1(d * Math.log(beta)); // 1 - beta^d
    const keep = 1 - beta;
    const hit = kernel === "uniform" ? beta / (vocab - 1) : 0;
    if (masked && (kernel === "absorbing" || keep >= hit)) {
      const replaced = { logGamma: d * Math.log(beta), p: 1, q: all };
      return ratioOf([replaced, { logGamma: 0, p: 0, q: rest }]);
    }
    if (kernel === "absorbing") {
      return ratioOf([
        { logGamma: 0, p: all, q: all },
        { p: rest, q: 0 },
        { p: 0, q: rest },
      ]);
    }
    if (masked) return maskedRareKeep(d, beta, vocab);
    if (keep === hit) return NO_TRACE; // beta = 1 - 1/V: the noisy token is uniform
    const other = hit * (vocab - 2);
    const step = keep > 0 && hit > 0 ? Math.log(keep / hit) : 0;
    const mass = (i, j) => choose(d, i) * choose(d - i, j) * keep ** i * hit ** j * other ** (d - i - j);
    const classes = [];
    for (let surplus = -d; surplus <= d; surplus++) {
      // i edited positions show the clean token and j = i + surplus the adversary's; he exchanges the two
      let [p, q] = [0, 0];
      for (let i = Math.max(0, -surplus); 2 * i + surplus <= d; i++) {
        p += mass(i, i + surplus);
        q += mass(i + surplus, i);
      }
      classes.push({ logGamma: step * surplus, p, q });
    }
    return ratioOf(classes);
  }

  /** Masked evidence where beta > 1 - 1/V: then the adversary edits all d positions, and j of them show his tokens. */
  function maskedRareKeep(d, beta, vocab) {
    const binomial = (j, x, y) => choose(d, j) * x ** j * y ** (d - j);
    const classes = [];
    for (let j = 0; j <= d; j++) {
      const p = binomial(j, 1 / (vocab - 1), (vocab - 2) / (vocab - 1));
      const q = binomial(j, 1 - beta, (beta * (vocab - 2)) / (vocab - 1));
      classes.push({ logGamma: Math.log(q / p), p, q });
    }
    const kept = beta / (vocab - 1); // an edited position shows the clean token: never without the attack
    return ratioOf([...classes, { p: 0, q: -Math.expm1(d * Math.log1p(-kept)) }]);
  }

  /* ---- The worst case ---- */

  /** What the worst classifier flags of each class without an image perturbation: the smallest ratios first. */
  function knapsack(p, { classes, pAtZero }) {
    const shares = classes.map(() => probability(0));
    if (p.hit < p.miss) {
      let left = p.hit - pAtZero;
      classes.forEach((c, k) => {
        shares[k] = probability(clip(left / c.p, 0, 1));
        left -= c.p;
      });
    } else {
      let left = p.miss;
      for (let k = classes.length - 1; k >= 0; k--) {
        shares[k] = not(probability(clip(left / classes[k].p, 0, 1)));
        left -= classes[k].p;
      }
    }
    return shares;
  }

  /**
   * The least value under attack, of all classifiers with probability p of "unsafe" without it; and the classifier.
   * In class k that classifier flags image noise up to `cuts[k]` along the attack, in units of sigma.
   */
  function worstCase(p, ratio, s) {
    const { classes, pAtZero, qFinite } = ratio;
    if (p.miss === 0) return { value: qFinite, cuts: classes.map(() => Infinity) };
    const shares = knapsack(p, ratio);
    const last = shares.findLastIndex((share) => share.hit > 0);
    if (last < 0) return { value: 0, cuts: classes.map(() => -Infinity) };
    if (s === 0) {
      return { value: sum(classes.map((c, k) => c.q * shares[k].hit)), cuts: shares.map(normalQuantile) };
    }
    // the joint ratio is cut at log t = near + s w
    const near = classes[last].logGamma;
    const cut = (k, w) => (near - classes[k].logGamma) / s + w + s / 2;
    const mass = (w, sign) => {
      let total = 0;
      for (let k = 0; k < classes.length; k++) total += classes[k].p * normalCdf(sign * cut(k, w));
      return total;
    };
    const flagged = (w) => Math.min(1, pAtZero + mass(w, 1));
    const passed = (w) => Math.min(1, mass(w, -1));
    const small = p.hit < p.miss; // always sum the smaller side
    const goal = finiteQuantile(p);
    const excess = (w) => finiteQuantile(small ? probability(flagged(w)) : not(probability(passed(w)))) - goal;
    let [low, high] = [-1, 1];
    while (excess(low) > 0 && low > -1e30) low *= 2;
    while (excess(high) < 0 && high < 1e30) high *= 2;
    const w = root(excess, low, high);
    const cuts = classes.map((c, k) => cut(k, w));
    const short = small ? p.hit - flagged(w) : passed(w) - p.miss;
    // weak duality: a bound for every w, so it does not matter that w is rounded
    const value = sum(classes.map((c, k) => c.q * normalCdf(cuts[k] - s))) + Math.exp(near + s * w) * short;
    return { value: clip(value, 0, 1), cuts };
  }

  /** The largest s at which the least value is at least tau; NaN if there is none, Infinity if every s will do. */
  function certifiedShift(p, ratio, tau, margin = MARGIN) {
    const [safe, goal] = [lowered(p, margin), tau * (1 + margin)];
    const most = normalQuantile(safe) - normalQuantile(probability(goal));
    if (tracesNothing(ratio)) return p.hit < tau ? NaN : Math.max(0, most); // Cohen et al. (2019)
    if (worstCase(safe, ratio, 0).value < goal) return NaN;
    if (safe.miss === 0) return Infinity;
    const target = normalQuantile(probability(goal));
    return root((s) => finiteQuantile(probability(worstCase(safe, ratio, s).value)) - target, 0, most);
  }

  /** The least probability without the attack that certifies s; null if none does. */
  function required(ratio, s, tau, margin = MARGIN) {
    const goal = probability(tau * (1 + margin));
    if (ratio.qFinite < goal.hit) return null;
    if (tracesNothing(ratio) && s === 0) return probability(tau);
    // exchange the two laws: the classifier with 1 - tau under attack that has the least without it
    const classes = ratio.classes.map((c) => ({ logGamma: -c.logGamma, p: c.q, q: c.p })).reverse();
    const reversed = { classes, pAtZero: ratio.qAtInfinity, qFinite: 1 - ratio.pAtZero };
    const { value, cuts } = worstCase(not(goal), reversed, s);
    const hit = ratio.pAtZero + sum(classes.map((c, k) => c.q * normalCdf(s - cuts[k])));
    return lowered(hit < 0.5 ? probability(hit) : not(probability(value)), -margin);
  }

  /* ---- Several texts for one image ---- */

  /**
   * P(K >= k), k = 1..m, if K of m texts are flagged and the share of flagged texts has a beta law over image noises,
   * with mean p. `alike` is the correlation of two texts of one image: 0 if the text noise decides, 1 if the image does.
   */
  function levelsOf(p, m, alike) {
    if (alike === 1) return Array(m).fill(p);
    const spread = alike / (1 - alike);
    const rising = (x, k) => Array.from({ length: k }, (_, i) => x + i * spread).reduce((a, b) => a * b, 1);
    const masses = Array.from(
      { length: m + 1 },
      (_, k) => (choose(m, k) * rising(p.hit, k) * rising(p.miss, m - k)) / rising(1, m),
    );
    return Array.from({ length: m }, (_, k) => ({ hit: sum(masses.slice(k + 1)), miss: sum(masses.slice(0, k + 1)) }));
  }

  /** The least share of flagged texts after an image perturbation of length s. */
  function attackedShare(levels, s) {
    const quantiles = levels.map(normalQuantile);
    const mean = (sign) => sum(quantiles.map((x) => normalCdf(sign * (x - s)))) / levels.length;
    return { hit: mean(1), miss: mean(-1) };
  }

  /** The least value under attack, from several texts for each image. */
  function worstValueTexts(levels, ratio, s) {
    const layered = worstCase(attackedShare(levels, s), ratio, 0).value;
    return Math.max(layered, worstCase(attackedShare(levels, 0), ratio, s).value);
  }

  /** As `certifiedShift`, from several texts for each image. */
  function certifiedShiftTexts(levels, ratio, tau, margin = MARGIN) {
    const pooled = certifiedShift(attackedShare(levels, 0), ratio, tau, margin);
    const safe = levels.map((level) => lowered(level, margin));
    const needed = required(ratio, 0, tau, margin);
    const above = (s) => (needed ? finiteQuantile(attackedShare(safe, s)) - finiteQuantile(needed) : -1);
    if (Number.isNaN(pooled) || above(0) <= 0) return pooled;
    let high = 1;
    while (above(high) > 0 && high < 128) high *= 2;
    return high === 128 ? Infinity : Math.max(pooled, root(above, 0, high));
  }

  return {
    likelihoodRatio,
    tracesNothing,
    worstCase,
    certifiedShift,
    required,
    levelsOf,
    attackedShare,
    worstValueTexts,
    certifiedShiftTexts,
  };
})();
