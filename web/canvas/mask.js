/**
 * Masks as cells on a grid over the whole picture, and their run lengths in the document.
 * A mask is never changed once it is part of a drawing: painting goes to a copy.
 */

/** @typedef {{ width: number, height: number, cells: Uint8Array }} Mask */
/** @typedef {{ left: number, top: number, right: number, bottom: number }} Box */

/** Cells of a grid's longer side: two pixels of a 1024 picture each, a quarter of a latent's cell. */
const FINEST = 512
const FINEST_READ = 1024
/**
 * Sides of cells along a mask's rim: what is painted by hand has a few thousand, a tree with its twigs ten. Length of the text and
 * time of a frame grow with them: this is sixty kB at most and a frame of some milliseconds.
 */
export const MOST_SIDES = 20_000
/** Times that a rim is smoothed before it goes to a coarser grid. */
const SMOOTHINGS = 3

/**
 * @param {readonly [number, number]} size of the picture
 * @returns {[number, number]}
 */
export function gridFor([width, height]) {
  const share = Math.min(1, FINEST / Math.max(width, height))
  return [Math.max(1, Math.round(width * share)), Math.max(1, Math.round(height * share))]
}

/** @param {number} width @param {number} height @returns {Mask} */
export const blank = (width, height) => ({ width, height, cells: new Uint8Array(width * height) })

/** A copy to paint on, on the given grid. @param {Mask} mask @param {number} width @param {number} height @returns {Mask} */
export function copied(mask, width, height) {
  if (mask.width === width && mask.height === height) return { width, height, cells: mask.cells.slice() }
  const out = blank(width, height)
  for (let y = 0; y < height; y++) {
    const row = Math.min(mask.height - 1, Math.floor(((y + 0.5) * mask.height) / height)) * mask.width
    for (let x = 0; x < width; x++) {
      out.cells[y * width + x] = mask.cells[row + Math.min(mask.width - 1, Math.floor(((x + 0.5) * mask.width) / width))]
    }
  }
  return out
}

/** @param {Mask} mask */
export const isEmpty = (mask) => !mask.cells.includes(1)

/**
 * Paints the path of a round brush from one place to another. Places and radius are in cells.
 * @param {Mask} mask @param {readonly [number, number]} from @param {readonly [number, number]} to
 * @param {number} radius @param {0 | 1} value
 */
export function stroke(mask, from, to, radius, value) {
  const [x0, y0] = from
  const [dx, dy] = [to[0] - x0, to[1] - y0]
  const square = dx * dx + dy * dy
  const top = Math.max(0, Math.floor(Math.min(y0, to[1]) - radius))
  const bottom = Math.min(mask.height - 1, Math.ceil(Math.max(y0, to[1]) + radius))
  const left = Math.max(0, Math.floor(Math.min(x0, to[0]) - radius))
  const right = Math.min(mask.width - 1, Math.ceil(Math.max(x0, to[0]) + radius))
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0]
      const along = square > 0 ? Math.min(1, Math.max(0, (px * dx + py * dy) / square)) : 0
      if (Math.hypot(px - along * dx, py - along * dy) <= radius) mask.cells[y * mask.width + x] = value
    }
  }
}

/**
 * Fills a closed outline (even-odd), given in cells.
 * @param {Mask} mask @param {readonly (readonly [number, number])[]} outline @param {0 | 1} value
 */
export function fillOutline(mask, outline, value) {
  for (let y = 0; y < mask.height; y++) {
    const middle = y + 0.5
    const crossings = []
    for (let i = 0; i < outline.length; i++) {
      const [ax, ay] = outline[i]
      const [bx, by] = outline[(i + 1) % outline.length]
      if (ay <= middle !== by <= middle) crossings.push(ax + ((middle - ay) / (by - ay)) * (bx - ax))
    }
    crossings.sort((a, b) => a - b)
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i] - 0.5))
      const to = Math.min(mask.width - 1, Math.ceil(crossings[i + 1] - 0.5) - 1)
      if (from <= to) mask.cells.fill(value, y * mask.width + from, y * mask.width + to + 1)
    }
  }
}

