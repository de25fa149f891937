/* What the page says of its numbers. */
"use strict";

const words = (() => {
  const { radiusText, valueText, probabilityText } = numbers;

  const LEVELS =
    "An image perturbation lowers each level as if it were a test of the image noise. Their mean is the share of " +
    "flagged texts; then the text edits take their part.";
  const WORST_CASE =
    "The worst guard with this p, against this attack. A row is a class of noisy texts, which all have the likelihood " +
    "ratio γ (attacked over clean). Along a row runs the image noise in the direction of the attack. The guard flags " +
    "the shaded part: whatever is more typical of the clean input. On the right is the mass of each class.";

  /** What binds, in sentences. */
  function sentences(setting, found) {
    const { d, epsilon, n, texts } = setting;
    const name = setting.evidence === "masked" ? "p_S" : "p_A";
    const p = texts > 1 || setting.source === "known" ? setting.p : probabilityText(found.p);
    const said = [];
    const alone = [found.textAlone, found.imageAlone, found.both].map((value) => valueText(value));
    said.push(
      `From ${name} = ${p}, the text edits alone could lower the value to ${alone[0]}, the image perturbation ` +
        `alone to ${alone[1]}, and both together to ${alone[2]}.`,
    );
    if (found.needed === null) {
      said.push(
        found.shift === Infinity
          ? "The image noise binds: there is none, so no image perturbation is certified."
          : "The text edits bind: even a guard that is always right on these draws could not be certified, because " +
              "the attack leads to noisy texts of which the draws say nothing.",
      );
    } else if (found.certified) {
      said.push(`The least ${name} for this is ${probabilityText(found.needed, true)}.` + drawsFor(setting, found));
      const room = found.frontier[d][setting.evidence];
      const grown = room === Infinity ? "every ε is certified" : `ε may grow to ${radiusText(room)}`;
      const more = found.oneMore ? "certified, too" : "not certified";
      said.push(`With d = ${d}, ${grown}. One more edit at ε = ${epsilon} is ${more}.`);
    } else {
      const least = `it takes ${name} of at least ${probabilityText(found.needed, true)}.`;
      if (texts > 1 || setting.source === "known") said.push(`The guard binds: ${least}`);
      else if (found.needed.miss < found.most.miss) {
        said.push(
          `The number of draws binds: ${least} ${n} draws show at most ${probabilityText(found.most, true)}.` +
            drawsFor(setting, found),
        );
      } else said.push(`The misses bind: ${least} With fewer of them, ${n} draws are enough.`);
    }
    said.push(better(found.frontier[d]));
    return said;
  }

  function drawsFor(setting, { draws }) {
    if (setting.texts > 1) return "";
    if (!Number.isFinite(draws)) return " No number of draws shows that.";
    return ` Draws that are all unsafe show that from n = ${draws} on.`;
  }

  function better(point) {
    const [plain, masked] = [point.plain, point.masked].map((radius) => (Number.isNaN(radius) ? -1 : radius));
    const both = `masked ${radiusText(point.masked)}, plain ${radiusText(point.plain)}`;
    if (masked < 0 && plain < 0)
      return `At d = ${point.d}, neither plain nor masked draws with this p certify anything.`;
    if (masked === plain)
      return `At d = ${point.d}, plain and masked draws with the same p certify the same radius (${both}).`;
    const kind = masked > plain ? "masked" : "plain";
    return `At d = ${point.d}, ${kind} draws are the better evidence, if both show the same p (${both}).`;
  }

  /** The program that computes the chosen frontier with the package. */
  function python(setting) {
    const { kernel, beta, vocab, sigma, tau, evidence, source, p, n, misses, alpha, d } = setting;
    const uniform = `UniformKernel(beta=${beta}, vocab_size=${vocab})`;
    const made = kernel === "uniform" ? uniform : `AbsorbingKernel(beta=${beta})`;
    const masked = evidence === "masked" ? ", masked=True" : "";
    return [
      "import hybrid_rs as hrs",
      "",
      `kernel = hrs.${made}`,
      source === "known" ? `p = ${p}` : `p = hrs.clopper_pearson_lower(${n - misses}, ${n}, alpha=${alpha})`,
      `print(hrs.frontier(p, kernel, sigma=${sigma}, tau=${tau}, d_max=${Math.max(8, d)}${masked}))`,
    ].join("\n");
  }

  return { LEVELS, WORST_CASE, sentences, python };
})();
