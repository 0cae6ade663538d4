(function () {
  "use strict";
  var NS = "http://www.w3.org/2000/svg";
  var root = document.getElementById("spray-explorer");
  var data = JSON.parse(document.getElementById("spray-data").textContent);
  document.head.appendChild(document.getElementById("spray-look").content.cloneNode(true));
  var svg = root.querySelector("svg"), card = root.querySelector(".card");
  var which = root.querySelector(".which"), tint = root.querySelector(".tint");
  var SIZE = 420, EDGE = 22, SHAPES = { TN: "circle", FN: "diamond", TP: "triangle", FP: "square" };
  var PATHS = {
    diamond: "M0-7L7 0L0 7L-7 0Z", triangle: "M0-7L6.5 5L-6.5 5Z", square: "M-5-5H5V5H-5Z",
    circle: "M-5.5 0A5.5 5.5 0 1 0 5.5 0A5.5 5.5 0 1 0-5.5 0Z"
  };
  var analysis, marks = [], pinned = null;

  function colour(point) {
    if (tint.value === "cluster") return data.palette[(point.cluster - 1) % data.palette.length];
    return point.outcome === "TP" || point.outcome === "FN" ? data.positive : data.negative;
  }

  function place(values) {
    var low = Math.min.apply(null, values), high = Math.max.apply(null, values);
    var span = high - low || 1;
    return function (value) { return EDGE + (value - low) / span * (SIZE - 2 * EDGE); };
  }

  function draw() {
    while (svg.lastChild) svg.removeChild(svg.lastChild);
    pinned = null;
    analysis = data.analyses[which.value];
    var x = place(analysis.points.map(function (p) { return p.x; }));
    var y = place(analysis.points.map(function (p) { return -p.y; }));
    marks = analysis.points.map(function (point, number) {
      var mark = document.createElementNS(NS, "path"), own = colour(point);
      var right = point.outcome === "TP" || point.outcome === "TN";
      mark.setAttribute("d", PATHS[SHAPES[point.outcome] || "circle"]);
      mark.setAttribute("transform", "translate(" + x(point.x) + "," + y(-point.y) + ")");
      mark.setAttribute("fill", right ? own : "#ffffff");
      mark.setAttribute("stroke", own);
      mark.setAttribute("role", "button");
      mark.setAttribute("tabindex", number ? "-1" : "0");
      mark.setAttribute("aria-label", point.scan + ", cluster " + point.cluster + ", " + point.outcome);
      mark.addEventListener("mouseenter", function () { if (pinned === null) show(number); });
      mark.addEventListener("focus", function () { show(number); });
      mark.addEventListener("click", function () { pinned = pinned === number ? null : number; show(number); });
      mark.addEventListener("keydown", function (event) { key(event, number); });
      svg.appendChild(mark);
      return mark;
    });
    card.textContent = "Point at a mark, click it to keep it, or use Tab and the arrow keys.";
  }

  function key(event, number) {
    var step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      var next = (number + step + marks.length) % marks.length;
      marks[number].setAttribute("tabindex", "-1");
      marks[next].setAttribute("tabindex", "0");
      pinned = null;
      marks[next].focus();
    } else if (event.key === "Enter" || event.key === " ") {
      pinned = pinned === number ? null : number;
      show(number);
    } else if (event.key === "Escape") {
      pinned = null;
    } else {
      return;
    }
    event.preventDefault();
  }

  function line(name, value) {
    var row = document.createElement("span"), head = document.createElement("b");
    row.className = "line";
    head.textContent = name + ": ";
    row.appendChild(head);
    row.appendChild(document.createTextNode(value));
    card.appendChild(row);
  }

  function show(number) {
    var point = analysis.points[number];
    marks.forEach(function (mark, other) {
      mark.setAttribute("class", other === number ? "now" : analysis.points[other].scan === point.scan ? "same" : "");
    });
    card.textContent = "";
    picture(number);
    line("Scan", point.scan);
    point.facts.forEach(function (fact, index) { line(data.facts[index], fact); });
    (data.scans[point.scan] || []).forEach(function (value, index) {
      if (value !== "") line(data.columns[index], value);
    });
  }

  function picture(number) {
    var sheet = analysis.sheet;
    if (!sheet || number >= sheet.tiles) return;
    var tile = document.createElement("canvas"), zoom = 2;
    var columns = Math.min(sheet.tiles, sheet.columns);
    tile.width = sheet.width * zoom;
    tile.height = sheet.height * zoom;
    tile.setAttribute("role", "img");
    tile.setAttribute("aria-label", "heatmap from above, the front and the side");
    card.appendChild(tile);
    if (!analysis.image) {
      analysis.image = new Image();
      analysis.image.src =
        "data:image/png;base64," + document.getElementById("spray-sheet-" + sheet.image).textContent;
    }
    analysis.image.decode().then(function () {
      var brush = tile.getContext("2d");
      brush.imageSmoothingEnabled = false;
      brush.drawImage(
        analysis.image, (number % columns) * sheet.width,
        Math.floor(number / columns) * sheet.height, sheet.width, sheet.height,
        0, 0, tile.width, tile.height
      );
    });
  }

  function jump() {
    var wanted = /^#spray-(\d+)-(\d+)$/.exec(location.hash);
    if (!wanted || !data.analyses[wanted[1]]) return;
    which.value = wanted[1];
    draw();
    if (!marks[wanted[2]]) return;
    pinned = Number(wanted[2]);
    show(pinned);
    root.scrollIntoView();
  }

  data.analyses.forEach(function (one, index) {
    var option = document.createElement("option");
    option.value = String(index);
    option.textContent = one.name;
    which.appendChild(option);
  });
  which.addEventListener("change", draw);
  tint.addEventListener("change", draw);
  window.addEventListener("hashchange", jump);
  root.hidden = false;
  draw();
  jump();
})();
