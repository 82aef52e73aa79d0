// @ts-check
/** Draws a large fleet as a honeycomb on a canvas. A small fleet has named tiles from the server and needs no script. */

/**
 * @typedef {{ versions: [string, string][], states: [string, string][], cells: [string, number, number][] }} Cells
 */

const canvas = document.getElementById("fleet-canvas");
const tip = document.getElementById("fleet-tip");
if (canvas instanceof HTMLCanvasElement && tip) start(canvas, tip);

/** @param {HTMLCanvasElement} canvas @param {HTMLElement} tip */
function start(canvas, tip) {
  const context = canvas.getContext("2d");
  if (!context) return;
  /** @type {Cells} */
  let data = { versions: [], states: [], cells: [] };
  /** @type {{ columns: number, step: number }} */
  let grid = { columns: 1, step: 1 };
  let chosen = -1;

  /** Chooses the largest hexagons that fit. @param {number} n @param {number} width @param {number} height */
  function layout(n, width, height) {
    let best = { columns: 1, step: 1 };
    for (let columns = 1; columns <= n; columns += 1) {
      const step = width / (columns + 0.5);
      const rows = Math.ceil(n / columns);
      const needed = (rows - 1) * step * 0.866 + step * 1.155;
      if (needed <= height) {
        best = { columns, step };
        break;
      }
    }
    return best;
  }

  /** @param {number} index */
  function centre(index) {
    const row = Math.floor(index / grid.columns);
    const column = index % grid.columns;
    return { x: (column + 0.5 + (row % 2) * 0.5) * grid.step, y: row * grid.step * 0.866 + grid.step * 0.578 };
  }

  /** @param {Path2D} path @param {number} x @param {number} y @param {number} r */
  function hexagon(path, x, y, r) {
    path.moveTo(x, y - r);
    for (let i = 1; i < 6; i += 1) path.lineTo(x + r * Math.sin((i * Math.PI) / 3), y - r * Math.cos((i * Math.PI) / 3));
    path.closePath();
  }

  function draw() {
    if (!context) return;
    const scale = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    grid = layout(data.cells.length, width, height);
    const style = getComputedStyle(canvas);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim() || "#888";
    const byState = document.querySelector('input[name="hue"]:checked')?.getAttribute("value") === "state";
    const radius = grid.step * 0.577 * (grid.step > 8 ? 0.92 : 0.98);
    /** One path per colour: ten thousand cells are a handful of fills. @type {Map<string, Path2D>} */
    const paths = new Map();
    const troubled = new Path2D();
    data.cells.forEach(([, version, state], index) => {
      const tone = data.states[state]?.[0] ?? "idle";
      const fill = byState
        ? colour(tone === "idle" ? "track" : `${tone}-fill`)
        : colour(version < 0 ? "v-none" : data.versions[version]?.[1] ?? "v-none");
      const path = paths.get(fill) ?? new Path2D();
      paths.set(fill, path);
      const { x, y } = centre(index);
      hexagon(path, x, y, radius);
      // Trouble is a ring besides its colour.
      if (tone === "bad" || tone === "warn") hexagon(troubled, x, y, radius * 0.55);
    });
    for (const [fill, path] of paths) {
      context.fillStyle = fill;
      context.fill(path);
    }
    context.strokeStyle = colour("ink");
    context.lineWidth = Math.max(0.75, grid.step / 24);
    context.stroke(troubled);
    if (chosen >= 0 && chosen < data.cells.length) {
      const { x, y } = centre(chosen);
      const ring = new Path2D();
      hexagon(ring, x, y, radius);
      context.lineWidth = 2;
      context.stroke(ring);
    }
  }

  /** @param {number} index */
  function show(index) {
    if (index !== chosen) {
      chosen = index;
      draw();
    }
    const cell = data.cells[index];
    tip.hidden = !cell;
    if (!cell) return;
    const version = data.versions[cell[1]]?.[0] ?? "no model";
    tip.textContent = `${cell[0]} · ${version} · ${data.states[cell[2]]?.[1] ?? ""}`;
    const { x, y } = centre(index);
    const left = Math.min(Math.max(0, x - tip.offsetWidth / 2), canvas.clientWidth - tip.offsetWidth);
    tip.style.left = `${left}px`;
    tip.style.top = `${y > 40 ? y - grid.step * 0.6 - 30 : y + grid.step * 0.6 + 4}px`;
  }

  /** @param {MouseEvent} event */
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const row = Math.round((y - grid.step * 0.578) / (grid.step * 0.866));
    const column = Math.round(x / grid.step - 0.5 - (Math.abs(row) % 2) * 0.5);
    if (row < 0 || column < 0 || column >= grid.columns) return -1;
    const index = row * grid.columns + column;
    return index < data.cells.length ? index : -1;
  }

  /** @param {number} index */
  function open(index) {
    const cell = data.cells[index];
    if (cell) location.href = `/devices/${cell[0]}`;
  }

  async function load() {
    const response = await fetch(canvas.dataset.cells ?? "");
    if (!response.ok) return;
    data = await response.json();
    draw();
  }

  canvas.addEventListener("mousemove", (event) => show(under(event)));
  canvas.addEventListener("mouseleave", () => show(-1));
  canvas.addEventListener("click", (event) => open(under(event)));
  canvas.addEventListener("keydown", (event) => {
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      show(Math.min(Math.max(0, chosen + step), data.cells.length - 1));
    } else if (event.key === "Enter") {
      open(chosen);
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.name === "hue") draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(draw).observe(canvas);
  document.addEventListener("pinnace:fresh", () => void load().catch(() => {}));
  load().catch(() => {});
}
