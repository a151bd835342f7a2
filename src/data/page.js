"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  // The filter: lines of tables and of lists that hold all of the words.
  const input = $("filter");
  input.closest("p").hidden = false;
  const rows = [...document.querySelectorAll("tbody tr:not(.group), ul.tree li")].map((row) => [row, row.textContent.toLowerCase()]);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) found += 1;
    }
    $("found").textContent = words.length ? found + " lines" : "";
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

  // The map: columns from left to right go down the tree; a click or Enter makes a place the whole map.
  const place = $("tree-map");
  const root = JSON.parse($("tree-data").textContent);
  const WIDE = 1000, HIGH = 480, COLUMN = 200;
  const meaning = { g: "granted, used", x: "granted, not used", u: "used", r: "refused", w: "on the way" };
  const make = (tag, attributes, parent) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    parent.append(element);
    return element;
  };
  const path = [root];
  const draw = (focus) => {
    place.replaceChildren();
    const crumbs = document.createElement("p");
    path.forEach((node, depth) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = node[0];
      button.addEventListener("click", () => { path.length = depth + 1; draw(true); });
      crumbs.append(button, " ");
    });
    place.append(crumbs);
    const svg = make("svg", { viewBox: "0 0 " + WIDE + " " + HIGH, role: "group", "aria-label": "Map of the file tree" }, place);
    const lay = (node, chain, x, y, high) => {
      if (x >= WIDE || high < 3) return;
      const group = make("g", { tabindex: "0", role: "button" }, svg);
      const label = chain.map((part) => part[0]).join(" / ") + ": " + meaning[node[1]] + ", " + node[2] + " names";
      group.setAttribute("aria-label", label);
      make("title", {}, group).textContent = label;
      make("rect", { x, y, width: COLUMN - 2, height: Math.max(high - 1, 2), class: node[1] }, group);
      if (high > 14) {
        const name = node[1] + " " + node[0];
        make("text", { x: x + 6, y: y + Math.min(high / 2 + 4, 16) }, group).textContent = name.length > 30 ? name.slice(0, 29) + "…" : name;
      }
      const zoom = () => {
        if (!node[3].length || node === path[path.length - 1]) return;
        path.push(...chain.slice(1));
        draw(true);
      };
      group.addEventListener("click", zoom);
      group.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); zoom(); }
        if (event.key === "Escape" && path.length > 1) { path.pop(); draw(true); }
      });
      // Small places stay visible beside large ones.
      const size = (child) => Math.sqrt(child[2]);
      const total = node[3].reduce((sum, child) => sum + size(child), 0) || 1;
      let top = y;
      for (const child of [...node[3]].sort((a, b) => b[2] - a[2])) {
        const part = high * size(child) / total;
        lay(child, [...chain, child], x + COLUMN, top, part);
        top += part;
      }
    };
    const top = path[path.length - 1];
    lay(top, [top], 0, 0, HIGH);
    if (focus) crumbs.lastElementChild.focus();
  };
  place.hidden = false;
  $("tree-text").open = false;
  draw(false);
})();
