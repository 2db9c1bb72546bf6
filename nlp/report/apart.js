"use strict";
// Takes a score apart and puts it together again: the closed form of greyzone.impact.dose at the expected inputs.

// D and each item's x dD/dx. `terms` holds doses, waves (-1: a narrative) and links [incident, narrative, weight]; items in `removed` count nothing.
function greyzoneDose(terms, doctrine, removed) {
  const doses = terms.dose.map((value, item) => (removed && removed.has(item) ? 0 : value));
  const parts = new Float64Array(doses.length), groups = new Map();
  let total = 0;
  // The q-norm of a group; its terms are divided by the largest first, so that no power overflows or vanishes.
  function norm(values, hand) {
    let top = 0, sum = 0;
    for (const value of values) top = Math.max(top, value);
    if (!(top > 0)) return;
    const powers = values.map((value) => Math.pow(value / top, doctrine.q));
    for (const power of powers) sum += power;
    const scale = top * Math.pow(sum, 1 / doctrine.q - 1);
    powers.forEach((power, place) => hand(place, power * scale));
    total += scale * sum * hand.weight;
  }
  function collect(key, value) {
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(value);
  }
  terms.wave.forEach((wave, item) => { if (wave < 0) { total += doses[item]; parts[item] += doses[item]; } else collect(wave, item); });
  for (const items of groups.values()) {
    const hand = (place, part) => { parts[items[place]] += part; };
    hand.weight = 1;
    norm(items.map((item) => doses[item]), hand);
  }
  groups.clear();
  terms.links.forEach((link) => collect(link[1], link));
  for (const links of groups.values()) {
    const hand = (place, part) => [links[place][0], links[place][1]].forEach((item) => { parts[item] += doctrine.gamma * part / 2; });
    hand.weight = doctrine.gamma;
    norm(links.map((link) => link[2] * Math.sqrt(doses[link[0]] * doses[link[1]])), hand);
  }
  return { total, parts };
}

const greyzoneScore = (total, doctrine) => -100 * Math.expm1(-total / doctrine.d0);

