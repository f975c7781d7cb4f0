"use strict";
// Draws the pictures of a report from the numbers in the page. Colours come from the style sheet, so that both schemes and
// the printed page have their own.
(() => {
  const numbers = JSON.parse(document.getElementById("numbers").textContent);
  const said = document.getElementById("said");
  const charts = [];
  let colour = {};

  const read = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["card", "text", "quiet", "line", "soft", "plan", "plan-soft", "other", "good"])
      colour[name] = style.getPropertyValue("--" + name).trim();
    colour.font = style.fontFamily;
  };

  const whole = new Intl.NumberFormat("en");
  const number = (value, digits = 4) => {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value)) return whole.format(value);
    if (Math.abs(value) >= 10000) return whole.format(Math.round(value));
    return Number(value.toPrecision(digits)).toString();
  };
  const percent = (value) => {
    const part = 100 * value;
    return (part !== 0 && Math.abs(part) < 0.01 ? Number(part.toPrecision(2)) : Number(part.toFixed(2))) + " %";
  };
  const short = (value) => {
    for (const [unit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (Math.abs(value) >= unit) return Number((value / unit).toPrecision(3)) + " " + letter;
    return number(value, 3);
  };
  const cut = (name, most) => (name.length > most ? name.slice(0, most - 1) + "…" : name);
  // Below 1 linear, above logarithmic: drift begins at 0 and differs by factors of a thousand.
  const bend = (value) => (value <= 1 ? value : 1 + Math.log10(value));
  const unbend = (value) => (value <= 1 ? value : 10 ** (value - 1));
  const safe = (text) => String(text).replace(/[&<>"]/g, (sign) => "&#" + sign.charCodeAt(0) + ";");
  const lines = (head, ...rows) =>
    `<b>${safe(head)}</b>` +
    rows.filter((row) => row).map(([name, value]) => `<br>${safe(name)}: <b>${safe(value)}</b>`).join("");

  // The words around a picture.
  const key = (mark, tint, text) => `<span><i class="${mark}" style="background:${tint};border-color:${tint}"></i>${text}</span>`;

  const base = () => ({
    animation: false,
    textStyle: { fontFamily: colour.font, color: colour.text, fontSize: 12 },
    tooltip: {
      confine: true, backgroundColor: colour.card, borderColor: colour.line, padding: [8, 12],
      textStyle: { color: colour.text, fontSize: 13, fontFamily: colour.font }, extraCssText: "box-shadow:0 4px 16px rgb(0 0 0 / .14)",
      axisPointer: { lineStyle: { color: colour.quiet, type: "solid" } },
    },
  });
  const axis = (extra) => ({
    axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: colour.line } },
    nameTextStyle: { color: colour.quiet, fontSize: 12 },
    ...extra, axisLabel: { color: colour.quiet, fontSize: 12, hideOverlap: true, ...(extra.axisLabel || {}) },
  });
  const below = (name) => ({ name, nameLocation: "middle", nameGap: 30 });
  const labelled = (names, width) => axis({
    type: "category", data: names, inverse: true, splitLine: { show: false },
    axisLabel: { interval: 0, formatter: (name) => cut(name, width < 480 ? 15 : 22), color: colour.text, fontSize: names.length > 24 ? 11 : 12 },
  });
  const room = (names, width) => {
    const most = width < 480 ? 15 : 22;
    return 18 + 6.9 * Math.min(most, Math.max(...names.map((name) => name.length)));
  };
  const rowsHigh = (count, high = count > 24 ? 16 : 22) => Math.max(66, count * high);
  const small = (names) => (names.length > 24 ? 8 : 11);

  // Whether shares differ so much that only a logarithmic scale shows them all; a share of 0 has no place on it.
  const spans = (shares) => Math.max(...shares) / Math.min(...shares) > 60;

  // Each picture: captions, a height, the options for a width, and what the arrow keys go through.
  const pictures = {
    shares: ({ names, natural, target, drawn }) => {
      const all = [...natural, ...target, ...drawn].filter((share) => share > 0);
      const log = spans(all), place = (share) => (share > 0 || !log ? share : null);
      const tip = (at) => lines(names[at], ["natural share", percent(natural[at])], ["target", percent(target[at])], ["drawn", percent(drawn[at])]);
      return [{
        alone: true, caption: () => key("ring", colour.other, "natural share") + key("tick", colour.text, "target") + key("", colour.plan, "drawn"),
        height: rowsHigh(names.length) + 52, count: names.length, say: tip,
        option: (width) => ({
          grid: { left: room(names, width), right: 24, top: 4, bottom: 48 },
          xAxis: axis({ type: log ? "log" : "value", ...below("share of the draws" + (log ? ", logarithmic" : "")), axisLabel: { formatter: percent } }),
          yAxis: { ...labelled(names, width), splitLine: { show: true, lineStyle: { color: colour.soft } } },
          tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour.soft } }, formatter: (hits) => tip(hits[0].dataIndex) },
          series: [
            { type: "scatter", data: natural.map(place), symbolSize: small(names), itemStyle: { color: "transparent", borderColor: colour.other, borderWidth: 2 }, z: 2 },
            { type: "scatter", data: drawn.map(place), symbolSize: small(names), itemStyle: { color: colour.plan }, z: 3 },
            { type: "scatter", data: target.map(place), symbol: "rect", symbolSize: [2.5, small(names) + 5], itemStyle: { color: colour.text }, z: 4 },
          ],
        }),
      }];
    },

    composition: ({ names, micro_batches, counts, quotas, shuffled, shuffled_quotas }) => {
      const apart = (held, wanted) => held.map((row, at) => row.map((count, batch) => count - wanted[at][batch]));
      const both = [apart(counts, quotas), apart(shuffled, shuffled_quotas)];
      const most = Math.max(1e-9, ...both.flat(2).map(Math.abs));
      // The square root shows small distances beside large ones.
      const tint = (value) => Math.sign(value) * Math.sqrt(Math.abs(value) / most);
      const steps = [colour.other, colour.soft, colour.plan];
      const high = names.length > 24 ? 13 : names.length > 12 ? 18 : 26;
      const one = (held, wanted, from, title) => {
        const tip = (at) => {
          const row = Math.floor(at / micro_batches.length), batch = at % micro_batches.length;
          const value = from[row][batch];
          return lines(names[row], ["micro-batch", number(micro_batches[batch])], ["samples", number(held[row][batch])],
            ["quota", number(wanted[row][batch])], [value < 0 ? "below the quota" : "above the quota", number(Math.abs(value), 3)]);
        };
        return {
          caption: () => `<b>${title}</b>`, height: rowsHigh(names.length, high) + 46, count: names.length * micro_batches.length,
          stride: micro_batches.length, say: tip,
          option: (width) => ({
            grid: { left: room(names, width), right: 12, top: 4, bottom: 42 },
            xAxis: axis({ type: "category", data: micro_batches.map((batch) => number(batch)), ...below("micro-batch"), splitLine: { show: false }, axisLabel: { interval: Math.ceil(micro_batches.length / (width < 480 ? 3 : 5)) - 1 } }),
            yAxis: { ...labelled(names, width), axisLabel: { color: colour.text, fontSize: high < 16 ? 10.5 : 12, interval: 0, formatter: (name) => cut(name, width < 480 ? 15 : 22) } },
            visualMap: { show: false, min: -1, max: 1, dimension: 2, inRange: { color: steps } },
            tooltip: { trigger: "item", formatter: (hit) => tip(hit.dataIndex) },
            series: [{
              type: "heatmap", progressive: 0, itemStyle: { borderWidth: 0 }, emphasis: { itemStyle: { borderColor: colour.text, borderWidth: 1.5 } },
              data: from.flatMap((row, at) => row.map((value, batch) => [batch, at, tint(value)])),
            }],
          }),
        };
      };
      const mark = (part) => (part < 0 ? "−" : part > 0 ? "+" : "") + number(part * part * most, 3);
      const scale = () => `<div>samples above or below the quota</div><span style="background:linear-gradient(90deg,${steps.join(",")})"></span>` +
        `<ol>${[-1, -0.5, 0, 0.5, 1].map((part) => `<li>${mark(part)}</li>`).join("")}</ol>`;
      return [one(counts, quotas, both[0], "This plan"), one(shuffled, shuffled_quotas, both[1], "A plain shuffle"), { scale }];
    },

    presence: ({ names, drawn, shuffled }) => {
      const log = spans([...drawn, ...shuffled].filter((share) => share > 0)), place = (share) => (share > 0 || !log ? share : null);
      const tip = (at) => lines(names[at], ["of this plan's micro-batches", percent(drawn[at])], ["of a shuffle's", percent(shuffled[at])]);
      return [{
        alone: true, caption: () => key("", colour.plan, "this plan") + key("ring", colour.other, "a plain shuffle, expected"),
        height: rowsHigh(names.length) + 52, count: names.length, say: tip,
        option: (width) => ({
          grid: { left: room(names, width), right: 24, top: 4, bottom: 48 },
          xAxis: axis({ ...(log ? { type: "log" } : { type: "value", min: 0 }), max: 1, ...below("micro-batches that hold it" + (log ? ", logarithmic" : "")), axisLabel: { formatter: percent } }),
          yAxis: { ...labelled(names, width), splitLine: { show: true, lineStyle: { color: colour.soft } } },
          tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour.soft } }, formatter: (hits) => tip(hits[0].dataIndex) },
          series: [
            { type: "scatter", data: shuffled.map(place), symbolSize: small(names), itemStyle: { color: "transparent", borderColor: colour.other, borderWidth: 2 } },
            { type: "scatter", data: drawn.map(place), symbolSize: small(names) - 1, itemStyle: { color: colour.plan } },
          ],
        }),
      }];
    },

    passes: ({ names, expected, fewest, most, times, samples, shuffled }) => {
      const tip = (at) => lines(names[at], ["passes", number(expected[at])], ["least often", number(fewest[at])], ["most often", number(most[at])]);
      const last = times.length - 1;
      const label = (at) => (at === last && last >= 12 ? times[at] + " +" : String(times[at]));
      const tipOf = (at) => lines(`came ${label(at)} times`, ["samples of this plan", number(samples[at])], ["of a shuffle", number(shuffled[at])]);
      return [
        {
          caption: () => "<b>By group</b>" + key("line", colour.plan, "least to most often") + key("tick", colour.text, "passes that the target asks for"),
          height: rowsHigh(names.length) + 52, count: names.length, say: tip,
          option: (width) => ({
            grid: { left: room(names, width), right: 24, top: 4, bottom: 48 },
            xAxis: axis({ type: "value", min: 0, minInterval: 1, ...below("times that a sample came"), axisLabel: { formatter: short } }),
            yAxis: { ...labelled(names, width), splitLine: { show: true, lineStyle: { color: colour.soft } } },
            tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour.soft } }, formatter: (hits) => tip(hits[0].dataIndex) },
            series: [
              {
                type: "custom", data: names.map((_, at) => [fewest[at], at, most[at]]), encode: { x: [0, 2], y: 1 },
                renderItem: (_, api) => {
                  const [left, y] = api.coord([api.value(0), api.value(1)]), [right] = api.coord([api.value(2), api.value(1)]);
                  return { type: "line", shape: { x1: left, y1: y, x2: right + 0.01, y2: y }, style: { stroke: colour.plan, lineWidth: 8, lineCap: "round" } };
                },
              },
              { type: "scatter", data: expected, symbol: "rect", symbolSize: [2.5, small(names) + 4], itemStyle: { color: colour.text }, z: 4 },
            ],
          }),
        },
        {
          caption: () => "<b>All samples</b>" + key("", colour.plan, "this plan") + key("", colour.other, "a plain shuffle"),
          height: 260, count: times.length, say: tipOf,
          option: () => ({
            grid: { left: 58, right: 12, top: 10, bottom: 48 },
            xAxis: axis({ type: "category", data: times.map((_, at) => label(at)), ...below("times that a sample came"), splitLine: { show: false } }),
            yAxis: axis({ type: "value", minInterval: 1, axisLabel: { formatter: short } }),
            tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour.soft } }, formatter: (hits) => tipOf(hits[0].dataIndex) },
            series: [
              { type: "bar", data: samples, barMaxWidth: 26, barGap: "12%", itemStyle: { color: colour.plan, borderRadius: [2, 2, 0, 0] } },
              { type: "bar", data: shuffled, barMaxWidth: 26, itemStyle: { color: colour.other, borderRadius: [2, 2, 0, 0] } },
            ],
          }),
        },
      ];
    },

    drift: ({ micro_batches, worst, most_groups, median, shuffled, bound }) => {
      const tip = (at) => lines(`after ${number(micro_batches[at])} micro-batches`, ["farthest group", number(worst[at], 3)],
        ["90 % of the groups within", number(most_groups[at], 3)], ["half within", number(median[at], 3)], ["a shuffle's farthest", number(shuffled[at], 3)],
        bound === null ? null : ["limit", number(bound, 3)]);
      const drawn = (values, tint, width, type) => ({
        type: "line", data: values.map((value, at) => [micro_batches[at], bend(value)]), showSymbol: values.length < 3, symbolSize: 5,
        lineStyle: { color: tint, width, type }, itemStyle: { color: tint },
      });
      return [{
        alone: true, height: 300, count: micro_batches.length, say: tip,
        caption: () => key("line", colour.plan, "farthest group") + key("line", colour["plan-soft"], "90 %, and half, of the groups") +
          key("line", colour.other, "a shuffle's farthest group") + (bound === null ? "" : key("line", colour.quiet, "limit")),
        option: () => ({
          grid: { left: 52, right: 20, top: 12, bottom: 48 },
          xAxis: axis({ type: "value", min: 0, max: micro_batches[micro_batches.length - 1], ...below("micro-batches"), splitLine: { show: false }, axisLabel: { formatter: short } }),
          yAxis: axis({ type: "value", min: 0, minInterval: 1, interval: 1, axisLabel: { formatter: (value) => short(unbend(value)) } }),
          tooltip: { trigger: "axis", formatter: (hits) => tip(hits[0].dataIndex) },
          series: [
            drawn(shuffled, colour.other, 1.5), drawn(median, colour["plan-soft"], 1.5), drawn(most_groups, colour["plan-soft"], 1.5), drawn(worst, colour.plan, 2),
            ...(bound === null ? [] : [drawn(worst.map(() => bound), colour.quiet, 1.5, "dashed")]),
          ],
        }),
      }];
    },

    lengths: ({ edges, data, drawn }) => {
      const part = (counts) => { const all = counts.reduce((sum, one) => sum + one, 0) || 1; return counts.map((count) => count / all); };
      const parts = [part(data), part(drawn)];
      const tip = (at) => lines(`${number(edges[at])} to ${number(edges[at + 1])}`, ["of the data", `${percent(parts[0][at])}, ${number(data[at])} samples`],
        ["of the draws", `${percent(parts[1][at])}, ${number(drawn[at])}`]);
      return [{
        alone: true, height: 260, count: data.length, say: tip, caption: () => key("", colour.plan, "drawn") + key("line", colour.other, "the data"),
        option: (width) => ({
          grid: { left: 52, right: 20, top: 10, bottom: 48 },
          xAxis: axis({ type: "category", data: edges.slice(0, -1).map((edge) => number(edge, 3)), ...below("length, from"), splitLine: { show: false }, axisLabel: { interval: Math.ceil(data.length / (width < 480 ? 4 : 9)) - 1 } }),
          yAxis: axis({ type: "value", axisLabel: { formatter: percent } }),
          tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour.soft } }, formatter: (hits) => tip(hits[0].dataIndex) },
          series: [
            { type: "bar", data: parts[1], barCategoryGap: "12%", itemStyle: { color: colour.plan } },
            { type: "line", step: "middle", data: parts[0], showSymbol: data.length < 3, lineStyle: { color: colour.other, width: 2 }, itemStyle: { color: colour.other } },
          ],
        }),
      }];
    },

    padding: ({ micro_batches, padding, shuffled, overall, overall_shuffled }) => {
      const tip = (at) => lines(`micro-batch ${number(micro_batches[at])}`, ["padding", percent(padding[at])], ["of a shuffle", percent(shuffled[at])]);
      const level = (value, tint) => ({ silent: true, symbol: "none", label: { show: false }, lineStyle: { color: tint, width: 1.5, type: "dashed" }, data: [{ yAxis: value }] });
      return [{
        alone: true, height: 280, count: micro_batches.length, say: tip,
        caption: () => key("", colour.plan, "this plan") + key("ring", colour.other, "a plain shuffle") + "<span>dashed: over all micro-batches</span>",
        option: () => ({
          grid: { left: 52, right: 20, top: 10, bottom: 48 },
          xAxis: axis({ type: "value", min: micro_batches[0], max: Math.max(micro_batches[0] + 1, micro_batches[micro_batches.length - 1]), ...below("micro-batch"), splitLine: { show: false }, axisLabel: { formatter: short } }),
          yAxis: axis({ type: "value", min: 0, axisLabel: { formatter: percent } }),
          tooltip: { trigger: "axis", formatter: (hits) => tip(hits[0].dataIndex) },
          series: [
            { type: "scatter", data: shuffled.map((part, at) => [micro_batches[at], part]), symbolSize: 7, itemStyle: { color: "transparent", borderColor: colour.other, borderWidth: 1.5 }, markLine: level(overall_shuffled, colour.other) },
            { type: "scatter", data: padding.map((part, at) => [micro_batches[at], part]), symbolSize: 6, itemStyle: { color: colour.plan }, markLine: level(overall, colour.plan) },
          ],
        }),
      }];
    },

    cost: ({ ranks, steps, least, mean, most, shuffled }) => {
      const tip = (at) => lines(`step ${number(steps[at])}`, ...(ranks === 1 ? [["cost", number(mean[at])]] : [["most expensive rank", number(most[at])], ["mean", number(mean[at])], ["cheapest rank", number(least[at])]]),
        ["of a shuffle", number(shuffled[at])]);
      const drawn = (values, tint, width, extra) => ({ type: "line", data: values.map((value, at) => [steps[at], value]), showSymbol: values.length < 3, symbolSize: 5, lineStyle: { color: tint, width }, itemStyle: { color: tint }, ...extra });
      return [{
        alone: true, height: 280, count: steps.length, say: tip,
        caption: () => (ranks === 1 ? key("line", colour.plan, "this plan") : key("line", colour.plan, "most expensive rank") + key("", colour["plan-soft"], "cheapest to most expensive")) +
          key("line", colour.other, "a shuffle" + (ranks === 1 ? "" : "'s most expensive rank")),
        option: () => ({
          grid: { left: 58, right: 20, top: 10, bottom: 48 },
          xAxis: axis({ type: "value", min: steps[0], max: Math.max(steps[0] + 1, steps[steps.length - 1]), ...below("step"), splitLine: { show: false }, axisLabel: { formatter: short } }),
          yAxis: axis({ type: "value", scale: true, axisLabel: { formatter: short } }),
          tooltip: { trigger: "axis", formatter: (hits) => tip(hits[0].dataIndex) },
          series: [
            drawn(shuffled, colour.other, 1.2),
            ...(ranks === 1 ? [] : [
              drawn(least, "transparent", 0, { stack: "range", stackStrategy: "all", showSymbol: false }),
              drawn(most.map((value, at) => value - least[at]), "transparent", 0, { stack: "range", stackStrategy: "all", showSymbol: false, areaStyle: { color: colour["plan-soft"], opacity: 0.6 } }),
            ]),
            drawn(most, colour.plan, 2),
          ],
        }),
      }];
    },
  };

  // Plain text of a tooltip, for screen readers.
  const spoken = (html) => { const held = document.createElement("div"); held.innerHTML = html.replace(/<br>/g, ", "); return held.textContent; };

  const add = (home, name, one, number_) => {
    if (one.scale) {
      const scale = document.createElement("div");
      scale.className = "scale";
      home.append(scale);
      charts.push({ draw: () => { scale.innerHTML = one.scale(); } });
      return;
    }
    const figure = document.createElement("figure"), caption = document.createElement("figcaption"), place = document.createElement("div");
    if (one.alone) figure.className = "alone";
    place.className = "picture";
    place.style.height = one.height + "px";
    place.tabIndex = 0;
    place.id = `picture-${name}-${number_}`;
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", home.dataset.said + " The arrow keys go through its numbers.");
    figure.append(caption, place);
    home.append(figure);
    let chart = null, at = -1, width = 0;
    const draw = () => {
      caption.innerHTML = one.caption();
      width = place.clientWidth;
      chart = chart || echarts.init(place, null, { renderer: "canvas" });
      const made = one.option(width), common = base();
      chart.setOption({ ...common, ...made, tooltip: { ...common.tooltip, ...made.tooltip } }, true);
    };
    const show = (to) => {
      at = Math.max(0, Math.min(one.count - 1, to));
      const series = chart.getOption().series.length - 1;
      chart.dispatchAction({ type: "showTip", seriesIndex: series, dataIndex: at });
      said.textContent = spoken(one.say(at));
    };
    place.addEventListener("keydown", (event) => {
      const stride = one.stride || 1;
      const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + stride, ArrowUp: at - stride, Home: 0, End: one.count - 1 };
      if (event.key === "Escape") { chart.dispatchAction({ type: "hideTip" }); at = -1; }
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(at < 0 ? 0 : moves[event.key]);
    });
    place.addEventListener("blur", () => { if (chart) chart.dispatchAction({ type: "hideTip" }); });
    charts.push({ draw, place, resize: () => { if (chart && place.clientWidth !== width) { chart.resize(); draw(); } } });
  };

  read();
  for (const home of document.querySelectorAll("[data-picture]"))
    pictures[home.dataset.picture](numbers[home.dataset.picture]).forEach((one, at) => add(home, home.dataset.picture, one, at));

  // Pictures are drawn when they are about to be seen, so that the page opens at once.
  const drawn = new Set();
  const drawOnce = (one) => { if (!drawn.has(one)) { drawn.add(one); one.draw(); } };
  const near = new IntersectionObserver((seen) => {
    for (const entry of seen) if (entry.isIntersecting) {
      near.unobserve(entry.target);
      drawOnce(charts.find((one) => one.place === entry.target));
    }
  }, { rootMargin: "400px" });
  for (const one of charts) if (one.place) near.observe(one.place); else drawOnce(one);

  const again = () => { read(); for (const one of charts) if (drawn.has(one)) one.draw(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("resize", () => charts.forEach((one) => one.resize && one.resize()));
  const printing = () => { charts.forEach(drawOnce); read(); charts.forEach((one) => { one.draw(); if (one.resize) one.resize(); }); };
  matchMedia("print").addEventListener("change", printing);
  window.report = { drawAll: () => charts.forEach(drawOnce), charts };
  document.documentElement.dataset.ready = "yes";
})();
