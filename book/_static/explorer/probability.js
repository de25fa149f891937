/*
 * Probabilities: the normal law, its quantiles, confidence bounds, and a root finder.
 *
 * A probability is a pair {hit, miss} with hit + miss = 1, so that the smaller of the two keeps its digits.
 */
"use strict";

const probabilities = (() => {
  // Probabilities and thresholds are moved by this share to the safe side: far more than rounding errors add up to, and
  // far less than a digit that is shown.
  const MARGIN = 1e-9;

  const clip = (x, low, high) => Math.min(Math.max(x, low), high);
  function sum(terms) {
    let total = 0;
    for (let i = 0; i < terms.length; i++) total += terms[i];
    return total;
  }
  function polynomial(coefficients, x) {
    let value = 0;
    for (let i = 0; i < coefficients.length; i++) value = value * x + coefficients[i];
    return value;
  }

  /** The binomial coefficient, exact up to n = 50. */
  function choose(n, k) {
    let ways = 1;
    for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i;
    return Math.round(ways);
  }

  /* ---- The normal law ---- */

  // Cody (1969), Rational Chebyshev approximations for the error function, Mathematics of Computation 23, in the form
  // for the normal law: highest power first.
  const CENTRE = [
    [
      0.065682337918207449113, 2.2352520354606839287, 161.02823106855587881, 1067.6894854603709582,
      18154.981253343561249,
    ],
    [1, 47.20258190468824187, 976.09855173777669322, 10260.932208618978205, 45507.789335026729956],
  ];
  const SHOULDER = [
    [
      1.0765576773720192317e-8, 0.39894151208813466764, 8.8831497943883759412, 93.506656132177855979,
      597.27027639480026226, 2494.5375852903726711, 6848.1904505362823326, 11602.651437647350124, 9842.7148383839780218,
    ],
    [
      1, 22.266688044328115691, 235.38790178262499861, 1519.377599407554805, 6485.558298266760755,
      18615.571640885098091, 34900.952721145977266, 38912.003286093271411, 19685.429676859990727,
    ],
  ];
  const TAIL = [
    [
      0.02307344176494017303, 0.21589853405795699, 0.1274011611602473639, 0.022235277870649807, 0.001421619193227893466,
      2.9112874951168792e-5,
    ],
    [
      1, 1.28426009614491121, 0.468238212480865118, 0.0659881378689285515, 0.00378239633202758244,
      7.29751555083966205e-5,
    ],
  ];
  const rational = (both, x) => polynomial(both[0], x) / polynomial(both[1], x);

  /** Phi(x), with a small relative error also where it is tiny. */
  function normalCdf(x) {
    const y = Math.abs(x);
    if (y <= 0.67448975) return 0.5 + x * rational(CENTRE, x * x);
    let scaled; // Phi(-y) / exp(-y^2 / 2)
    if (y <= Math.SQRT2 * 4) {
      scaled = rational(SHOULDER, y);
    } else {
      const inverse = 1 / (y * y);
      scaled = (1 / Math.sqrt(2 * Math.PI) - inverse * rational(TAIL, inverse)) / y;
    }
    const near = Math.trunc(y * 16) / 16; // its square is exact, so that the exponent keeps its digits
    const tail = y > 38.5 ? 0 : Math.exp((-near * near) / 2) * Math.exp((-(y - near) * (y + near)) / 2) * scaled;
    return x < 0 ? tail : 1 - tail;
  }

  /** The x with Phi(x) = p.hit. Newton's method for log Phi, which is concave: from the left it never overshoots. */
  function normalQuantile(p) {
    if (p.hit > p.miss) return -normalQuantile(not(p));
    if (p.hit === 0) return -Infinity;
    let x = -Math.sqrt(Math.max(0, -2 * Math.log(2 * p.hit))); // Phi(-y) <= exp(-y^2 / 2) / 2: left of the root
    for (let round = 0; round < 30; round++) {
      const value = normalCdf(x);
      const step = (Math.log(p.hit / value) * value * Math.sqrt(2 * Math.PI)) / Math.exp((-x * x) / 2);
      x += step;
      if (Math.abs(step) < 1e-14 * (1 + Math.abs(x))) break;
    }
    return x;
  }

  const probability = (p) => ({ hit: p, miss: 1 - p });
  const not = (p) => ({ hit: p.miss, miss: p.hit });
  /** A probability that is smaller by the share `margin` of p or of 1 - p; larger if `margin` is negative. */
  function lowered(p, margin) {
    if (p.hit < p.miss) return probability(p.hit * (1 - margin));
    return not(probability(p.miss * (1 + margin)));
  }
  /** Its quantile, cut off at 40 sigma, where root finders need a finite number. */
  const finiteQuantile = (p) => clip(normalQuantile(p), -40, 40);

  /** Where an increasing or decreasing function changes its sign between two points: Chandrupatla (1997). */
  function root(f, low, high) {
    let [a, b] = [low, high];
    let [fa, fb] = [f(a), f(b)];
    if (fa === 0 || Math.sign(fa) === Math.sign(fb)) return Math.abs(fa) <= Math.abs(fb) ? a : b;
    let share = 0.5;
    for (let round = 0; round < 200; round++) {
      const x = a + share * (b - a);
      const fx = f(x);
      let [c, fc] = [a, fa];
      if (Math.sign(fx) !== Math.sign(fa)) [c, fc, b, fb] = [b, fb, a, fa];
      [a, fa] = [x, fx];
      const best = Math.abs(fa) < Math.abs(fb) ? a : b;
      const least = 1e-14 * Math.abs(best) + 1e-300;
      if (fa === 0 || Math.abs(b - a) <= 2 * least) return best;
      const [along, height] = [(a - b) / (c - b), (fa - fb) / (fc - fb)];
      share = 0.5;
      if (round < 40 && height * height < along && (1 - height) ** 2 < 1 - along) {
        const inverse = (fa / (fb - fa)) * (fc / (fb - fc)) + ((c - a) / (b - a)) * (fa / (fc - fa)) * (fb / (fc - fb));
        const edge = Math.min(0.5, least / Math.abs(b - a));
        if (Number.isFinite(inverse)) share = clip(inverse, edge, 1 - edge);
      }
    }
    return a;
  }

  /* ---- Confidence bounds ---- */

  /** log n! - log(sqrt(2 pi n) (n/e)^n): the error of Stirling's formula. */
  function stirlingError(n) {
    if (n < 16) {
      let factorial = 1;
      for (let i = 2; i <= n; i++) factorial *= i;
      return n === 0 ? 0 : Math.log(factorial) - (n + 0.5) * Math.log(n) + n - 0.5 * Math.log(2 * Math.PI);
    }
    const x = 1 / (n * n);
    return (1 / 12 - x * (1 / 360 - x * (1 / 1260 - x * (1 / 1680 - x / 1188)))) / n;
  }

  /** x log(x / y) + y - x, without cancellation where x is near y. */
  function deviance(x, y) {
    if (x === 0) return y;
    const v = (x - y) / (x + y);
    if (Math.abs(v) > 0.1) return x * Math.log(x / y) + y - x;
    let [total, power] = [(x - y) * v, 2 * x * v]; // the series of log((1 + v) / (1 - v))
    for (let j = 3; j < 40; j += 2) {
      power *= v * v;
      total += power / j;
    }
    return total;
  }

  /** log P(K >= k) of a binomial law, summed from its term at k on; p.hit in (0, 1), 1 <= k < n. Loader (2000). */
  function logTail(k, n, p) {
    const roots = 0.5 * Math.log(n / (2 * Math.PI * k * (n - k)));
    const errors = stirlingError(n) - stirlingError(k) - stirlingError(n - k);
    const first = roots + errors - deviance(k, n * p.hit) - deviance(n - k, n * p.miss);
    let [term, total] = [1, 1];
    for (let j = k; j < n && term > 1e-17 * total; j++) {
      term *= ((n - j) / (j + 1)) * (p.hit / p.miss);
      total += term;
    }
    return first + Math.log(total);
  }

  /** The one-sided lower confidence bound of Clopper and Pearson (1934), a float rounded down (up: margin < 0). */
  function clopperPearson(k, n, alpha, margin = MARGIN) {
    const rounded = (p) => {
      const safe = lowered(p, margin);
      return clip(safe.hit < 0.25 ? safe.hit : 1 - safe.miss - Math.sign(margin) * 2 ** -52, 0, 1);
    };
    if (k === 0) return 0;
    if (k === n) return rounded({ hit: Math.exp(Math.log(alpha) / n), miss: -Math.expm1(Math.log(alpha) / n) });
    const inLogOdds = (t) => ({ hit: 1 / (1 + Math.exp(-t)), miss: 1 / (1 + Math.exp(t)) });
    const excess = (t) => logTail(k, n, inLogOdds(t)) - Math.log(alpha);
    const centre = Math.log(k / (n - k + 1));
    let [low, high] = [centre, centre];
    while (excess(low) > 0) low -= 1;
    while (excess(high) < 0) high += 1;
    return rounded(inLogOdds(root(excess, low, high)));
  }

  return {
    MARGIN,
    sum,
    clip,
    choose,
    probability,
    not,
    lowered,
    normalCdf,
    normalQuantile,
    finiteQuantile,
    root,
    clopperPearson,
  };
})();
