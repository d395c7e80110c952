"use strict";
(() => {
  const data = JSON.parse(document.getElementById("plots").textContent);
  const root = document.documentElement;
  let colours = {};
  const readColours = () => {
    const style = getComputedStyle(root);
    colours = {};
    for (const name of ["ink", "soft", "faint", "line", "grid", "card", "accent", "accent-wash", "gross", "loss", "loss-wash",
      "buy", "sell", "mid", "bars"]) colours[name] = style.getPropertyValue("--" + name).trim();
  };
  readColours();
  const colour = (name) => () => colours[name];
  const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const MINUS = "\u2212";

  const formats = {};
  const number = (value, places) => {
    if (value == null) return "\u2013";
    const key = places ?? "free";
    formats[key] ??= new Intl.NumberFormat("en-US", places == null ? { maximumSignificantDigits: 9 }
      : { minimumFractionDigits: places, maximumFractionDigits: places });
    const text = formats[key].format(value);
    return (/[1-9]/.test(text) ? text : text.replace("-", "")).replace("-", MINUS);
  };
  const placesOf = (values) => {
    let most = 0;
    for (const v of values) if (v != null && Math.abs(v) > most) most = Math.abs(v);
    return most ? Math.min(8, Math.max(2, 4 - Math.floor(Math.log10(most)))) : 2;
  };
  const axisNumber = (u, splits) => {
    const step = splits.length > 1 ? splits[1] - splits[0] : 1;
    const places = Math.min(8, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
    const exact = Math.abs(step * 10 ** places - Math.round(step * 10 ** places)) > 1e-6 ? places + 1 : places;
    return splits.map((v) => number(v, exact));
  };
  const two = (n) => String(n).padStart(2, "0");
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const clock = (seconds, fine) => {
    const d = new Date(Math.round(seconds * 1000));
    const base = two(d.getUTCHours()) + ":" + two(d.getUTCMinutes());
    return fine === 0 ? base : base + ":" + two(d.getUTCSeconds())
      + (fine > 1 ? "." + String(d.getUTCMilliseconds()).padStart(3, "0") : "");
  };
  const day = (seconds) => {
    const d = new Date(seconds * 1000);
    return d.getUTCDate() + " " + months[d.getUTCMonth()];
  };
  const axisTime = (u, splits, axis, space, step) => {
    let last = null;
    return splits.map((s) => {
      if (s == null) return "";
      const today = day(s);
      const text = step >= 86400 ? "" : clock(s, step < 1 ? 2 : step < 60 ? 1 : 0);
      const shown = today !== last ? (text ? text + "\n" : "") + today : text;
      last = today;
      return shown;
    });
  };
  const time = (ms) => (data.start + ms) / 1000;
  const times = (series) => series.t.map(time);
  const span = (() => {
    const t = data.equity.t;
    return t.length ? [time(t[0]), time(t[t.length - 1])] : [0, 1];
  })();
  const charts = [];
  const align = () => charts.forEach((chart) => { if (chart.root.closest(".wide")) chart.redraw(false, true); });
  const widest = { left: 0 }; // the left axis of the wide plots is one width, so that their times stand under each other
  const axisSize = (u, values, index, cycle) => {
    if (!values) return widest.left || 48;
    u.ctx.save();
    u.ctx.font = font;
    const size = Math.ceil(Math.max(...values.map((v) => u.ctx.measureText(v ?? "").width))) + 16;
    u.ctx.restore();
    if (!u.root.closest(".wide")) return size;
    if (size > widest.left) {
      widest.left = size;
      requestAnimationFrame(align);
    }
    return widest.left;
  };
  const axes = (options = {}) => [
    { stroke: colour("soft"), font, grid: { show: false }, ticks: { stroke: colour("line"), size: 5, width: 1 }, gap: 4,
      size: options.size ?? 42, space: options.space ?? 70, values: options.x ?? axisTime, splits: options.splits },
    { stroke: colour("soft"), font, grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, gap: 6, size: axisSize,
      space: options.rows ?? 34, values: options.y ?? axisNumber },
  ];

  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "colour") node.style.setProperty(value[0], value[1]);
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const readout = (figure, parts) => {
    const box = figure.querySelector(".readout");
    box.replaceChildren(...parts.map(([label, value, mark, shape]) => {
      const item = element("span");
      if (mark) {
        const property = shape ? (shape === "tri" ? "border-bottom-color" : "border-top-color") : "background";
        item.append(element("i", { class: shape ? "tri " + (shape === "tri" ? "" : "down") : "", colour: [property, `var(--${mark})`] }));
      }
      if (label) item.append(label + (value == null ? "" : " "));
      if (value != null) item.append(element("b", {}, value));
      return item;
    }));
  };

  const draw = (figure, options, columns, say) => {
    const holder = figure.querySelector(".canvas");
    const height = Number(holder.dataset.height);
    const tall = () => (window.innerWidth < 620 ? Math.round(height * 0.86) : height);
    const update = (u) => say(u, u.cursor.idx ?? null);
    const base = {
      width: holder.clientWidth, height: tall(), legend: { show: false }, tzDate: (s) => uPlot.tzDate(new Date(s * 1e3), "Etc/UTC"),
      padding: [8, 28, 0, 0], hooks: { setCursor: [update], ready: [update], setData: [update] },
    };
    const chart = new uPlot({ ...base, ...options, hooks: { ...base.hooks, ...(options.hooks ?? {}) } }, columns, holder);
    new ResizeObserver(() => {
      if (holder.clientWidth && holder.clientWidth !== chart.width) chart.setSize({ width: holder.clientWidth, height: tall() });
    }).observe(holder);
    charts.push(chart);
    return chart;
  };
  const synced = { cursor: { y: false, sync: { key: "apex", scales: ["x", null] }, drag: { x: true, y: false, uni: 20 },
    points: { size: 7, width: 1.5, fill: () => colours.card } } };
  const between = (low, high) => (low == null ? span : low === high ? [low - 1, high + 1] : [low, high]);
  const timed = { x: { time: true, range: (u, low, high) => between(low, high) } };
  const room = (low, high, zero) => {
    if (low == null) return [0, 1];
    if (zero) { low = Math.min(low, 0); high = Math.max(high, 0); }
    if (low === 0 && high === 0) return [-1, 1];
    const pad = (high - low || Math.abs(high) || 1) * 0.08;
    return [zero && low === 0 ? 0 : low - pad, zero && high === 0 ? 0 : high + pad];
  };
  const at = (u, index) => (index == null ? u.data[0].length - 1 : index);
  const stamp = (u, index) => (index == null ? "at the end" : clock(u.data[0][index], 1) + " UTC");
  const zeroLine = (u) => {
    const y = Math.round(u.valToPos(0, "y", true)) + 0.5;
    if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) return;
    u.ctx.save();
    u.ctx.strokeStyle = colours.faint;
    u.ctx.lineWidth = 1;
    u.ctx.beginPath();
    u.ctx.moveTo(u.bbox.left, y);
    u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
    u.ctx.stroke();
    u.ctx.restore();
  };

  const thinned = (figure, shown, total, what) => {
    figure.querySelector(".foot .thinned")?.remove();
    if (shown < total) figure.querySelector(".foot").append(element("span", { class: "thinned" },
      `${number(shown)} of ${number(total)} ${what} drawn: the lowest and the highest of each interval.`));
  };

  const equity = () => {
    const figure = document.getElementById("plot-equity");
    const series = data.equity;
    thinned(figure, series.t.length, series.total, "seconds");
    const places = placesOf(series.net.concat(series.gross));
    draw(figure, {
      ...synced, scales: { ...timed, y: { range: (u, low, high) => room(low, high, true) } }, axes: axes(),
      series: [{}, { stroke: colour("gross"), width: 1.25, points: { show: false } },
        { stroke: colour("accent"), width: 1.75, fill: colour("accent-wash"), points: { show: false } }],
      hooks: { drawAxes: [zeroLine] },
    }, [times(series), series.gross, series.net], (u, index) => {
      const i = at(u, index);
      readout(figure, [[stamp(u, index)], ["net", number(u.data[2][i], places), "accent"], ["gross", number(u.data[1][i], places), "gross"]]);
    });
  };
  const drawdown = () => {
    const figure = document.getElementById("plot-drawdown");
    const series = data.drawdown;
    thinned(figure, series.t.length, series.total, "seconds");
    const places = placesOf(series.drawdown);
    draw(figure, {
      ...synced, scales: { ...timed, y: { range: (u, low, high) => (low === 0 ? [-1, 0] : room(low, 0, true)) } }, axes: axes({ rows: 24 }),
      series: [{}, { stroke: colour("loss"), width: 1.25, fill: colour("loss-wash"), points: { show: false } }],
      hooks: { drawAxes: [zeroLine] },
    }, [times(series), series.drawdown.map((v) => (v == null ? null : -v))], (u, index) => {
      readout(figure, [[stamp(u, index)], ["below the peak", number(u.data[1][at(u, index)], places), "loss"]]);
    });
  };

  const firstAt = (list, value) => {
    let low = 0, high = list.length;
    while (low < high) { const half = (low + high) >> 1; if (list[half] < value) low = half + 1; else high = half; }
    return low;
  };
  const visible = (fills, low, high) => [firstAt(fills.x, low), firstAt(fills.x, high + 1e-9)];
  const triangle = (ctx, x, y, size, up) => {
    const tip = up ? -size : size;
    ctx.moveTo(x, y + tip);
    ctx.lineTo(x + size * 0.87, y - tip * 0.75);
    ctx.lineTo(x - size * 0.87, y - tip * 0.75);
    ctx.closePath();
  };
  const marks = (state) => (u) => {
    const fills = state.fills;
    const [from, to] = visible(fills, u.scales.x.min, u.scales.x.max);
    const ratio = window.devicePixelRatio || 1;
    const crowd = (to - from) / (u.bbox.width / ratio);
    const size = (crowd > 1.2 ? 2.2 : crowd > 0.4 ? 3 : 4.2) * ratio;
    const ctx = u.ctx;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    for (const buy of [1, 0]) {
      for (const hollow of [0, 1]) {
        ctx.beginPath();
        for (let i = from; i < to; i++) {
          if (fills.buy[i] !== buy || fills.optimistic[i] !== hollow) continue;
          triangle(ctx, u.valToPos(fills.x[i], "x", true), u.valToPos(fills.price[i], "y", true), size, buy === 1);
        }
        ctx.fillStyle = ctx.strokeStyle = colours[buy ? "buy" : "sell"];
        ctx.lineWidth = ratio;
        if (hollow) ctx.stroke();
        else { ctx.globalAlpha = crowd > 1.2 ? 0.6 : 0.85; ctx.fill(); ctx.globalAlpha = 1; }
      }
    }
    ctx.restore();
  };
  const nearest = (u, fills) => {
    const { left, top } = u.cursor;
    if (left == null || left < 0 || !u.cursor.event) return -1;
    let best = -1, distance = 12 ** 2;
    const [from, to] = visible(fills, u.posToVal(left - 12, "x"), u.posToVal(left + 12, "x"));
    for (let i = from; i < to; i++) {
      const dx = u.valToPos(fills.x[i], "x") - left, dy = u.valToPos(fills.price[i], "y") - top;
      if (dx * dx + dy * dy < distance) { distance = dx * dx + dy * dy; best = i; }
    }
    return best;
  };
  const instrument = () => {
    const figure = document.getElementById("plot-price");
    const holding = document.getElementById("plot-inventory");
    const state = { window: span };
    const load = (entry) => {
      Object.assign(state, { entry, fills: { ...entry.fills, x: entry.fills.t.map(time) },
        places: Math.max(0, ...entry.price.mid.slice(0, 200).concat(entry.fills.price.slice(0, 200)).map((v) => (String(v).split(".")[1] ?? "").length)) });
      figure.querySelector(".foot").textContent = entry.fills.optimistic.some((v) => v) ? "Hollow: the fill needed optimism." : "";
      thinned(figure, entry.fills.t.length, entry.fills.total, "fills");
      thinned(holding, entry.inventory.t.length, entry.inventory.total, "seconds");
    };
    load(data.instruments[0]);
    const priceColumns = () => [times(state.entry.price), state.entry.price.mid];
    const holdingColumns = () => [times(state.entry.inventory), state.entry.inventory.position];
    const price = draw(figure, {
      ...synced,
      scales: { x: { time: true, range: (u, low, high) => (state.window = between(low, high)) }, y: { range: (u, low, high) => {
        const [from, to] = visible(state.fills, ...state.window);
        for (let i = from; i < to; i++) {
          const v = state.fills.price[i];
          if (low == null || v < low) low = v;
          if (high == null || v > high) high = v;
        }
        return room(low, high, false);
      } } },
      axes: axes(), series: [{}, { stroke: colour("mid"), width: 1.25, points: { show: false } }], hooks: { draw: [marks(state)] },
    }, priceColumns(), (u, index) => {
      const fill = u.status ? nearest(u, state.fills) : -1;
      const parts = [[stamp(u, index)], ["mid", number(u.data[1][at(u, index)]), "mid"]];
      if (fill >= 0) {
        const f = state.fills, buy = f.buy[fill];
        parts.push([`${buy ? "bought" : "sold"}`, `${number(f.quantity[fill])} at ${number(f.price[fill], state.places)}`, buy ? "buy" : "sell", buy ? "tri" : "down"]);
        parts.push([(f.maker[fill] ? "maker" : "taker") + (f.optimistic[fill] ? ", optimistic" : "")]);
      } else parts.push(["buys", null, "buy", "tri"], ["sells", null, "sell", "down"]);
      readout(figure, parts);
    });
    const position = draw(holding, {
      ...synced, scales: { ...timed, y: { range: (u, low, high) => room(low, high, true) } }, axes: axes({ rows: 24 }),
      series: [{}, { stroke: colour("accent"), fill: colour("accent-wash"), width: 1.25, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
      hooks: { drawAxes: [zeroLine] },
    }, holdingColumns(), (u, index) => {
      readout(holding, [[stamp(u, index)], ["position", `${number(u.data[1][at(u, index)])} ${state.entry.base}`.trim(), "accent"]]);
    });
    if (data.instruments.length < 2) return;
    for (const holder of [figure, holding]) {
      const pick = element("span", { class: "pick", role: "group", "aria-label": "Instrument" });
      data.instruments.forEach((entry, i) => {
        const button = element("button", { type: "button", "aria-pressed": String(i === 0), "data-pick": i }, entry.symbol);
        button.onclick = () => {
          load(entry);
          price.setData(priceColumns());
          position.setData(holdingColumns());
          document.querySelectorAll("[data-pick]").forEach((b) => b.setAttribute("aria-pressed", String(Number(b.dataset.pick) === i)));
        };
        pick.append(button);
      });
      holder.querySelector("h2").after(pick);
    }
  };

  const span_ns = (ns) => {
    for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "\u00b5s"]]) if (ns >= size) return `${Number((ns / size).toPrecision(3))} ${unit}`;
    return `${Math.round(ns)} ns`;
  };
  const waits = (name) => {
    const figure = document.getElementById("plot-" + name);
    const bins = data[name];
    if (!bins || bins.counts.length < 2) return;
    const edges = bins.edges, last = edges.length - 1;
    const place = (ns) => { // where a duration lies on the axis of bins
      const i = Math.min(last - 1, Math.max(0, firstAt(edges, ns) - 1));
      return i + (ns - edges[i]) / (edges[i + 1] - edges[i]);
    };
    const ticks = (u) => {
      const most = Math.max(2, Math.floor(u.bbox.width / (window.devicePixelRatio || 1) / 72)), out = [];
      if (bins.even) {
        const rough = (edges[last] - edges[0]) / most, power = 10 ** Math.floor(Math.log10(rough));
        const step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
        for (let v = Math.ceil(edges[0] / step) * step; v <= edges[last]; v += step) out.push(v);
      } else {
        const least = edges[0] || edges[1], decades = Math.log10(edges[last] / least);
        const digits = decades * 3 <= most ? [1, 2, 5] : decades * 2 <= most ? [1, 3] : [1];
        const every = Math.ceil(decades / most);
        for (let e = Math.floor(Math.log10(least)); 10 ** e <= edges[last]; e += every)
          for (const m of digits) if (m * 10 ** e >= least && m * 10 ** e <= edges[last]) out.push(m * 10 ** e);
      }
      return out;
    };
    const total = bins.counts.reduce((a, b) => a + b, 0) + bins.slower;
    draw(figure, {
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      scales: { x: { time: false, range: [0, bins.counts.length] }, y: { range: (u, low, high) => [0, (high || 1) * 1.08] } },
      axes: axes({ splits: (u) => ticks(u).map(place), x: (u) => ticks(u).map(span_ns), y: (u, splits) => splits.map((v) => (Number.isInteger(v) ? number(v) : "")), size: 28 }),
      series: [{}, { fill: colour("bars"), width: 0, points: { show: false },
        paths: uPlot.paths.bars({ size: [1], align: 1, gap: 1 }) }],
    }, [bins.counts.map((_, i) => i), bins.counts], (u, index) => {
      readout(figure, index == null ? [["orders", number(total)]] : [[`${span_ns(edges[index])} to ${span_ns(edges[index + 1])}`],
        ["orders", number(bins.counts[index]), "bars"]]);
    });
    if (bins.slower) figure.querySelector(".foot").append(element("span", {}, `${number(bins.slower)} beyond the right edge`));
  };

  if (data.equity.t.length) {
    equity();
    drawdown();
    if (data.instruments.length) instrument();
  }
  waits("ack");
  waits("fill");
  const repaint = () => {
    readColours();
    charts.forEach((chart) => chart.redraw(true, true));
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  window.addEventListener("beforeprint", () => { root.dataset.print = ""; repaint(); });
  window.addEventListener("afterprint", () => { delete root.dataset.print; repaint(); });
})();