function greyzoneImpact(data, { element, options, cut, plain, layout, config, shade }) {
  const byId = (id) => document.getElementById(id);
  const STEP = 12, MORE = 50;
  const chosen = { state: 0, doctrine: 0, removed: new Set(), shown: STEP, find: "" };
  const one = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value), sign = value < 0 ? "−" : "";
    return size === 0 || size >= 0.05 ? sign + size.toFixed(1) : size >= 0.001 ? sign + size.toFixed(size >= 0.01 ? 2 : 3) : sign + "<0.001";
  };
  const whole = (value) => (value === null || value === undefined ? "–" : value.toFixed(0).replace("-", "−"));
  const range = (low, high, show) => show(low) + "–" + show(high);
  const scored = (points, show) => show(points[1]) + " (90 % interval " + range(points[0], points[2], show) + ")";
  const brief = (points) => whole(points[1]) + " (" + range(points[0], points[2], whole) + ")";
  const nameOf = (id) => data.names[id] || id;
  const entry = () => data.impact[chosen.state];
  const book = () => (entry() ? data.terms[entry().state] : undefined);
  const head = () => book().doctrines[chosen.doctrine];
  const termsOf = (doctrine) => book().terms[doctrine.terms];
  const stamp = (status) => element("span", status === "ok" ? "interval narrow enough, order of states holds under other doctrines" : status, status === "ok" ? "mark calm" : "mark");
  // The stamp is about the data's interval and the order; the level itself may still hang on the doctrine.
  const leans = (last) => last.doctrine[1] !== null && last.doctrine[1] - last.doctrine[0] > data.wide;
  const central = (doctrine, removed) => greyzoneScore(greyzoneDose(termsOf(doctrine), doctrine, removed).total, doctrine);

  function cells(row, ...contents) {
    contents.forEach(([content, name]) => {
      const cell = element("td", typeof content === "string" ? content : null, name);
      if (typeof content !== "string") cell.append(...content);
      row.append(cell);
    });
    return row;
  }

  // --- doctrines ---
  function doctrines() {
    const rows = book() ? book().doctrines.map((doctrine, place) => {
      const label = element("label"), radio = element("input");
      radio.type = "radio"; radio.name = "doctrine"; radio.value = String(place); radio.checked = place === chosen.doctrine;
      radio.addEventListener("change", () => { chosen.doctrine = place; course(); shares(); whatif(); vector(); });
      label.append(radio, " " + doctrine.name);
      if (doctrine.own) label.append(" (the case's)");
      label.append(element("code", doctrine.hash));
      return cells(element("tr"), [[label], "day"], [one(central(doctrine)), "number"], [brief(doctrine.score), "number"], [doctrine.q + ", " + doctrine.gamma + ", " + doctrine.d0, "number"], [[element("span", doctrine.status, doctrine.status === "ok" ? "mark calm" : "mark")]]);
    }) : [];
    byId("doctrine-table").tBodies[0].replaceChildren(...rows);
  }

  // --- shares as a waterfall, each item with the score without it ---
  function listed() {
    if (!book()) return entry().shares.map((share) => ({ id: share[0], kind: share[1], share: share[2], interval: [share[3], share[4]], place: null }));
    const doctrine = head(), found = greyzoneDose(termsOf(doctrine), doctrine), score = greyzoneScore(found.total, doctrine);
    const own = new Map(doctrine.own ? entry().shares.map((share) => [share[0], [share[3], share[4]]]) : []);
    const rows = book().items.map((id, place) => ({ id, kind: book().narrative[place] ? "narrative" : "incident", share: found.total > 0 ? (score * found.parts[place]) / found.total : 0, interval: own.get(id) || null, place }));
    return rows.sort((a, b) => b.share - a.share || (a.id < b.id ? -1 : 1));
  }

  function bar(from, width, top, className) {
    const track = element("span", null, "fall"), filled = element("span", null, className);
    filled.style.left = (top > 0 ? (100 * from) / top : 0).toFixed(2) + "%";
    filled.style.width = Math.max(top > 0 ? (100 * width) / top : 0, width > 0 ? 0.4 : 0).toFixed(2) + "%";
    track.append(filled);
    return track;
  }

  function itemRow(row, from, top) {
    const made = element("tr"), gone = row.place !== null && chosen.removed.has(row.place), name = element("span", cut(nameOf(row.id), 90));
    name.dir = "auto";
    const box = element("input");
    box.type = "checkbox"; box.checked = gone; box.disabled = row.place === null;
    box.setAttribute("aria-label", "take out " + cut(nameOf(row.id), 80));
    box.dataset.item = row.id;
    box.addEventListener("change", () => toggle(row.place, row.id));
    const without = row.place === null ? null : head().without[row.place];
    if (gone) made.className = "gone";
    const share = [element("span", one(row.share))];
    if (row.interval) share.push(element("small", range(row.interval[0], row.interval[1], one)));
    const alone = without === null ? [element("span", "not on the page")] : [element("span", brief(without))];
    cells(made, [[box]], [[name, element("small", row.kind)], "item"], [[bar(from, row.share, top, row.kind)], "falls"], [share, "number"], [alone, "number"]);
    made.addEventListener("click", (event) => { if (row.place !== null && event.target !== box) { toggle(row.place, row.id); } });
    return made;
  }

  function toggle(place, id) {
    if (chosen.removed.has(place)) chosen.removed.delete(place); else chosen.removed.add(place);
    shares(); whatif(); course();
    const box = [...byId("share-plot").querySelectorAll("input")].find((input) => input.dataset.item === id);
    if (box) box.focus({ preventScroll: true });
  }

  function shares() {
    const rows = listed(), top = rows.reduce((sum, row) => sum + row.share, 0), starts = new Map();
    rows.reduce((sum, row) => { starts.set(row, sum); return sum + row.share; }, 0);
    const find = chosen.find.trim().toLowerCase();
    const met = find ? rows.filter((row) => nameOf(row.id).toLowerCase().includes(find)) : rows;
    const shown = met.slice(0, chosen.shown), rest = met.slice(chosen.shown), body = byId("share-plot").tBodies[0];
    const made = shown.map((row) => itemRow(row, starts.get(row), top));
    if (rest.length) {
      const sum = rest.reduce((all, row) => all + row.share, 0), button = element("button", "show " + Math.min(MORE, rest.length) + " more");
      button.type = "button"; button.id = "share-more";
      button.addEventListener("click", () => { chosen.shown += MORE; shares(); });
      const told = rest.length + " more (" + rest.filter((row) => row.kind === "incident").length + " incidents, " + rest.filter((row) => row.kind === "narrative").length + " narratives), summed";
      made.push(cells(element("tr", null, "rest"), [""], [[element("span", told + " "), button], "item"], [[find ? "" : bar(starts.get(rest[0]), sum, top, "rest")], "falls"], [one(sum), "number"], ["–", "number"]));
    }
    if (!find) made.push(cells(element("tr", null, "sum"), [""], ["central score, the sum of all shares", "item"], [[bar(0, top, top, "sum")], "falls"], [one(top), "number"], ["with all: " + brief(book() ? head().score : entry().last.score), "number"]));
    body.replaceChildren(...made);
    byId("share-count").textContent = shown.length + " of " + rows.length + " items listed" + (find ? ", " + met.length + " match" : "");
    const room = data.no_room[entry().state];
    byId("share-note").textContent = room ? "The page has no room for the terms of the " + room + " items of this state: the tables ledger, doses and couplings of the case hold them."
      : !book() ? "The case holds no ledger of this score; the command greyzone impact makes it."
        : "Shares are Aumann-Shapley prices at the expected inputs" + (head().own ? ", below them their 90 % interval." : "; their intervals are told under the case's doctrine.") + " A share is not what the score would lose without the item: the score saturates, and waves and links join items.";
  }

  // --- what if ---
  function whatif() {
    const panel = byId("whatif");
    panel.hidden = !book();
    if (!book()) return;
    if (!chosen.removed.size) {
      panel.replaceChildren(element("p", "Tick one item or several: what would the score be if they were not in the data? Clusters, links and all other items stay as they are. It does not say what would have happened."));
      return;
    }
    const doctrine = head(), places = [...chosen.removed].sort((a, b) => a - b), all = central(doctrine), left = central(doctrine, chosen.removed);
    const single = places.length === 1, without = places.map((place) => doctrine.without[place]), drop = places.map((place) => doctrine.drop[place]);
    const least = (point) => without.reduce((low, points) => Math.min(low, points[point]), Infinity), most = (point) => drop.reduce((high, points) => Math.max(high, points[point]), 0);
    const table = element("table"), title = element("thead"), body = element("tbody"), first = element("tr");
    ["", "With all", "Without", "Difference"].forEach((name) => first.append(element("th", name)));
    title.append(first);
    const row = (name, ...values) => { const made = element("tr"), label = element("th", name); label.scope = "row"; made.append(label); return cells(made, ...values.map((value) => [value])); };
    body.append(row("Central score (expected inputs)", one(all), one(left), one(left - all)));
    if (single) {
      body.append(row("Median over the draws", one(doctrine.score[1]), one(without[0][1]), ""));
      body.append(row("90 % interval", range(doctrine.score[0], doctrine.score[2], one), range(without[0][0], without[0][2], one), one(-drop[0][2]) + " to " + one(-drop[0][0]) + ", median " + one(-drop[0][1])));
    } else {
      body.append(row("90 % interval", range(doctrine.score[0], doctrine.score[2], one), "none computed for a combination; bound below", "none computed"));
      body.append(row("Bound from the single removals", "", "at most " + range(least(0), least(2), one), "at least " + range(most(0), most(2), one)));
    }
    const others = book().doctrines.map((other) => central(other, chosen.removed));
    body.append(row("Central score over the " + others.length + " doctrines", range(Math.min(...book().doctrines.map((other) => central(other))), Math.max(...book().doctrines.map((other) => central(other))), one), range(Math.min(...others), Math.max(...others), one), ""));
    table.append(title, body);
    const chips = element("p", null, "chips");
    places.slice(0, STEP).forEach((place) => {
      const chip = element("button", cut(nameOf(book().items[place]), 60) + " ×");
      chip.type = "button"; chip.dir = "auto";
      chip.setAttribute("aria-label", "put back " + cut(nameOf(book().items[place]), 80));
      chip.addEventListener("click", () => toggle(place, book().items[place]));
      chips.append(chip, " ");
    });
    if (places.length > STEP) chips.append(element("span", "and " + (places.length - STEP) + " more "));
    const back = element("button", "put all back");
    back.type = "button"; back.id = "whatif-back";
    back.addEventListener("click", () => { chosen.removed.clear(); shares(); whatif(); course(); });
    chips.append(back);
    const told = element("p", null, "note");
    told.textContent = (single ? "The interval is made of the draws behind the score, each without this item; differences are taken draw by draw, and where sources are doubted the item is missing from many draws already." : "Taking out more never raises a score, so every point of the interval without all of these lies at or below the lowest of the single removals.") + " Doctrine " + doctrine.name + " " + doctrine.hash + ". What if the data did not hold it: not what would have happened.";
    const title_ = element("p"), strong = element("b", "Without " + (single ? "this item" : places.length + " items"));
    title_.append(strong, " ");
    if (doctrine.status !== "ok") title_.append(stamp(doctrine.status));
    panel.replaceChildren(title_, chips, table, told);
  }

  // --- the curve, with the chosen doctrine and the score without one item at its end ---
  function course() {
    const state = entry(), column = (index) => state.curve.map((point) => point[index]);
    const band = (low, high, fill, name) => [
      { type: "scatter", mode: "lines", x: column(0), y: column(low), line: { width: 0 }, hoverinfo: "skip", showlegend: false },
      { type: "scatter", mode: "lines", x: column(0), y: column(high), fill: "tonexty", fillcolor: fill, line: { width: 0 }, name, hoverinfo: "skip" },
    ];
    const traces = [...band(4, 5, shade("wide-band"), "data and doctrine, 90 %"), ...band(1, 3, shade("band"), "data, 90 %"), { type: "scatter", mode: "lines", x: column(0), y: column(2), line: { color: shade("accent"), width: 2 }, name: "median", customdata: state.curve.map((point) => [point[1], point[3]]), hovertemplate: "%{x}: %{y:.0f} (%{customdata[0]:.0f}–%{customdata[1]:.0f})<extra></extra>" }];
    const mark = (points, name, colour, symbol) => traces.push({ type: "scatter", mode: "markers", x: [state.last.date], y: [points[1]], error_y: { type: "data", symmetric: false, array: [points[2] - points[1]], arrayminus: [points[1] - points[0]], color: colour, thickness: 2, width: 6 }, marker: { color: colour, size: 10, symbol }, name, hovertemplate: name + ": " + scored(points, whole) + "<extra></extra>" });
    if (book() && !head().own) mark(head().score, "doctrine " + plain(head().name) + ", last day", shade("other"), "square");
    if (book() && chosen.removed.size === 1) mark(head().without[[...chosen.removed][0]], "without the item, last day", shade("warm"), "diamond");
    // Dates before the first number are not dates of a low score.
    const known = state.curve.findIndex((point) => point[2] !== null), early = known > 0 ? { shapes: [{ type: "rect", xref: "x", yref: "paper", x0: state.curve[0][0], x1: state.curve[known][0], y0: 0, y1: 1, fillcolor: shade("head"), line: { width: 0 }, layer: "below" }], annotations: [{ xref: "x", yref: "paper", x: state.curve[0][0], y: 0.96, xanchor: "left", showarrow: false, text: " insufficient evidence: no number", font: { color: shade("soft") } }] } : { shapes: [], annotations: [] };
    Plotly.react("impact-plot", traces, layout({ ...early, height: 340, yaxis: { range: [0, 100], title: { text: "score" }, gridcolor: shade("grid") }, xaxis: { gridcolor: shade("grid") }, legend: byId("impact-plot").clientWidth < 700 ? { orientation: "h", y: -0.2, yanchor: "top" } : { orientation: "h", y: 1.14 }, margin: { l: 50, r: 20, t: 40, b: 40 } }), config);
  }

  function vector() {
    const last = entry().last, list = byId("impact-vector"), other = book() && !head().own;
    const rows = [["As of", last.date], ["Score", scored(last.score, whole)], ["With doctrine varied", range(last.doctrine[0], last.doctrine[1], whole)], ["Peak of one event", (last.peak_words || "–") + " (" + whole(last.peak) + " alone): " + cut(nameOf(last.peak_item), 90)], ["Cumulative excess", whole(last.excess) + " above that peak"], ["Tempo", last.tempo === null ? "nothing new in a year" : last.tempo.toFixed(2) + " times its year, p = " + last.tempo_p.toFixed(3)], ["Breadth", one(last.breadth) + " sectors' worth"], ["Hybridity", last.hybridity === null ? "–" : (last.hybridity * 100).toFixed(0) + " % of the dose is synergy"], ["Coverage", last.coverage], ["Doctrine", last.named.join(" ")]];
    list.replaceChildren();
    if (other) list.append(element("dt", "Under " + head().name), element("dd", scored(head().score, whole) + "; all below is the case's doctrine"));
    rows.forEach(([name, value]) => list.append(element("dt", name), element("dd", value)));
  }

  // --- the score seen otherwise, and what it owes to each number ---
  function otherwise() {
    const place = byId("impact-views"), { views, owed } = entry();
    place.replaceChildren();
    function lay(title, note, heads, rows) {
      const table = element("table"), top = element("thead"), first = element("tr"), body = element("tbody"), box = element("div", null, "wide");
      heads.forEach(([name, className]) => first.append(element("th", name, className)));
      top.append(first); body.append(...rows); table.append(top, body); box.append(table);
      place.append(element("h3", title), box, element("p", note, "note"));
    }
    if (views.length) {
      // Sources, then originators by their probability; those beyond the first can be opened.
      const ordered = [...views].sort((a, b) => (a[2] === null ? 0 : 1) - (b[2] === null ? 0 : 1) || (b[2] || 0) - (a[2] || 0) || (a[1] < b[1] ? -1 : 1));
      const heads = [["View"], ["Named", "number"], ["Items", "number"], ["Score (90 % interval)", "number"]];
      const rows = ordered.map(([view, key, p, items, points, status]) => {
        const label = element("span", key === "documents" && view !== "same-originator" ? "all narratives" : key);
        label.dir = "auto";
        return cells(element("tr"), [[element("small", view === "same-originator" ? "one originator, as sources name it" : "without"), label]], [p === null ? "–" : p.toFixed(2), "number"], [String(items), "number"], points[1] === null ? [status] : [[element("span", brief(points), "nowrap"), ...(status === "ok" ? [] : [element("small", status)])], "number"]);
      });
      lay("Seen otherwise", "An originator is a name that sources gave, a hypothesis and no finding; named is its share of what they name, no probability that it acted. A row counts what it alone may hold; rows are never added up, and none is a part of the score.", heads, rows.slice(0, STEP));
      if (rows.length > STEP) {
        const rest = element("details"), table = element("table"), body = element("tbody");
        body.append(...rows.slice(STEP));
        table.append(body);
        rest.append(element("summary", (rows.length - STEP) + " more views"), table);
        place.append(rest);
      }
    }
    if (owed.length) {
      const top = owed.reduce((most, row) => Math.max(most, ...row[2]), 1);
      lay("What the score owes to each number", "The central score with one number at the low and at the high end of its range, all others as they are; for the data its 5 and 95 % points. A green bar: the higher number gives the lower score. In brackets the total Sobol index over the doctrine ensemble, where there is one.",
        [["Number"], ["Range", "number"], ["Score, 0 to " + whole(top), "bar-head"], ["From–to", "number"]],
        owed.map(([name, values, scores, st]) => cells(element("tr"), [name + (st === null ? "" : " (" + st.toFixed(2) + ")")], [values[0] === null ? "–" : values[0] + "–" + values[1], "number nowrap"], [[bar(Math.min(...scores), Math.abs(scores[1] - scores[0]), top, scores[1] < scores[0] ? "narrative" : "incident")], "falls"], [one(scores[0]) + "–" + one(scores[1]), "number nowrap"])));
    }
  }

  function state() {
    chosen.state = Number(byId("impact-state").value || 0);
    chosen.doctrine = 0; chosen.shown = STEP; chosen.removed.clear();
    const none = byId("impact-none"), now = entry(), bare = !now || now.last.score[1] === null;
    byId("impact-status").replaceChildren(...(now ? [stamp(now.last.status), ...(leans(now.last) ? [" ", element("span", "the level depends on the doctrine: " + range(now.last.doctrine[0], now.last.doctrine[1], whole), "mark")] : [])] : []));
    none.hidden = !bare;
    byId("impact-told").hidden = bare;
    if (bare) {
      none.textContent = now ? "No number is given for " + now.name + ": " + now.last.coverage + "." : "No state was scored.";
      Plotly.purge("impact-plot");
      ["doctrine-table", "share-plot"].forEach((id) => byId(id).tBodies[0].replaceChildren());
      ["impact-vector", "impact-views", "whatif"].forEach((id) => byId(id).replaceChildren());
      return;
    }
    doctrines(); course(); shares(); whatif(); vector(); otherwise();
  }

  options(byId("impact-state"), data.impact.map((found, index) => [String(index), found.name + (found.last.status === "ok" ? "" : " (" + found.last.status + ")")]));
  byId("impact-state").value = String(Math.max(0, data.impact.findIndex((found) => found.state === data.first_state)));
  byId("impact-state").addEventListener("input", state);
  byId("share-find").addEventListener("input", () => { chosen.find = byId("share-find").value; chosen.shown = STEP; shares(); });
  document.querySelectorAll("a[data-state]").forEach((link) => link.addEventListener("click", () => {
    const place = data.impact.findIndex((found) => found.state === link.dataset.state);
    if (place >= 0) { byId("impact-state").value = String(place); state(); }
  }));
  state();
  return { course: () => { if (entry() && entry().last.score[1] !== null) course(); } };
}
