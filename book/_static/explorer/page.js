/* The page: its controls, and what they show. The state is in the address, so that a setting can be sent to others. */
"use strict";

(() => {
  const { LIMITS, START, remedy, explore, radiusText, valueText } = numbers;
  const setting = { ...START };

  function html(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  /** Words in which p_A and p_S are set with an index. */
  function indexed(sentence) {
    const parts = sentence.split(/p_([AS])/);
    return parts.flatMap((part, i) => (i % 2 ? ["p", html("sub", {}, part)] : [part]));
  }

  /* ---- Controls ---- */

  // How a slider from 0 to 1 runs through the values of a control; and its steps, if these are not 200.
  const linear = (least, most, steps) => [
    (t) => least + t * (most - least),
    (x) => (x - least) / (most - least),
    steps,
  ];
  const powers = (least, most) => [
    (t) => least * (most / least) ** t,
    (x) => Math.log(Math.max(x, least) / least) / Math.log(most / least),
  ];
  const nines = [(t) => 1 - 10 ** (-6 * t), (x) => -Math.log10(Math.max(1 - x, 1e-6)) / 6];
  const fromZero = (most) => [(t) => (most() + 1) ** t - 1, (x) => Math.log(x + 1) / Math.log(most() + 1)];

  const GROUPS = [
    [
      "Smoothing",
      [
        ["kernel", "Token kernel", { uniform: "uniform", absorbing: "absorbing (mask)" }],
        ["beta", "β, replacement probability", linear(0, 1)],
        ["vocab", "V, size of the alphabet", powers(2, 200000)],
        ["sigma", "σ, image noise", linear(0, 2)],
      ],
    ],
    [
      "Attack",
      [
        ["d", "d, edited tokens", linear(0, 20, 20)],
        ["epsilon", "ε, image perturbation (ℓ₂)", linear(0, 8)],
        ["tau", "τ, decision threshold", powers(1e-6, 0.99)],
      ],
    ],
    [
      "Evidence",
      [
        ["evidence", "Draws are", { plain: "plain: p is p_A", masked: "masked: p is p_S" }],
        ["source", "p is", { draws: "bounded from draws", known: "given" }],
        ["p", "p, probability of “unsafe”", nines],
        ["n", "n, draws", powers(10, 1e7)],
        ["misses", "misses: draws judged safe", fromZero(() => setting.n)],
        ["alpha", "α, risk of the bound", powers(1e-6, 0.5)],
      ],
    ],
    [
      "Several texts for one image",
      [
        ["texts", "m, texts for each image", linear(1, 16, 15)],
        ["alike", "ρ, how alike these texts fare", linear(0, 1)],
      ],
    ],
  ];
  const controls = {}; // name -> {row, number, slider, message} or {row, radios}

  function addChoice(name, label, options) {
    const row = html("div", { class: "choice", role: "radiogroup", "aria-label": label }, html("span", {}, label));
    const radios = Object.entries(options).map(([value, shown]) => {
      const radio = html("input", { type: "radio", name: `explorer-${name}`, value });
      radio.addEventListener("change", () => change(name, value));
      row.append(html("label", {}, radio, ...indexed(` ${shown}`)));
      return radio;
    });
    controls[name] = { row, radios };
    return row;
  }

  function addNumber(name, label, [toValue, toShare, steps = 200]) {
    const id = `explorer-${name}`;
    const whole = LIMITS[name][2];
    const number = html("input", {
      type: "number",
      id,
      step: "any",
      inputmode: "decimal",
      "aria-describedby": `${id}-error`,
    });
    const slider = html("input", {
      type: "range",
      id: `${id}-slider`,
      min: 0,
      max: steps,
      "aria-label": `${label}, slider`,
    });
    const message = html("span", { class: "error", id: `${id}-error`, role: "status" });
    number.addEventListener("input", () => change(name, number.value === "" ? NaN : Number(number.value), number));
    slider.addEventListener("input", () => {
      const value = toValue(slider.value / steps);
      change(name, whole ? Math.round(value) : rounded(name, value), slider);
    });
    const row = html("div", { class: "control" }, html("label", { for: id }, label), number, slider, message);
    controls[name] = { row, number, slider, message, toShare, steps };
    return row;
  }

  /** Three significant digits; of a probability near 1, those of its distance to 1. */
  function rounded(name, value) {
    const digits = (x) => Number(x.toPrecision(3));
    return name === "p" && value > 0.9 ? Number((1 - digits(1 - value)).toPrecision(12)) : digits(value);
  }

  /** Show the setting in all controls but the one that is being typed in. */
  function showControls(source) {
    const texts = setting.texts > 1;
    const hidden = {
      vocab: setting.kernel !== "uniform",
      source: texts,
      p: setting.source === "draws" && !texts,
      misses: setting.source !== "draws" || texts,
      n: texts,
      alpha: texts,
      alike: !texts,
    };
    for (const [name, { row, radios, number, slider, message, toShare, steps }] of Object.entries(controls)) {
      row.hidden = Boolean(hidden[name]);
      if (radios) {
        for (const radio of radios) radio.checked = radio.value === setting[name];
        continue;
      }
      const wrong = remedy(name, setting);
      message.textContent = wrong && `${wrong[0].toUpperCase()}${wrong.slice(1)}.`;
      number.setAttribute("aria-invalid", wrong !== "");
      if (wrong) continue;
      if (number !== source) number.value = setting[name];
      if (slider !== source) slider.value = Math.round(steps * probabilities.clip(toShare(setting[name]), 0, 1));
      slider.setAttribute("aria-valuetext", setting[name]);
    }
  }

  /* ---- Results ---- */

  const places = {};
  function place(name, tag = "div", attributes = {}) {
    places[name] = html(tag, { "data-shows": name, ...attributes });
    return places[name];
  }

  const swatch = (kind) => {
    const draw = {
      bar: ["rect", { class: "bar", x: 2, y: 2, width: 16, height: 10 }],
      other: ["circle", { class: "other", cx: 10, cy: 7, r: 4.5 }],
      dash: ["line", { class: "dash", x1: 1, y1: 7, x2: 19, y2: 7 }],
      clean: ["rect", { class: "clean", x: 2, y: 3, width: 16, height: 8 }],
      attacked: ["rect", { class: "attacked", x: 2, y: 3, width: 16, height: 8 }],
    }[kind];
    const mark = draw ? figures.svg(...draw) : figures.chosenMark(10, 7, kind === "yes");
    return figures.svg("svg", { width: 20, height: 16, viewBox: "0 -1 20 16", "aria-hidden": "true" }, mark);
  };
  const key = (...entries) => entries.map(([kind, words]) => html("li", {}, swatch(kind), ` ${words}`));

  function table(head, rows, marked = -1) {
    const cells = (tag, row, scope) => row.map((cell) => html(tag, scope ? { scope } : {}, String(cell)));
    const body = rows.map((row, i) => {
      const [first, ...others] = row;
      const attributes = i === marked ? { class: "marked" } : {};
      return html("tr", attributes, html("th", { scope: "row" }, String(first)), ...cells("td", others));
    });
    return html(
      "table",
      {},
      html("thead", {}, html("tr", {}, ...cells("th", head, "col"))),
      html("tbody", {}, ...body),
    );
  }

  function show() {
    const found = explore(setting);
    const { d, epsilon, tau, texts } = setting;
    const masked = setting.evidence === "masked";
    const other = masked ? "plain" : "masked";
    const third = texts > 1 ? "single" : "ceiling";
    const width = Math.max(280, Math.floor(places.frontier.clientWidth) || 640);
    const column = (name) => found.frontier.map((point) => point[name]);
    const at = `d = ${d}, ε = ${epsilon}`;

    places.verdict.textContent = found.certified
      ? `Certified: no attack with ${at} takes the value below ${valueText(found.both)}, and τ = ${tau}.`
      : `Not certified: with ${at} the value may fall to ${valueText(found.both)}, and τ = ${tau}.`;
    places.verdict.dataset.certified = found.certified;
    const label = `Certified image radius by text budget: ${column(setting.evidence)
      .map((radius, edits) => `${radiusText(radius)} at d = ${edits}`)
      .join(", ")}.`;
    const drawn = { bars: column(setting.evidence), circles: column(other), dashes: column(third), d, epsilon, label };
    places.frontier.replaceChildren(figures.frontier(width, { ...drawn, certified: found.certified }));
    places.frontierKey.replaceChildren(
      ...key(
        ["bar", `certified, ${setting.evidence} draws`],
        ["other", `${other} draws with the same p`],
        ["dash", texts > 1 ? "one text for each image" : `the same if all ${setting.n} draws were unsafe`],
        [found.certified ? "yes" : "no", `the attack: ${found.certified ? "certified" : "not certified"}`],
      ),
    );
    places.words.replaceChildren(
      ...words.sentences(setting, found).map((sentence) => html("li", {}, ...indexed(sentence))),
    );
    const head = ["d", "plain", "masked", texts > 1 ? "one text" : "ceiling"];
    const cells = (point) => [point.plain, point.masked, point[third]].map(radiusText);
    places.radii.replaceChildren(
      table(
        head,
        found.frontier.map((point) => [point.d, ...cells(point)]),
        d,
      ),
    );
    places.same.hidden = texts > 1;
    places.python.textContent = words.python(setting);
    showWorst(found, width);
  }

  function showWorst(found, width) {
    const [figure, caption, classes] = [places.worst, places.worstCaption, places.classes];
    for (const name of ["worstKey", "folded"]) places[name].hidden = !found.levels && !found.worst;
    if (found.levels) {
      const before = found.levels.map((level) => level.hit);
      const after = found.levels.map((level) => certificate.attackedShare([level], found.shift).hit);
      figure.replaceChildren(figures.levels(width, before, after, "Levels before and after the image perturbation."));
      caption.textContent = words.LEVELS;
      const rows = before.map((p, i) => [i + 1, valueText(p), valueText(after[i])]);
      classes.replaceChildren(table(["k", "clean", "attacked"], rows));
    } else if (!found.worst) {
      figure.replaceChildren();
      classes.replaceChildren();
      caption.textContent = "Without image noise (σ = 0), any image perturbation can defeat the guard.";
    } else {
      figure.replaceChildren(
        figures.worstCase(width, found, "The worst classifier by class of texts and image noise."),
      );
      caption.textContent = words.WORST_CASE;
      const rows = figures.rowsOf(found).map((row) => [row.name, row.p, row.q, row.left]);
      const cells = rows.map(([name, ...masses]) => [name, ...masses.map((mass) => mass.toPrecision(3))]);
      classes.replaceChildren(table(["γ", "mass, clean", "mass, attacked", "of it flagged"], cells));
    }
  }

  /* ---- Together ---- */

  function change(name, value, source) {
    setting[name] = value;
    if (name === "n" && setting.misses > value) setting.misses = value;
    showControls(source);
    if (Object.keys(LIMITS).some((each) => remedy(each, setting))) return;
    const kept = Object.entries(setting).filter(([each, now]) => now !== START[each]);
    const query = new URLSearchParams(kept).toString();
    history.replaceState(null, "", `${location.pathname}${query && `?${query}`}${location.hash}`);
    show();
  }

  /** Take the setting of the address, as far as it can be used. */
  function readAddress() {
    for (const [name, given] of new URLSearchParams(location.search)) {
      const { radios, number } = controls[name] ?? {};
      const before = setting[name];
      if (radios?.some((radio) => radio.value === given)) setting[name] = given;
      if (number) setting[name] = given === "" ? NaN : Number(given);
      if (number && remedy(name, setting)) setting[name] = before;
    }
    if (remedy("misses", setting)) setting.misses = 0;
  }

  function build(root) {
    const form = html("form", { class: "controls", "aria-label": "Settings" });
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const [title, members] of GROUPS) {
      const rows = members.map(([name, label, how]) => (LIMITS[name] ? addNumber : addChoice)(name, label, how));
      form.append(html("fieldset", {}, html("legend", {}, title), ...rows));
    }
    const first = html(
      "section",
      { class: "first", "aria-label": "The frontier" },
      place("verdict", "p", { role: "status" }),
      place("frontier"),
      place("frontierKey", "ul", { class: "key" }),
    );
    const second = html(
      "section",
      { class: "second", "aria-label": "What binds" },
      place("words", "ul"),
      html("div", { class: "scroll" }, place("radii")),
      html("h2", {}, "The worst case"),
      place("worst"),
      place("worstKey", "ul", { class: "key" }),
      place("worstCaption", "p"),
      place("folded", "details"),
      place("same", "details"),
    );
    places.same.append(
      html("summary", {}, "The same in Python"),
      html("div", { class: "scroll" }, place("python", "pre")),
    );
    places.worstKey.append(...key(["clean", "clean"], ["attacked", "under attack"]));
    places.folded.append(
      html("summary", {}, "The numbers of this picture"),
      html("div", { class: "scroll" }, place("classes")),
    );
    root.replaceChildren(html("div", { class: "board" }, html("div", { class: "tries" }, first, form), second));
    readAddress();
    showControls(null);
    show();
    let last = places.frontier.clientWidth;
    new ResizeObserver(() => {
      if (places.frontier.clientWidth === last) return;
      last = places.frontier.clientWidth;
      show();
    }).observe(places.frontier);
  }

  build(document.getElementById("explorer"));
})();
