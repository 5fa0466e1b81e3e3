// Slices of volumes and turned surfaces.  Reads what the page holds in #plotly and #volumes; window.viewer.ready
// resolves when everything is drawn.
(() => {
  "use strict";
  const MISSING = 65535;
  const SIGNED = [[0, "#2166ac"], [0.25, "#92c5de"], [0.5, "#f7f7f7"], [0.75, "#f4a582"], [1, "#b2182b"]];
  const CYCLIC = [[0, "#e2d9e2"], [0.25, "#6785be"], [0.5, "#2f1436"], [0.75, "#b9695c"], [1, "#e2d9e2"]];
  const INFERNO = ["#000004", "#210c4a", "#57106e", "#8a226a", "#bc3754", "#e45a31", "#f98e09", "#f9cb35", "#fcffa4"]
    .map((colour, i) => [i / 8, colour]);
  const OUTLINE = [[0, "#00e5ff"], [1, "#00e5ff"]];
  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  async function inflate(text) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  // Bytes of numbers were laid apart: all first bytes, then all second ones …
  async function numbers(text, Kind) {
    const raw = await inflate(text);
    const width = Kind.BYTES_PER_ELEMENT, count = raw.length / width;
    const whole = new Uint8Array(raw.length);
    for (let b = 0; b < width; b++) for (let i = 0; i < count; i++) whole[i * width + b] = raw[b * count + i];
    return new Kind(whole.buffer);
  }
  async function unpacked(one) {
    const codes = await numbers(one.data, Uint16Array);
    const values = new Float32Array(codes.length);
    for (let i = 0; i < codes.length; i++) {
      const value = one.low + one.step * codes[i];
      values[i] = codes[i] === MISSING ? NaN : one.log ? Math.expm1(value) : value;
    }
    return values;
  }
  async function library() {
    const source = await inflate(document.getElementById("plotly").textContent);
    const script = document.createElement("script");
    script.src = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    await new Promise((done, failed) => {
      script.onload = done;
      script.onerror = () => failed(new Error("plotly.js does not load"));
      document.head.append(script);
    });
  }
  function element(tag, parent, properties = {}) {
    const made = Object.assign(document.createElement(tag), properties);
    parent.append(made);
    return made;
  }
  function choice(parent, label, options) {
    const holder = element("label", parent, { textContent: label + " " });
    const select = element("select", holder);
    options.forEach((name, i) => element("option", select, { value: i, textContent: name }));
    return select;
  }
  const written = (value) => (Math.abs(value) >= 1000 || Math.abs(value) < 0.01) && value !== 0
    ? value.toExponential(1) : String(+value.toPrecision(3));

  // A slice across one axis: rows along the first of the other two.
  function cut(values, shape, axis, index) {
    const [down, across] = [0, 1, 2].filter((a) => a !== axis);
    const strides = [shape[1] * shape[2], shape[2], 1];
    const rows = [];
    for (let i = 0; i < shape[down]; i++) {
      const row = new Float32Array(shape[across]);
      const start = index * strides[axis] + i * strides[down];
      for (let j = 0; j < shape[across]; j++) row[j] = values[start + j * strides[across]];
      rows.push(row);
    }
    return rows;
  }

  async function stackView(parent, stack) {
    const shape = stack.layers[0].shape;
    const layers = await Promise.all(stack.layers.map(async (layer) => ({ ...layer, values: await unpacked(layer) })));
    const mask = stack.mask && (await numbers(stack.mask.data, Uint8Array));
    const sigma = stack.sigma && (await unpacked(stack.sigma));
    element("h2", parent, { textContent: stack.title });
    const controls = element("div", parent, { className: "controls" });
    const shown = choice(controls, "show", layers.map((layer) => layer.name));
    shown.className = "layer";
    const overlays = ["none", ...(mask ? ["outline of what was missing"] : []), ...(sigma ? ["relative uncertainty"] : [])];
    const overlay = choice(controls, "overlay", overlays);
    overlay.className = "overlay";
    const logHolder = element("label", controls);
    const logarithmic = element("input", logHolder, { type: "checkbox", checked: true, className: "log" });
    logHolder.append(" logarithmic");
    element("span", controls, { className: "note", textContent: "a click in a slice moves the other two there" });
    const grid = element("div", parent, { className: "slices" });
    const places = [...stack.start];
    const panels = [0, 1, 2].map((axis) => {
      const panel = element("div", grid, { className: "slice" });
      const where = element("div", panel, { className: "where" });
      const slider = element("input", panel, { type: "range", min: 0, max: shape[axis] - 1, value: places[axis] });
      slider.setAttribute("aria-label", `slice across ${stack.axes[axis]}`);
      return { axis, where, slider, plot: element("div", panel, { className: "plot" }) };
    });
    const at = (axis, index) => (index - stack.origin[axis]) * stack.steps[axis];

    function traces(axis) {
      const layer = layers[+shown.value], index = places[axis];
      const [down, across] = [0, 1, 2].filter((a) => a !== axis);
      const raw = cut(layer.values, shape, axis, index);
      const hidden = mask ? cut(mask, shape, axis, index) : null;
      const asLog = layer.scale === "counts" && logarithmic.checked;
      const image = raw.map((row, i) => Array.from(row, (value, j) =>
        layer.hide && hidden && hidden[i][j] ? null : Number.isNaN(value) ? null : asLog ? Math.log10(Math.max(value, 0.5)) : value));
      const values = raw.map((row, i) => Array.from(row, (value, j) => (layer.hide && hidden && hidden[i][j] ? null : value)));
      const top = layer.top;
      const bar = { title: { text: layer.unit, side: "right" }, thickness: 12, len: 0.9 };
      const scale = { counts: INFERNO, linear: "Viridis", signed: SIGNED, cyclic: CYCLIC }[layer.scale];
      let zmin = layer.scale === "signed" ? -top : layer.scale === "cyclic" ? -Math.PI : 0;
      let zmax = layer.scale === "cyclic" ? Math.PI : top;
      if (asLog) {
        zmin = Math.log10(0.5); zmax = Math.log10(Math.max(top, 10));
        bar.tickvals = []; bar.ticktext = [];
        for (let p = 0; p <= zmax; p++) { bar.tickvals.push(p); bar.ticktext.push(p < 4 ? String(10 ** p) : `10<sup>${p}</sup>`); }
      }
      const x = Array.from({ length: shape[across] }, (_, i) => at(across, i));
      const y = Array.from({ length: shape[down] }, (_, i) => at(down, i));
      const found = [{ type: "heatmap", z: image, x, y, customdata: values, zmin, zmax, colorscale: scale, colorbar: bar,
        hovertemplate: `${stack.axes[across]} %{x:.4~g}<br>${stack.axes[down]} %{y:.4~g}<br><b>%{customdata:.4~g} ${layer.unit}</b><extra></extra>`,
        hoverongaps: false }];
      const laid = overlays[+overlay.value];
      if (laid.startsWith("outline")) {
        found.push({ type: "contour", z: hidden.map((row) => Array.from(row)), x, y, autocontour: false, showscale: false,
          contours: { start: 0.5, end: 0.5, size: 1, coloring: "lines" }, colorscale: OUTLINE, line: { width: 1 }, hoverinfo: "skip" });
      } else if (laid.startsWith("relative")) {
        const part = cut(sigma, shape, axis, index).map((row) => Array.from(row, (v) => (Number.isNaN(v) ? null : v)));
        found.push({ type: "heatmap", z: part, x, y, zmin: 0, zmax: 1, colorscale: "Viridis", opacity: 0.85, hoverongaps: false,
          colorbar: { title: { text: "σ / value", side: "right" }, thickness: 12, len: 0.9, x: 1.32 },
          hovertemplate: "σ / value %{z:.3g}<extra></extra>" });
      }
      return found;
    }
    function layout(axis) {
      const [down, across] = [0, 1, 2].filter((a) => a !== axis);
      const name = (a) => ({ title: { text: `${stack.axes[a]} (${stack.unit})`, standoff: 4 }, ticks: "outside", zeroline: false, showgrid: false });
      return { margin: { l: 56, r: 10, t: 8, b: 44 }, plot_bgcolor: "#bcd3ea", uirevision: "kept", font: { size: 11 },
        xaxis: { ...name(across), constrain: "domain" }, yaxis: { ...name(down), scaleanchor: "x", constrain: "domain" } };
    }
    async function draw(axes) {
      logHolder.hidden = layers[+shown.value].scale !== "counts";
      for (const axis of axes) {
        const { where, slider, plot } = panels[axis];
        slider.value = places[axis];
        where.textContent = `${stack.axes[axis]} ${written(at(axis, places[axis]))} ${stack.unit} (${places[axis] + 1} of ${shape[axis]})`;
        await Plotly.react(plot, traces(axis), layout(axis), CONFIG);
      }
    }
    const all = [0, 1, 2];
    for (const { axis, slider } of panels) {
      slider.addEventListener("input", () => { places[axis] = +slider.value; draw([axis]); });
    }
    for (const control of [shown, overlay, logarithmic]) control.addEventListener("change", () => draw(all));
    await draw(all);
    for (const { axis, plot } of panels) {
      const [down, across] = all.filter((a) => a !== axis);
      plot.on("plotly_click", (event) => {
        const [i, j] = event.points[0].pointNumber;
        places[down] = i; places[across] = j;
        draw([down, across]);
      });
    }
  }

  async function surfaceView(parent, one) {
    const holder = element("div", parent);
    element("h2", holder, { textContent: one.title });
    const controls = element("div", holder, { className: "controls" });
    const colours = await Promise.all(one.colours.map(async (c) => ({ ...c, values: await numbers(c.values, Float32Array) })));
    const chosen = choice(controls, "coloured by", colours.map((c) => c.name));
    chosen.className = "colour";
    element("span", controls, { className: "note", textContent: "drag to turn, wheel to zoom" });
    const plot = element("div", holder, { className: "turned" });
    const points = await numbers(one.vertices, Float32Array), faces = await numbers(one.faces, Uint32Array);
    const column = (array, k) => array.filter((_, i) => i % 3 === k);
    // Array axes 0, 1, 2 are drawn along the plot's y, z, x: vertical is up.
    const shape = { type: "mesh3d", y: column(points, 0), z: column(points, 1), x: column(points, 2),
      i: column(faces, 0), j: column(faces, 1), k: column(faces, 2), flatshading: false,
      lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.08, roughness: 0.9 } };
    const name = (a) => ({ title: { text: `${one.axes[a]} (${one.unit})` } });
    const layout = { margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: "kept", font: { size: 11 },
      scene: { aspectmode: "data", xaxis: name(2), yaxis: name(0), zaxis: name(1), dragmode: "orbit",
        camera: { eye: { x: 1.3, y: -1.4, z: 0.8 } } } };
    const draw = () => {
      const colour = colours[+chosen.value];
      return Plotly.react(plot, [{ ...shape, intensity: colour.values, cmin: -colour.top, cmax: colour.top,
        colorscale: colour.cyclic ? CYCLIC : SIGNED,
        colorbar: { title: { text: `${colour.name}${colour.unit ? ` (${colour.unit})` : ""}`, side: "right" }, thickness: 14, len: 0.8 },
        hovertemplate: `%{intensity:.3~g} ${colour.unit}<extra></extra>` }], layout, CONFIG);
    };
    chosen.addEventListener("change", draw);
    await draw();
  }

  async function start() {
    const root = document.getElementById("viewer");
    try {
      if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old: use one of 2023 or later");
      await library();
      const told = JSON.parse(document.getElementById("volumes").textContent);
      root.replaceChildren();
      if (told.surfaces.length) {
        const grid = element("div", root, { className: "surfaces" });
        for (const one of told.surfaces) await surfaceView(grid, one);
      }
      for (const one of told.stacks) await stackView(element("section", root), one);
    } catch (error) {
      root.textContent = `The volumes cannot be shown: ${error.message}`;
      throw error;
    }
  }
  window.viewer = { ready: start() };
})();