/** How long a mask's rim is, in sides of cells between inside and outside. @param {Mask} mask */
export function rimLength({ width, height, cells }) {
  let sides = 0
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x && cells[i] !== cells[i - 1]) sides++
      if (y && cells[i] !== cells[i - width]) sides++
    }
  }
  return sides
}

/** Each cell as most of the nine around it are: specks and threads go, everything larger stays. @param {Mask} mask @returns {Mask} */
function smoothed({ width, height, cells }) {
  const out = blank(width, height)
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      let [inside, all] = [0, 0]
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let at = row * width + Math.max(0, x - 1); at <= row * width + Math.min(width - 1, x + 1); at++) {
          inside += cells[at]
          all++
        }
      }
      out.cells[i] = 2 * inside > all ? 1 : 0
    }
  }
  return out
}

/** @type {WeakMap<Mask, Mask>} */
const simpler = new WeakMap()

/** The mask itself, or if its rim is longer than any that is meant (noise from a model, say) one like it with less detail. @param {Mask} mask @returns {Mask} */
export function withoutNoise(mask) {
  const known = simpler.get(mask)
  if (known) return known
  let simple = mask
  for (let times = 0; rimLength(simple) > MOST_SIDES; times++) {
    simple = smoothed(simple)
    if (times >= SMOOTHINGS) simple = copied(simple, Math.ceil(simple.width / 2), Math.ceil(simple.height / 2))
  }
  simpler.set(mask, simple)
  return simple
}

/**
 * The box and the centroid of what is painted, as fractions of the picture; null where nothing is.
 * @param {Mask} mask @returns {{ box: Box, centre: [number, number] } | null}
 */
export function extent(mask) {
  let [count, sumX, sumY] = [0, 0, 0]
  const found = { left: mask.width, top: mask.height, right: -1, bottom: -1 }
  for (let y = 0, i = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++, i++) {
      if (!mask.cells[i]) continue
      count++
      sumX += x + 0.5
      sumY += y + 0.5
      if (x < found.left) found.left = x
      if (x > found.right) found.right = x
      if (y < found.top) found.top = y
      found.bottom = y
    }
  }
  if (!count) return null
  return {
    box: {
      left: found.left / mask.width,
      top: found.top / mask.height,
      right: (found.right + 1) / mask.width,
      bottom: (found.bottom + 1) / mask.height
    },
    centre: [sumX / count / mask.width, sumY / count / mask.height]
  }
}

/** Lengths of runs along the rows, outside first, in base 36. @param {Mask} mask @returns {string} */
export function encodeRuns({ cells }) {
  const words = []
  let [value, start] = [0, 0]
  for (let i = 0; i < cells.length; i++) {
    if (cells[i] === value) continue
    words.push((i - start).toString(36))
    value = cells[i]
    start = i
  }
  words.push((cells.length - start).toString(36))
  return words.join(' ')
}

/** Null where the text does not make a mask of this size. @param {unknown} item @returns {Mask | null} */
export function decodeRuns(item) {
  const { size, runs } = /** @type {{ size?: unknown, runs?: unknown }} */ (item ?? {})
  if (!Array.isArray(size) || size.length !== 2 || typeof runs !== 'string') return null
  const [width, height] = size
  if (![width, height].every((side) => Number.isInteger(side) && side >= 1 && side <= FINEST_READ)) return null
  const words = runs.split(' ')
  if (words.length > width * height + 1 || !words.every((word) => /^[0-9a-z]{1,6}$/.test(word))) return null
  const mask = blank(width, height)
  let at = 0
  for (const [index, word] of words.entries()) {
    const next = at + parseInt(word, 36)
    if (next > mask.cells.length) return null
    if (index % 2) mask.cells.fill(1, at, next)
    at = next
  }
  return at === mask.cells.length ? mask : null
}
