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
  /** Columns, and the distances between cells and between rows. @type {{ columns: number, step: number, row: number }} */
  let grid = { columns: 1, step: 1, row: 1 };
  let chosen = -1;

  /** Chooses the largest hexagons that fit, in whole pixels of the device: all gaps are alike, and copies are quick. @param {number} n @param {number} width @param {number} height @param {number} scale */
  function layout(n, width, height, scale) {
    const whole = (/** @type {number} */ x) => Math.max(1, Math.floor(x * scale)) / scale;
    for (let columns = 1; columns <= n; columns += 1) {
      const step = whole(width / (columns + 0.5));
      const row = whole(step * 0.866);
      if ((Math.ceil(n / columns) - 1) * row + step * 1.155 > height) continue;
      // What rounding left over holds more columns.
      return { columns: Math.max(columns, Math.floor(width / step - 0.5)), step, row };
    }
    return { columns: Math.max(1, n), step: whole(width / (n + 0.5)), row: 1 };
  }

  /** @param {number} index */
  function centre(index) {
    const row = Math.floor(index / grid.columns);
    const column = index % grid.columns;
    return { x: (column + 0.5 + (row % 2) * 0.5) * grid.step, y: row * grid.row + grid.step * 0.578 };
  }

  /** @param {CanvasRenderingContext2D} on @param {number} x @param {number} y @param {number} r */
  function hexagon(on, x, y, r) {
    on.beginPath();
    on.moveTo(x, y - r);
    for (let i = 1; i < 6; i += 1) on.lineTo(x + r * Math.sin((i * Math.PI) / 3), y - r * Math.cos((i * Math.PI) / 3));
    on.closePath();
  }

  /**
   * Makes the picture of one cell, as pixels: ten thousand copies of them are quicker than ten thousand shapes.
   * @typedef {{ size: number, pixels: Uint32Array }} Stamp
   * @param {string} fill @param {string} ring @param {number} step pixels of the device @returns {Stamp}
   */
  function stamp(fill, ring, step) {
    const size = Math.ceil(step * 1.2);
    const picture = document.createElement("canvas");
    picture.width = picture.height = size;
    const on = picture.getContext("2d", { willReadFrequently: true });
    if (!on) return { size: 0, pixels: new Uint32Array() };
    const radius = step * (step > 16 ? 0.53 : 0.565);
    on.fillStyle = fill;
    hexagon(on, size / 2, size / 2, radius);
    on.fill();
    if (ring) {
      on.strokeStyle = ring;
      on.lineWidth = Math.max(1, step / 24);
      hexagon(on, size / 2, size / 2, radius * 0.55);
      on.stroke();
    }
    return { size, pixels: new Uint32Array(on.getImageData(0, 0, size, size).data.buffer) };
  }

  /** Copies a stamp; where the soft edges of two cells meet, the stronger one stays. @param {ImageData} onto @param {Uint32Array} words @param {Stamp} stamp @param {number} left @param {number} top */
  function press(onto, words, { size, pixels }, left, top) {
    const [from, until] = [Math.max(0, -left), Math.min(size, onto.width - left)];
    for (let y = Math.max(0, -top); y < Math.min(size, onto.height - top); y += 1) {
      const line = (top + y) * onto.width + left;
      for (let x = from; x < until; x += 1) {
        const pixel = pixels[y * size + x] ?? 0;
        // The highest byte is the opacity.
        if (pixel >>> 24 > (words[line + x] ?? 0) >>> 24) words[line + x] = pixel;
      }
    }
  }

  /** All cells, without the chosen one's ring: moving the pointer must not paint them again. */
  const cells = document.createElement("canvas");

  /** Paints all cells. */
  function paint() {
    performance.mark("fleet-paint");
    const scale = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    cells.width = Math.round(width * scale);
    cells.height = Math.round(height * scale);
    const on = cells.getContext("2d");
    if (!on || cells.width === 0 || cells.height === 0) return;
    grid = layout(data.cells.length, width, height, scale);
    const style = getComputedStyle(canvas);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim() || "#888";
    const ink = colour("ink");
    const byState = document.querySelector('input[name="hue"]:checked')?.getAttribute("value") === "state";
    const image = on.createImageData(cells.width, cells.height);
    const words = new Uint32Array(image.data.buffer);
    /** @type {Map<number, Stamp>} */
    const stamps = new Map();
    data.cells.forEach(([, version, state], index) => {
      const key = byState ? state : (version + 1) * data.states.length + state;
      let picture = stamps.get(key);
      if (!picture) {
        const tone = data.states[state]?.[0] ?? "idle";
        const name = byState ? (tone === "idle" ? "track" : `${tone}-fill`) : data.versions[version]?.[1] ?? "v-none";
        // Trouble is a ring besides its colour.
        picture = stamp(colour(name), tone === "bad" || tone === "warn" ? ink : "", grid.step * scale);
        stamps.set(key, picture);
      }
      const { x, y } = centre(index);
      press(image, words, picture, Math.round(x * scale - picture.size / 2), Math.round(y * scale - picture.size / 2));
    });
    on.putImageData(image, 0, 0);
    draw();
    performance.measure("fleet-paint", "fleet-paint");
  }

  /** Shows the cells and rings the chosen one. */
  function draw() {
    if (!context) return;
    const scale = devicePixelRatio || 1;
    if (canvas.width !== cells.width || canvas.height !== cells.height) {
      canvas.width = cells.width;
      canvas.height = cells.height;
    }
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (cells.width > 0 && cells.height > 0) context.drawImage(cells, 0, 0);
    if (chosen >= 0 && chosen < data.cells.length) {
      const { x, y } = centre(chosen);
      context.strokeStyle = getComputedStyle(canvas).color;
      context.lineWidth = 2 * scale;
      hexagon(context, x * scale, y * scale, grid.step * 0.577 * scale);
      context.stroke();
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
    const row = Math.round((y - grid.step * 0.578) / grid.row);
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
    paint();
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
    if (event.target instanceof HTMLInputElement && event.target.name === "hue") paint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  new ResizeObserver(paint).observe(canvas);
  document.addEventListener("pinnace:fresh", () => void load().catch(() => {}));
  load().catch(() => {});
}
