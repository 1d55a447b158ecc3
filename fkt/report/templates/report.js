"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

// Tables: a click on a heading sorts by its column; numbers are in data-value.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.querySelector("button")?.addEventListener("click", () => {
    const descending = heading.getAttribute("aria-sort") !== "descending";
    headings.forEach(other => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const compare = (a, b) => {
      const numbers = [Number(a), Number(b)];
      return a !== "" && b !== "" && !numbers.some(Number.isNaN) ? numbers[0] - numbers[1] : a.localeCompare(b);
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => (descending ? -1 : 1) * compare(value(a), value(b)));
    table.tBodies[0].append(...rows);
  }));
}

// Buttons of which one is pressed, and the part of the page that belongs to it.
for (const choice of document.querySelectorAll("[data-choice]")) {
  const name = choice.dataset.choice;
  const press = value => {
    for (const button of choice.children) button.setAttribute("aria-pressed", button.value === value);
    for (const part of document.querySelectorAll(`[data-part="${name}"]`)) part.hidden = part.dataset.value !== value;
  };
  choice.addEventListener("click", event => event.target.closest("button") && press(event.target.closest("button").value));
  press((choice.querySelector("[aria-pressed=true]") ?? choice.firstElementChild).value);
}
for (const box of document.querySelectorAll("[data-toggle]")) {
  box.addEventListener("change", () => {
    for (const part of document.querySelectorAll("svg [data-arm]"))
      if (part.dataset.arm === box.dataset.toggle) part.style.display = box.checked ? "" : "none";
  });
}

// Pictures with the predictions of every arm.
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
function card(image) {
  const actual = data.classes[image.actual];
  const picture = element("img", { className: "picture", src: image.picture, alt: `test image of class ${actual}` });
  picture.addEventListener("load", () => picture.classList.toggle("pixels", picture.naturalWidth <= 48));
  const lines = Object.entries(image.arms).map(([arm, said]) => {
    const right = said.predicted === image.actual;
    const words = element("span", {},
      element("span", { className: right ? "right" : "wrong", textContent: right ? "\u2713 " : "\u2717 " }),
      `${arm}: ${data.classes[said.predicted]}, ${said.percent}\u00a0%`, element("br"),
      element("small", { textContent: `${said.right} of ${data.seeds} seeds right` }));
    const map = said.map
      ? element("img", { src: said.map, alt: `activation map of ${arm}`, title: `activation map of ${arm}` })
      : element("span");
    return element("li", {}, map, words);
  });
  return element("figure", {}, picture, element("ul", {}, ...lines),
    element("figcaption", {}, element("strong", { textContent: actual }), ` \u2013 ${image.file}`));
}
function fill(target, positions) {
  target.replaceChildren(...positions.map(position => card(data.images[position])));
}
for (const target of document.querySelectorAll(".images[data-positions]"))
  fill(target, JSON.parse(target.dataset.positions));

// A click on a cell of the confusion matrix shows some of its images.
for (const button of document.querySelectorAll("button[data-cell]")) {
  button.addEventListener("click", () => {
    const [arm, cell] = button.dataset.cell.split(":");
    const [i, j] = cell.split(",");
    const words = i === j ? `${data.classes[i]}, correct` : `${data.classes[i]} predicted as ${data.classes[j]}`;
    document.getElementById("cell-title").textContent = `${arm}: ${words}`;
    fill(document.getElementById("cell-images"), data.cells[arm][cell]);
    document.getElementById("cell").hidden = false;
    document.getElementById("cell").scrollIntoView({ block: "nearest" });
  });
}
