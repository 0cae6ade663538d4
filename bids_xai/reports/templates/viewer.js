(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("content").textContent);
  var byId = function (id) { return document.getElementById(id); };
  var state = byId("state"), axes = ["x", "y", "z"], nv, order = [], current = 0;

  function say(text, problem) {
    state.textContent = text;
    state.className = problem ? "problem" : "note";
    state.hidden = !text;
  }

  function short(value) {
    value = Number(value);
    return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(2) : value.toPrecision(3);
  }

  function image(base64, name, options) {
    options.base64 = base64;
    options.name = name + ".nii.gz";
    return niivue.NVImage.loadFromBase64(options);
  }

  function volume() { return nv.volumes[order.indexOf("layer")]; }

  async function start() {
    if (typeof niivue === "undefined") {
      return say("The script of the viewer is missing: the folder “viewer” must be in the output folder.", true);
    }
    if (!document.createElement("canvas").getContext("webgl2")) {
      return say("This browser cannot draw volumes (WebGL 2 is off or missing). The pictures of the report show the same maps.", true);
    }
    nv = new niivue.Niivue({
      dragAndDropEnabled: false, isColorbar: false, show3Dcrosshair: false, crosshairWidth: 0.5, loadingText: "",
      backColor: [0, 0, 0, 1], crosshairColor: [0.3, 0.8, 1, 0.8], multiplanarShowRender: 0,
      isRadiologicalConvention: true, sagittalNoseLeft: true, isOrientationTextVisible: true, showAllOrientationMarkers: true,
      isNearestInterpolation: false, logLevel: "error"
    });
    await nv.attachToCanvas(byId("view"));
    nv.onLocationChange = tell;
    nv.addVolume(await image(data.anatomy, "anatomy", {
      colormap: "gray", cal_min: 0, cal_max: 255, colorbarVisible: false
    }));
    order.push("anatomy");
    if (data.regions) {
      nv.addVolume(await image(data.regions.labels, "labels", { colormap: "gray", opacity: 0, colorbarVisible: false }));
      order.push("labels");
    }
    await show(0);
    if (data.regions) {
      nv.addVolume(await image(data.regions.outline, "outline", {
        colormap: "green", opacity: 0, cal_min: 0.5, cal_max: 1, colorbarVisible: false
      }));
      order.push("outline");
    }
    prepare();
    var first = data.layers[0].top[0];
    go(first ? first.mm : middle());
    say("");
    document.body.dataset.state = "ready";
  }

  function bounds() {
    var a = nv.frac2mm([0, 0, 0]), b = nv.frac2mm([1, 1, 1]);
    return axes.map(function (_, i) { return [Math.min(a[i], b[i]), Math.max(a[i], b[i])]; });
  }

  function middle() { return bounds().map(function (pair) { return (pair[0] + pair[1]) / 2; }); }

  function prepare() {
    bounds().forEach(function (pair, i) {
      var slider = byId(axes[i]);
      slider.min = Math.ceil(pair[0]);
      slider.max = Math.floor(pair[1]);
      slider.addEventListener("input", function () {
        go(axes.map(function (axis) { return Number(byId(axis).value); }));
      });
    });
    data.layers.forEach(function (layer, i) {
      byId("layer").add(new Option(layer.name, i));
    });
    byId("layer").addEventListener("change", function () { show(Number(this.value)); });
    byId("opacity").addEventListener("input", function () {
      nv.setOpacity(order.indexOf("layer"), this.value / 100);
    });
    ["low", "high"].forEach(function (id) { byId(id).addEventListener("input", windowed); });
    byId("outline").disabled = !data.regions;
    byId("outline").addEventListener("change", function () {
      nv.setOpacity(order.indexOf("outline"), this.checked ? 1 : 0);
    });
  }

  async function show(number) {
    var layer = data.layers[number], made;
    current = number;
    made = await image(layer.data, layer.name, {
      colormap: "hot", colormapNegative: layer.signed ? "winter" : "",
      opacity: byId("opacity").value / 100, cal_min: layer.window[0], cal_max: layer.window[1]
    });
    if (order.indexOf("layer") < 0) {
      nv.addVolume(made);
      order.push("layer");
    } else {
      var old = volume();
      nv.addVolume(made);
      nv.setVolume(made, order.indexOf("layer"));
      nv.removeVolume(old);
    }
    byId("low").value = layer.window[0];
    byId("high").value = layer.window[1];
    values();
    list(layer);
    nv.createOnLocationChange();
  }

  function values() {
    var layer = data.layers[current];
    ["low", "high"].forEach(function (id) {
      byId(id + "-value").textContent = short(byId(id).value * layer.step) + " " + layer.unit;
    });
  }

  function windowed() {
    var low = byId("low"), high = byId("high");
    if (Number(low.value) >= Number(high.value)) {
      if (this === low) high.value = Number(low.value) + 1; else low.value = Number(high.value) - 1;
    }
    volume().cal_min = Number(low.value);
    volume().cal_max = Number(high.value);
    nv.updateGLVolume();
    values();
  }

  function list(layer) {
    var box = byId("top");
    box.textContent = layer.top.length ? "" : "No regions.";
    layer.top.forEach(function (region) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = region.name + " (" + short(region.mean) + ")";
      button.addEventListener("click", function () { go(region.mm); });
      box.appendChild(button);
    });
  }

  function go(mm) {
    nv.scene.crosshairPos = nv.mm2frac(mm);
    nv.createOnLocationChange();
    nv.drawScene();
  }

  function tell(found) {
    var at = {}, mm = found.mm;
    found.values.forEach(function (value, i) { at[order[i]] = value.value; });
    axes.forEach(function (axis, i) { byId(axis).value = mm[i]; });
    var where = axes.map(function (axis, i) { return axis + " " + mm[i].toFixed(1); }).join(", ") + " mm";
    var region = data.regions && at.labels ? ", " + data.regions.names[Math.round(at.labels)] : "";
    var layer = data.layers[current];
    byId("place").textContent = where + region + ": " + short((at.layer || 0) * layer.step) + " " + layer.unit;
  }

  start().catch(function (error) { say("The viewer could not start: " + error.message, true); });
})();
