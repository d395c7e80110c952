"use strict";
(() => {
  const tapes = JSON.parse(document.getElementById("plots").textContent);
  const hues = ["#1f77b4", "#d9731a", "#1f9a6c", "#b1443a", "#7b5cc4", "#8a6d3b", "#c2529a", "#6b7280", "#a2a11c", "#17a2b8", "#4d6b2f", "#c48b00"];
  const hue = (i) => hues[i % hues.length];
  const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const variable = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const logarithmic = { spread: "xy", depth: "xy", moves: "xy", signs: "x", gaps: "xy", fano: "xy", sizes: "xy", cancelled: "x", placed: "x" };
  const tiny = { spread: 1e-6 };
  const short = (v) => (v == null ? "" : v.toLocaleString("en-US", { maximumSignificantDigits: 3 })).replace("-", "\u2212");
  const floored = (v) => { const unit = 10 ** Math.floor(Math.log10(v)); return Math.floor(v / unit + 1e-9) * unit; }; // to one digit
  const charts = [];

  const normal = (x) => { // share of a normal distribution beyond x deviations, both sides: Abramowitz and Stegun 7.1.26
    const z = x / Math.SQRT2, t = 1 / (1 + 0.3275911 * z);
    return t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-z * z);
  };
  const references = { moves: normal, gaps: (x) => Math.exp(-x) };

  const draw = (name) => {
    const figure = document.getElementById("plot-" + name);
    const canvas = figure.querySelector(".canvas");
    const log = logarithmic[name] ?? "";
    const lines = tapes.map((t) => t[name]).map((c) => {
      const kept = c.x.map((x, i) => i).filter((i) => (!log.includes("x") || c.x[i] > 0) && (!log.includes("y") || c.y[i] > (tiny[name] ?? 0)));
      return { x: kept.map((i) => c.x[i]), y: kept.map((i) => c.y[i]) };
    });
    const all = [...new Set(lines.flatMap((l) => l.x))].sort((a, b) => a - b);
    if (!all.length) { canvas.replaceWith(Object.assign(document.createElement("p"), { className: "empty", textContent: "Too little happened." })); return; }
    const columns = lines.map((l) => {
      const at = new Map(l.x.map((x, i) => [x, l.y[i]]));
      return all.map((x) => at.get(x) ?? null);
    });
    const series = tapes.map((t, i) => ({ label: t.name, stroke: hue(i), width: 1.5, dash: t.generated ? [6, 3] : [], spanGaps: true, points: { show: false } }));
    const least = Math.min(...lines.flatMap((l) => l.y));
    if (references[name]) {
      columns.push(all.map((x) => { const y = references[name](x); return y >= least * 0.5 ? y : null; }));
      series.push({ label: "reference", stroke: variable("--faint"), width: 1.25, dash: [3, 4], spanGaps: true, points: { show: false } });
    }
    const range = (u, low, high) => [floored(low), high > low ? high : low * 10];
    const scale = (axis) => (log.includes(axis) ? { time: false, distr: 3, ...(axis === "x" ? { range } : {}) } : { time: false });
    const axis = (extra) => ({ stroke: variable("--soft"), font, grid: { stroke: variable("--grid"), width: 1 },
      ticks: { show: false }, values: (u, splits) => splits.map(short), ...extra });
    const readout = figure.querySelector(".readout");
    const chart = new uPlot({
      width: canvas.clientWidth, height: Number(canvas.dataset.height), legend: { show: false },
      cursor: { points: { show: false }, y: false, drag: { x: false, y: false } },
      scales: { x: scale("x"), y: scale("y") }, axes: [axis({ size: 30 }), axis({ size: 56 })],
      series: [{}, ...series],
      hooks: { setCursor: [(u) => {
        const i = u.cursor.idx;
        readout.textContent = i == null ? "" : short(all[i]) + ": " + tapes.map((t, k) => {
          const l = lines[k];
          let j = l.x.findIndex((x) => x >= all[i]);
          if (j < 0) j = l.x.length - 1;
          return j < 0 ? "" : short(l.y[j]);
        }).join("  ");
      }] },
    }, [all, ...columns], canvas);
    charts.push([chart, canvas]);
  };

  document.querySelectorAll("[data-tape]").forEach((chip) => { chip.style.background = hue(Number(chip.dataset.tape)); });
  document.querySelectorAll("figure.plot").forEach((figure) => draw(figure.id.replace("plot-", "")));
  const fit = () => charts.forEach(([chart, canvas]) => chart.setSize({ width: canvas.clientWidth, height: Number(canvas.dataset.height) }));
  window.addEventListener("resize", fit);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(([chart]) => chart.redraw(true, true)));
})();
