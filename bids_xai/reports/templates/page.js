(function () {
  "use strict";
  // only what can be scrolled is a stop of the tabulator; without this script everything is
  function stops() {
    document.querySelectorAll(".scroll").forEach(function (box) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
    });
  }
  window.addEventListener("load", stops);
  window.addEventListener("resize", stops);
  document.addEventListener("toggle", stops, true);
  document.addEventListener("load", stops, true);
})();
