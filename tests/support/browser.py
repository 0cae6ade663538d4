"""Pages in headless Chromium, opened as files: what a script finds in them comes back."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from html import unescape
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1200,1400",
    "--virtual-time-budget=60000",
    "--dump-dom",
)
_BEFORE = """<script>
window.problems = [];
window.addEventListener("error", function (e) {
  window.problems.push(e.message || "not loaded: " + (e.target.src || e.target.href));
}, true);
window.addEventListener("unhandledrejection", function (e) {
  window.problems.push(String(e.reason));
});
["error", "warn"].forEach(function (name) {
  var old = console[name];
  console[name] = function () {
    window.problems.push([].join.call(arguments, " "));
    old.apply(console, arguments);
  };
});
</script>"""
_AFTER = """<script>
window.addEventListener("load", async function () {
  var until = async function (test) {
    for (var i = 0; i < 300 && !test(); i++) {
      await new Promise(function (go) { setTimeout(go, 100); });
    }
    return test();
  };
  var found = {}, images = Array.from(document.images);
  try {
    images.forEach(function (image) { image.loading = "eager"; });
    await until(function () { return images.every(function (image) { return image.complete; }); });
    found.images = images.length;
    found.blank = images.filter(function (i) { return !i.naturalWidth; })
      .map(function (i) { return i.src.slice(0, 200); });
    found.result = await (async function () { %s })();
  } catch (error) { window.problems.push("probe: " + error); }
  found.problems = window.problems;
  found.requests = performance.getEntriesByType("resource").map(function (e) { return e.name; })
    .filter(function (name) { return !/^(file|data|blob):/.test(name); });
  var box = document.createElement("pre");
  box.id = "probe";
  box.textContent = JSON.stringify(found);
  document.body.appendChild(box);
});
</script>"""


def look(page: Path, script: str = "return null;", library: str = "") -> dict[str, Any]:
    """Open a copy of a page beside it, run a script in it, return what was found.

    Keys: ``images`` (number), ``blank`` (those not shown), ``problems`` (errors and warnings),
    ``requests`` (other than of files), ``result`` (what the script returns). In the script,
    ``await until(test)`` waits for something; ``library`` is a script that it needs.
    """
    inline = library.replace("</script", "<\\/script")
    first = f"{_BEFORE}<script>{inline}</script>"
    text = page.read_text(encoding="utf-8").replace("<head>", f"<head>{first}", 1)
    probe = page.with_name(f"probe-{page.name}")
    probe.write_text(text.replace("</body>", (_AFTER % script) + "</body>", 1), encoding="utf-8")
    try:
        with tempfile.TemporaryDirectory() as profile:
            dom = subprocess.run(
                [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", probe.as_uri()],
                capture_output=True,
                text=True,
                timeout=180,
                check=True,
            ).stdout
    finally:
        probe.unlink()
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)
    assert found is not None, "the page did not come to its end"
    answer: dict[str, Any] = json.loads(unescape(found[1]))
    return answer
