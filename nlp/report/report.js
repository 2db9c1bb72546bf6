"use strict";
// Draws and filters what the page holds. Text from documents only ever becomes text nodes.
(function () {
  const data = JSON.parse(document.getElementById("case-data").textContent);
  const narratives = new Map(data.narratives.map((n) => [n.id, n]));
  const incidents = new Map(data.incidents.map((i) => [i.id, i]));
  const shade = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const dark = () => !document.documentElement.classList.contains("paper") && window.matchMedia("(prefers-color-scheme: dark)").matches;
  const onDark = ["#6aa9d6", "#e08a5f", "#9dbd78", "#b98fce", "#d9b54a", "#5fb8b0", "#d97493", "#93a5c2", "#c79a72", "#7ea6e0", "#c9975c", "#82c191", "#bb8cc7", "#b5b55c"];
  const onLight = ["#1f5f8b", "#b4532a", "#5d7c3b", "#7a4f8e", "#b08a1e", "#2f8079", "#a23b5a", "#50607a", "#8a6240", "#3f6fb5", "#94642c", "#4d8b5c", "#86548a", "#7c7c2e"];
  // A plot does not shrink with the page: on paper it gets the width of A4 between its margins.
  const layout = (more) => Object.assign(document.documentElement.classList.contains("paper") ? { width: 690 } : { autosize: true }, { margin: { l: 50, r: 20, t: 15, b: 40 }, paper_bgcolor: shade("card"), plot_bgcolor: shade("card"), font: { family: "system-ui, sans-serif", size: 12, color: shade("ink") }, hoverlabel: { align: "left" } }, more);
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const byId = (id) => document.getElementById(id);
  const cut = (text, length) => (text && text.length > length ? text.slice(0, length - 1) + "…" : text || "");
  // Plotly reads a small set of tags in its labels; documents must not reach it as markup.
  const plain = (text) => String(text || "").replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function element(tag, content, className) {
    const made = document.createElement(tag);
    if (content !== undefined && content !== null) made.textContent = content;
    if (className) made.className = className;
    return made;
  }

  function cites(ids) {
    const cell = element("td");
    ids.forEach((id, position) => {
      const anchor = element("a", String(position + 1), "cite");
      anchor.href = "#" + id;
      anchor.title = id;
      cell.append(anchor);
    });
    return cell;
  }

  function options(select, values) {
    values.forEach((value) => {
      const option = element("option", value[1]);
      option.value = value[0];
      select.append(option);
    });
  }

  function svg(width, height, marks) {
    const space = "http://www.w3.org/2000/svg";
    const made = document.createElementNS(space, "svg");
    made.setAttribute("width", width);
    made.setAttribute("height", height);
    made.setAttribute("class", "bars");
    marks.forEach((mark) => {
      const rect = document.createElementNS(space, "rect");
      Object.entries(mark).forEach(([name, value]) => (name === "title" ? null : rect.setAttribute(name, value)));
      if (mark.title) {
        const title = document.createElementNS(space, "title");
        title.textContent = mark.title;
        rect.append(title);
      }
      made.append(rect);
    });
    return made;
  }

  const plural = (number, thing) => number + " " + thing + (number === 1 ? "" : "s");
  const two = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

  // --- narratives ---
  // Days that hold hardly a document and lie more than a year from all others (1970-01-01, a slip of a century) would flatten the rest: they are counted, not drawn.
  const YEAR = 366 * 86400000, HARDLY = 0.01;
  const span = (() => {
    const counts = new Map();
    data.narratives.forEach((n) => n.volume.forEach((v) => counts.set(Date.parse(v[0]), (counts.get(Date.parse(v[0])) || 0) + v[1])));
    const days = [...counts.keys()].sort((a, b) => a - b);
    if (!days.length) return [0, 1, 0];
    const most = HARDLY * [...counts.values()].reduce((sum, count) => sum + count, 0);
    function left(ordered) {
      let gone = 0, held = 0, outside = 0;
      for (let place = 0; place + 1 < ordered.length && (held += counts.get(ordered[place])) <= most; place += 1) {
        if (Math.abs(ordered[place + 1] - ordered[place]) > YEAR) { gone = place + 1; outside = held; }
      }
      return [gone, outside];
    }
    const [early, before] = left(days), [late, after] = left([...days].reverse());
    return [days[early], days[days.length - 1 - late], before + after];
  })();

  function spark(narrative) {
    const width = 150, height = 26;
    const top = narrative.volume.reduce((most, v) => Math.max(most, v[1]), 1);
    const scale = (day) => ((Date.parse(day) - span[0]) / Math.max(span[1] - span[0], 1)) * (width - 3);
    const drawn = narrative.volume.filter((v) => span[0] <= Date.parse(v[0]) && Date.parse(v[0]) <= span[1]);
    return svg(width, height, drawn.map((v) => ({ x: scale(v[0]).toFixed(1), y: (height - (v[1] / top) * height).toFixed(1), width: 2, height: ((v[1] / top) * height).toFixed(1), class: bursting(narrative, v[0]) ? "burst" : "day", title: v[0] + ": " + v[1] + (bursting(narrative, v[0]) ? ", in a burst" : "") })));
  }

  function bursting(narrative, date) {
    return narrative.bursts.some((burst) => burst[0] <= date && date <= burst[1]);
  }

  // What stands behind a narrative is laid out when a reader asks for it.
  function more(narrative) {
    const made = element("details"), list = element("dl");
    const period = (from, to) => (from === null ? "undated" : from === to ? from : from + " to " + to);
    function tell(name, lines) {
      if (!lines.length) return;
      const told = element("dd");
      lines.forEach((line) => { const own = element("div", line); own.dir = "auto"; told.append(own); });
      list.append(element("dt", name), told);
    }
    function carriers(spread) {
      const hidden = spread.of - spread.shown.length;
      return spread.shown.map((c) => c[0] + ": " + c[1] + ", " + period(c[2], c[3])).concat(hidden ? ["and " + hidden + " more"] : []);
    }
    function lay() {
      const rival = narrative.rival && narratives.get(narrative.rival[0]);
      tell("Written by a model", narrative.generated === null ? [] : [narrative.generated]);
      tell("Bursts", narrative.bursts.map((b) => period(b[0], b[1]) + ", " + plural(b[2], "document")));
      tell("Half-life", narrative.half_life === null ? [] : [plural(narrative.half_life, "day") + " after the peak of " + narrative.peak]);
      tell("First movers", narrative.movers.map((m) => m[0] + ", " + period(m[1], m[2])));
      tell("Languages", carriers(narrative.spread.language));
      tell("Outlets", carriers(narrative.spread.outlet));
      tell("Terms", narrative.terms.length > 1 ? narrative.terms.map((t) => t[0] + ": " + t[1].join(", ")).concat(narrative.more_terms ? ["and " + plural(narrative.more_terms, "more language")] : []) : []);
      if (rival) tell("Nearest rival", [rival.label + " (distance " + two(narrative.rival[1]) + ")", "this one rather says: " + (narrative.rival[2].join(", ") || "nothing that the other does not say")]);
      tell("Stories", narrative.stories === null ? [] : [plural(narrative.stories, "story").replace("storys", "stories") + (narrative.kin === null ? "" : ", in a theme with " + plural(narrative.kin, "other narrative"))]);
    }
    made.append(element("summary", "course, carriers, rival"), list);
    made.addEventListener("toggle", () => { if (made.open && !list.childElementCount) lay(); });
    return made;
  }

  // Rows beyond the first are laid out when a reader asks for them: a browser is slow with thousands.
  const PAGE = 300, DRAWN = 500;
  function fill(table, rows, lay, count, tell) {
    const body = table.tBodies[0];
    let shown = 0;
    function more() {
      const button = element("button", "show " + Math.min(PAGE, rows.length - shown - PAGE) + " more"), last = element("tr"), cell = element("td");
      if (body.lastElementChild && body.lastElementChild.className === "rest") body.lastElementChild.remove();
      body.append(...rows.slice(shown, shown + PAGE).map(lay));
      shown = Math.min(shown + PAGE, rows.length);
      count.textContent = tell + (shown < rows.length ? ", the first " + shown + " of them laid out" : "");
      if (shown === rows.length) return;
      button.type = "button";
      button.addEventListener("click", more);
      last.className = "rest";
      cell.colSpan = table.tHead.rows[0].cells.length;
      cell.append(button);
      last.append(cell);
      body.append(last);
    }
    body.replaceChildren();
    more();
  }

  const order = { key: "size", down: true };
  function narrativeRows() {
    const find = byId("narrative-find").value.trim().toLowerCase();
    const linked = byId("narrative-linked").checked, coordinated = byId("narrative-coordinated").checked;
    const shown = data.narratives.filter((n) => {
      const text = [n.label, n.headline, n.keywords.join(" "), n.languages.join(" "), n.targets.join(" ")].join(" ").toLowerCase();
      return (!find || text.includes(find)) && (!linked || n.linked) && (!coordinated || n.coordinated > 0);
    });
    const value = (n) => (Array.isArray(n[order.key]) ? n[order.key].join() : n[order.key]);
    shown.sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : a.id < b.id ? -1 : 1) * (order.down ? -1 : 1));
    fill(byId("narrative-table"), shown, (n) => {
      const row = element("tr");
      const name = element("td");
      name.dir = "auto";
      name.append(element("b", n.label), element("small", n.headline), element("small", "targets named: " + (n.targets.join(", ") || "none")), more(n));
      const volume = element("td");
      volume.append(spark(n));
      const onset = element("td", n.onset[0] || "undated");
      if (n.onset[1] !== n.onset[0]) onset.append(element("small", "to " + n.onset[1]));
      row.append(name, element("td", n.size, "number"), element("td", n.texts, "number"), element("td", n.accounts, "number"), element("td", n.languages.join(", ")), onset, volume, element("td", (n.coordinated * 100).toFixed(0) + " %", "number"), cites(n.exemplars));
      return row;
    }, byId("narrative-count"), shown.length + " of " + data.narratives.length + " narratives");
  }
  byId("narrative-table").querySelectorAll("th[data-key]").forEach((head) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => {
      order.down = order.key === head.dataset.key ? !order.down : true;
      order.key = head.dataset.key;
      byId("narrative-table").querySelectorAll("th[data-key]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      narrativeRows();
    });
    head.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); head.click(); } });
  });
  ["narrative-find", "narrative-linked", "narrative-coordinated"].forEach((id) => byId(id).addEventListener("input", narrativeRows));

  // --- links ---
  function evidenceBars(link) {
    const width = 116, middle = 58, row = 9;
    const marks = [{ x: middle - 0.5, y: 0, width: 1, height: row * link.llr.length, class: "axis" }];
    link.llr.forEach((value, index) => {
      if (value === null) return;
      const length = Math.min(Math.abs(value) / 7, 1) * (middle - 2);
      marks.push({ x: value < 0 ? middle - length : middle, y: index * row + 1, width: Math.max(length, 1).toFixed(1), height: row - 2, class: value < 0 ? "against" : "for", title: data.llrs[index].replace("_", " and ") + " " + value.toFixed(2) + " nats" });
    });
    return svg(width, row * link.llr.length, marks);
  }

  function linkRows() {
    const find = byId("link-find").value.trim().toLowerCase(), type = byId("link-type").value, displayed = byId("link-displayed").checked;
    const shown = data.links.filter((link) => {
      const text = ((incidents.get(link.incident) || {}).name + " " + (narratives.get(link.narrative) || {}).label).toLowerCase();
      return (!find || text.includes(find)) && (!type || link.type === type) && (!displayed || link.displayed);
    });
    fill(byId("link-table"), shown, (link) => {
      const incident = incidents.get(link.incident) || {}, row = element("tr");
      const first = element("td"), bars = element("td"), rivals = element("details");
      first.append(element("b", cut(incident.name, 120)), element("small", (incident.onset || []).filter((day, index, days) => day && days.indexOf(day) === index).join(" to ") + " · " + (incident.state || "state unknown") + " · " + (incident.technique || "technique unknown")));
      first.title = incident.description || "";
      bars.append(evidenceBars(link), element("small", cut(link.entities.join(", "), 160)));
      rivals.append(element("summary", plural(link.rivals.length, "other incident") + " it could be"));
      link.rivals.forEach((rival) => rivals.append(element("small", cut((incidents.get(rival[0]) || {}).name || rival[0], 60) + ", p " + two(rival[1]))));
      if (link.rivals.length) first.append(rivals);
      const story = element("td", (narratives.get(link.narrative) || {}).label);
      story.dir = "auto";
      const kind = element("td", link.type);
      kind.title = data.types.map((name, index) => name + " " + two(link.types[index])).join(", ");
      row.append(first, story, kind, element("td", two(link.p[1]) + " (" + two(link.p[0]) + "–" + two(link.p[2]) + ")", "number"), element("td", two(link.placebo), "number"), element("td", link.lag === null ? "–" : link.lag.toFixed(1), "number"), bars, cites(link.evidence));
      return row;
    }, byId("link-count"), shown.length + " of " + data.links.length + " links listed");
  }
  options(byId("link-type"), data.types.map((name) => [name, name]));
  ["link-find", "link-type", "link-displayed"].forEach((id) => byId(id).addEventListener("input", linkRows));

  // --- timeline: incidents on lanes above zero, narratives on lanes below ---
  const rank = new Map(data.timeline.narratives.map((id, index) => [id, index]));
  const hue = (index) => (dark() ? onDark : onLight)[index % onLight.length];
  options(byId("timeline-state"), [...new Set(data.incidents.map((i) => i.state).filter(Boolean))].sort().map((code) => [code, code]));
  const day = 86400000;
  function timeline() {
    const state = byId("timeline-state").value, least = Number(byId("timeline-p").value) / 100;
    byId("timeline-p-out").textContent = least.toFixed(2);
    // Links come in order of their probability; thousands of lines would hide each other and stop the browser.
    const meant = data.links.filter((link) => link.p[1] >= least && rank.has(link.narrative) && (!state || (incidents.get(link.incident) || {}).state === state));
    const drawn = meant.slice(0, DRAWN);
    const shown = [...new Set(drawn.map((link) => link.incident))].map((id) => incidents.get(id)).filter((i) => i && i.onset[0]);
    shown.sort((a, b) => (a.onset[0] < b.onset[0] ? -1 : a.onset[0] > b.onset[0] ? 1 : a.id < b.id ? -1 : 1));
    const lane = new Map(shown.map((i, index) => [i.id, 1 + (index % 8) * 0.8]));
    const centre = (i) => (Date.parse(i.onset[0]) + Date.parse(i.onset[1] || i.onset[0])) / 2;
    const traces = [];
    data.timeline.narratives.forEach((id, index) => {
      const n = narratives.get(id), base = -1.2 * (index + 1), top = n.volume.reduce((most, v) => Math.max(most, v[1]), 1);
      const x = [], y = [], text = [];
      n.volume.forEach((v, position) => {
        const at = Date.parse(v[0]), before = position ? Date.parse(n.volume[position - 1][0]) : null;
        // A day without documents is zero, not a line from the day before to the day after.
        if (before === null || at - before > day) {
          if (before !== null) { x.push(new Date(before + day)); y.push(base); text.push("0"); }
          x.push(new Date(at - day)); y.push(base); text.push("0");
        }
        x.push(new Date(at)); y.push(base + v[1] / top); text.push(v[0] + ": " + v[1] + " documents");
      });
      if (n.volume.length) { x.push(new Date(Date.parse(n.volume[n.volume.length - 1][0]) + day)); y.push(base); text.push("0"); }
      traces.push({ type: "scatter", mode: "lines", x: x.map(() => x[0]).slice(0, 1).concat(x), y: [base].concat(y), text: [""].concat(text), fill: "toself", fillcolor: hue(index) + "66", line: { color: hue(index), width: 1 }, name: plain(cut(n.label, 40)), hovertemplate: plain(cut(n.label, 60)) + "<br>%{text}<extra></extra>", showlegend: false });
    });
    drawn.forEach((link) => {
      const incident = incidents.get(link.incident), index = rank.get(link.narrative);
      if (!incident || !incident.onset[0]) return;
      const n = narratives.get(link.narrative), to = link.lag === null ? Date.parse(n.onset[0] || incident.onset[0]) : centre(incident) + link.lag * day;
      traces.push({ type: "scatter", mode: "lines", x: [new Date(centre(incident)), new Date(to)], y: [lane.get(link.incident), -1.2 * (index + 1) + 0.5], line: { color: hue(index), width: 0.6 + 2.4 * link.p[1], dash: link.displayed ? "solid" : "dot" }, opacity: 0.55, hovertemplate: link.type + ", p " + two(link.p[1]) + " (" + two(link.p[0]) + "–" + two(link.p[2]) + ")<extra></extra>", showlegend: false });
    });
    const spans = { x: [], y: [] };
    shown.forEach((i) => { spans.x.push(i.onset[0], i.onset[1] || i.onset[0], null); spans.y.push(lane.get(i.id), lane.get(i.id), null); });
    traces.push({ type: "scatter", mode: "lines", x: spans.x, y: spans.y, line: { color: shade("ink"), width: 2.5 }, opacity: 0.5, hoverinfo: "skip", showlegend: false });
    traces.push({ type: "scatter", mode: "markers", x: shown.map((i) => new Date(centre(i))), y: shown.map((i) => lane.get(i.id)), marker: { color: shade("ink"), size: 8, symbol: "diamond" }, text: shown.map((i) => plain(cut(i.name, 90)) + "<br>" + i.onset[0] + (i.precision === "day" || i.precision === "second" ? "" : " (precision: " + i.precision + ")") + " · " + plain(i.state || "")), hovertemplate: "%{text}<extra></extra>", showlegend: false });
    const narrow = byId("timeline-plot").clientWidth < 700;
    const labels = data.timeline.narratives.map((id) => plain(cut(narratives.get(id).label, narrow ? 14 : 34)));
    // Where a window is resized, Plotly takes the height of the box.
    const height = 300 + 30 * data.timeline.narratives.length;
    byId("timeline-plot").style.height = height + "px";
    Plotly.react("timeline-plot", traces, layout({
      height, margin: { l: narrow ? 105 : 230, r: 20, t: 10, b: 40 }, hovermode: "closest",
      xaxis: { type: "date", range: span[1] !== 1 ? [new Date(span[0] - 15 * day), new Date(span[1] + 5 * day)] : undefined, gridcolor: shade("grid") },
      yaxis: { automargin: !narrow, range: [-1.2 * (labels.length + 0.3), 7.6], tickvals: [...labels.keys()].map((index) => -1.2 * (index + 1) + 0.4).concat([3.8]), ticktext: labels.concat(["<b>incidents</b>"]), gridcolor: shade("grid"), zeroline: true, zerolinecolor: shade("faint") },
    }), config);
    byId("timeline-note").textContent = data.timeline.narratives.length + " of " + data.timeline.of + " narratives are drawn: those with the strongest links first, then the largest. " + (drawn.length < meant.length ? "The " + drawn.length + " most probable of " : "") + plural(meant.length, "link") + " and " + plural(shown.length, "dated incident") + " at this setting. Dotted links do not stand out from chance timing." + (span[2] ? " " + plural(span[2], "document") + " more than a year from all others " + (span[2] === 1 ? "is" : "are") + " counted but not in the picture." : "");
  }
  ["timeline-state", "timeline-p"].forEach((id) => byId(id).addEventListener("input", timeline));

  // --- coordination network: one path a trace and group, one link a group, one mark an account ---
  const net = data.network, space = "http://www.w3.org/2000/svg";
  const small = (value) => (value === null ? "not known" : value < 0.001 ? value.toExponential(1) : value.toPrecision(2));
  function shape(tag, marks, parent) {
    const made = document.createElementNS(space, tag);
    Object.entries(marks).forEach(([name, value]) => made.setAttribute(name, value));
    if (parent) parent.append(made);
    return made;
  }
  const line = (edge) => "M" + net.nodes[edge[0]].slice(0, 2).join(" ") + "L" + net.nodes[edge[1]].slice(0, 2).join(" ");
  const tint = (number) => hue(net.about[number][0] - 1);
  const standing = (number) => (net.groups[number][1] ? "no tested alternative fits" : "explained by " + net.about[number][4].join(", "));
  const ofGroup = (number) => "Group " + net.about[number][0] + ": " + net.about[number][1] + " accounts, p = " + small(net.about[number][2]) + ", q = " + small(net.about[number][3]) + ", " + standing(number);
  const picked = () => new Set([...byId("network-traces").querySelectorAll("input")].filter((box) => box.checked).map((box) => box.value));
  net.edges.forEach((edge) => { edge[2] = net.traces[edge[2]][0]; });
  const pairsOf = new Map();
  net.edges.forEach((edge) => [edge[0], edge[1]].forEach((end) => { if (!pairsOf.has(end)) pairsOf.set(end, []); pairsOf.get(end).push(edge); }));
  net.traces.forEach((trace) => {
    const label = element("label"), box = element("input");
    box.type = "checkbox"; box.value = trace[0]; box.checked = true;
    box.addEventListener("input", shown);
    label.append(box, " " + trace[0] + " (" + trace[1] + ")");
    byId("network-traces").append(label);
  });
  ["all", "none"].forEach((word) => byId("network-" + word).addEventListener("click", () => {
    byId("network-traces").querySelectorAll("input").forEach((box) => { box.checked = word === "all"; });
    shown();
  }));
  byId("network-traces").hidden = byId("network-legend").hidden = byId("network-plot").hidden = byId("network-told").hidden = !net.groups.length;
  const drawn = { groups: [], paths: [], marks: [], near: null, chosen: null };

  function network() {
    drawn.groups.length = drawn.paths.length = drawn.marks.length = 0;
    drawn.chosen = null;
    if (!net.groups.length) { shown(); return; }
    const reach = (side, way) => net.groups.reduce((most, g) => Math.max(most, way * g[side] + g[4]), -Infinity) + 0.9;
    const left = -reach(2, -1), top = -reach(3, -1);
    // A handful of small groups is not blown up to the size of the page.
    const width = Math.max(reach(2, 1) - left, 16), height = Math.max(reach(3, 1) - top, 7), unit = Math.max(width / 1250, height / 560);
    const box = [(left + reach(2, 1) - width) / 2, (top + reach(3, 1) - height) / 2, width, height];
    const size = Math.max(3.2 * unit, Math.min(0.15, 6 * unit));
    const root = shape("svg", { viewBox: box.map((value) => value.toFixed(3)).join(" "), preserveAspectRatio: "xMidYMid meet" });
    const members = net.groups.map(() => []), counts = net.groups.map(() => 0), pairs = new Map();
    net.nodes.forEach((node, place) => members[node[3]].push(place));
    net.edges.forEach((edge) => {
      const key = net.nodes[edge[0]][3] + " " + edge[2];
      counts[net.nodes[edge[0]][3]] += 1;
      pairs.set(key, (pairs.get(key) || "") + line(edge));
    });
    net.groups.forEach((group, number) => {
      const link = shape("a", { href: "#" + group[0], "data-group": number, "aria-label": ofGroup(number), tabindex: 0 }, root);
      drawn.groups.push(link);
      shape("circle", { class: "ring " + (group[1] ? "flagged" : "explained"), cx: group[2], cy: group[3], r: (group[4] + Math.min(2.2 * size, 0.43)).toFixed(3) }, link);
      // Many lines on a small circle would be a disc.
      const faint = Math.max(0.06, Math.min(0.5, 90 / (counts[number] || 1)));
      net.traces.forEach((trace) => {
        const path = pairs.get(number + " " + trace[0]);
        if (path) drawn.paths.push([shape("path", { class: "edges", d: path, stroke: tint(number), "stroke-opacity": faint.toFixed(2), "data-trace": trace[0] }, link), trace[0]]);
      });
      members[number].forEach((place) => {
        const node = net.nodes[place], look = { class: "account", "data-node": place, fill: group[1] ? tint(number) : shade("card"), stroke: tint(number) };
        drawn.marks[place] = group[1]
          ? shape("circle", Object.assign(look, { cx: node[0], cy: node[1], r: size.toFixed(3) }), link)
          : shape("rect", Object.assign(look, { x: (node[0] - size).toFixed(3), y: (node[1] - size).toFixed(3), width: (2 * size).toFixed(3), height: (2 * size).toFixed(3) }), link);
      });
      shape("text", { x: group[2], y: group[3], dy: ".35em", style: "font-size:" + (15 * unit).toFixed(3) + "px;stroke-width:" + (4 * unit).toFixed(3) + "px" }, link).textContent = net.about[number][0];
      link.addEventListener("focus", () => told(number, null));
      link.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const now = members[number].indexOf(drawn.chosen), count = members[number].length;
        told(number, members[number][now < 0 ? (step > 0 ? 0 : count - 1) : (now + step + count) % count]);
      });
      link.addEventListener("click", () => open(group[0]));
    });
    drawn.near = shape("path", { class: "edges near", d: "" }, root);
    root.addEventListener("pointerover", (event) => {
      const link = event.target.closest("a");
      if (link) told(Number(link.dataset.group), event.target.dataset.node === undefined ? null : Number(event.target.dataset.node));
    });
    byId("network-plot").replaceChildren(root);
    shown();
  }

  // The row of a group is a closed <details>: an anchor alone would lead to its summary.
  function open(id) {
    const card = byId(id);
    if (card && card.tagName === "DETAILS") card.open = true;
  }
  window.addEventListener("hashchange", () => open(decodeURIComponent(location.hash.slice(1))));
  open(decodeURIComponent(location.hash.slice(1)));

  function told(number, place) {
    if (drawn.chosen !== null) drawn.marks[drawn.chosen].classList.remove("chosen");
    drawn.chosen = place;
    const chosen = picked(), own = place === null ? [] : (pairsOf.get(place) || []).filter((edge) => chosen.has(edge[2]));
    drawn.near.setAttribute("d", own.map(line).join(""));
    if (place === null) { byId("network-told").textContent = ofGroup(number); return; }
    drawn.marks[place].classList.add("chosen");
    const node = net.nodes[place], counts = new Map();
    own.forEach((edge) => counts.set(edge[2], (counts.get(edge[2]) || 0) + 1));
    byId("network-told").textContent = node[2] + ", belongs to its group with probability " + (node[4] === null ? "not known" : node[4].toFixed(2)) + ". " + ofGroup(number) + ". Its pairs drawn: " + ([...counts].map(([name, count]) => name + " " + count).join(", ") || "none");
  }

  function shown() {
    const chosen = picked(), only = byId("network-flagged").checked;
    const visible = net.groups.map((group) => !only || group[1]);
    drawn.groups.forEach((link, number) => { link.style.display = visible[number] ? "" : "none"; });
    drawn.paths.forEach(([path, trace]) => { path.style.display = chosen.has(trace) ? "" : "none"; });
    if (drawn.near) { drawn.near.setAttribute("d", ""); }
    if (drawn.chosen !== null) { drawn.marks[drawn.chosen].classList.remove("chosen"); drawn.chosen = null; }
    const count = net.edges.filter((edge) => chosen.has(edge[2]) && visible[net.nodes[edge[0]][3]]).length;
    byId("network-count").textContent = count + " of " + net.edges.length + " pairs in " + visible.filter(Boolean).length + " of " + net.groups.length + " groups; " + net.outside + " kept pairs belong to no group";
  }
  byId("network-flagged").addEventListener("input", shown);

  // --- sources: a citation opens its row where the reader is ---
  document.addEventListener("click", (event) => {
    const anchor = event.target.closest("a.cite"), row = anchor && byId(decodeURIComponent(anchor.hash.slice(1)));
    if (!row || row.tagName !== "TR" || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const names = [...row.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
    byId("source-name").textContent = row.id;
    byId("source-row").href = "#" + row.id;
    byId("source-told").replaceChildren(...[...row.cells].slice(1).flatMap((cell, place) => {
      const told = element("dd");
      told.dir = "auto";
      [...cell.childNodes].forEach((part) => told.append(element(part.nodeType === Node.TEXT_NODE ? "span" : "small", part.textContent)));
      return [element("dt", names[place + 1]), told];
    }));
    byId("source").showModal();
  });
  ["source-close", "source-row"].forEach((id) => byId(id).addEventListener("click", () => byId("source").close()));

  // --- profile sheets: one of them alone on paper ---
  document.querySelectorAll(".print-sheet").forEach((button) => button.addEventListener("click", () => printSheet(button.dataset.sheet)));
  function printSheet(id) {
    const sheet = byId(id), inner = [...sheet.querySelectorAll("details")], open = inner.map((details) => details.open);
    inner.forEach((details) => { details.open = true; });
    document.body.classList.add("one-sheet");
    sheet.classList.add("printed");
    window.addEventListener("afterprint", () => {
      document.body.classList.remove("one-sheet");
      sheet.classList.remove("printed");
      inner.forEach((details, place) => { details.open = open[place]; });
    }, { once: true });
    window.print();
  }

  // What is drawn takes its colours when it is drawn: again where the reader's scheme changes, and for paper, which is light.
  function redraw() { timeline(); network(); impact.course(); }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  [["beforeprint", true], ["afterprint", false]].forEach(([moment, paper]) => window.addEventListener(moment, () => {
    document.documentElement.classList.toggle("paper", paper);
    redraw();
  }));

  narrativeRows(); linkRows(); timeline(); network();
  const impact = greyzoneImpact(data, { element, options, cut, plain, layout, config, shade });
  document.body.dataset.ready = "yes";
})();
