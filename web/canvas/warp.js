/**
 * What dragging by arrows does to the picture, for the preview: the rule of dragon_core/imaging/point_warp.py and edits/drag.py with
 * fewer nodes and hops, so that a frame takes milliseconds. All in pixels of the working copy.
 */

import { clamp, distance, distanceToSegment } from './geometry.js'
import { copied } from './mask.js'

/** @typedef {[number, number]} Place */
/** @typedef {{ handle: Place, target: Place }} Way */
/** @typedef {{ left: number, top: number, right: number, bottom: number }} Box in pixels, its right and bottom outside it */
/** @typedef {(place: Place) => number} Depth pixels from the border of the area that may change: 0 outside, infinite without a border */
/** @typedef {{ columns: number, rows: number, dx: Float32Array, dy: Float32Array }} Field at the corners of columns × rows cells */

const NODES = 64
/** More arrows than a hand draws; their preview would be too slow. */
const MOST_WAYS = 24
const [HOP, MOST_HOPS, MOST_SCALE] = [0.25, 12, 4]
const [RADIUS, REACH, REACH_OF_WAY] = [0.05, 2, 0.25]
const NEARLY = 1e-6
const FIXED_BITS = 16
const FIXED = 1 << FIXED_BITS

/** Whether there is something to show. @param {Way[]} ways */
export const pulls = (ways) => ways.length <= MOST_WAYS && ways.some(({ handle, target }) => distance(handle, target) > 0)

/** Pixels round a handle that go along as they are. @param {Place} size */
const radiusOf = (size) => RADIUS * Math.min(...size)

/** Without a mask: what lies round the arrows. @param {Way[]} ways @param {Place} size @returns {Depth} */
export function depthRound(ways, size) {
  const [columns, rows] = gridFor(size)
  const limits = ways.map(({ handle, target }) => REACH * radiusOf(size) + REACH_OF_WAY * distance(handle, target))
  const cells = Uint8Array.from({ length: columns * rows }, (_, i) => {
    /** @type {Place} */
    const place = [(((i % columns) + 0.5) * size[0]) / columns, ((Math.floor(i / columns) + 0.5) * size[1]) / rows]
    return ways.some(({ handle, target }, way) => distanceToSegment(place, handle, target) <= limits[way]) ? 1 : 0
  })
  return depthOf(cells, columns, rows, size)
}

/** With a mask: itself. @param {import('./mask.js').Mask} mask @param {Place} size @returns {Depth} */
export function depthIn(mask, size) {
  const [columns, rows] = gridFor(size)
  return depthOf(copied(mask, columns, rows).cells, columns, rows, size)
}

/** @param {Uint8Array} cells @param {number} columns @param {number} rows @param {Place} size @returns {Depth} */
function depthOf(cells, columns, rows, size) {
  const [across, down] = [size[0] / columns, size[1] / rows]
  /** Outside, but beside what is inside: the nearest outside is one of these. @type {Place[]} */
  const rim = []
  for (let i = 0; i < cells.length; i++) {
    if (cells[i]) continue
    const x = i % columns
    if ((x > 0 && cells[i - 1]) || (x < columns - 1 && cells[i + 1]) || cells[i - columns] || cells[i + columns]) rim.push([x, Math.floor(i / columns)])
  }
  if (!rim.length) return () => (cells[0] ? Infinity : 0)
  const depths = Float32Array.from(cells, (inside, i) => {
    if (!inside) return 0
    const [x, y] = [i % columns, Math.floor(i / columns)]
    let nearest = Infinity
    for (const [rimX, rimY] of rim) nearest = Math.min(nearest, ((rimX - x) * across) ** 2 + ((rimY - y) * down) ** 2)
    return Math.sqrt(nearest)
  })
  return ([x, y]) => {
    const [u, v] = [clamp(x / across - 0.5, 0, columns - 1), clamp(y / down - 0.5, 0, rows - 1)]
    const at = Math.floor(v) * columns + Math.floor(u)
    const [right, below] = [u < columns - 1 ? 1 : 0, v < rows - 1 ? columns : 0]
    const [s, t] = [u % 1, v % 1]
    return (1 - t) * ((1 - s) * depths[at] + s * depths[at + right]) + t * ((1 - s) * depths[at + below] + s * depths[at + below + right])
  }
}

/** @param {Place} size @returns {Place} */
function gridFor([width, height]) {
  const share = NODES / Math.max(width, height)
  return [Math.max(1, Math.round(width * share)), Math.max(1, Math.round(height * share))]
}

/** Where each place of the dragged picture comes from, less the place itself. @param {Way[]} ways @param {Depth} depth @param {Place} size @returns {Field} */
export function origins(ways, depth, size) {
  const [columns, rows] = gridFor(size)
  const radius = radiusOf(size)
  const hops = hopsFor(ways, depth, radius)
  /** The anchors go back, from their targets to their handles. @param {number} share @returns {Place[]} */
  const anchors = (share) => ways.map(({ handle, target }) => [target[0] + share * (handle[0] - target[0]), target[1] + share * (handle[1] - target[1])])
  const stops = Array.from({ length: hops + 1 }, (_, hop) => anchors(hop / hops))
  const [dx, dy] = [new Float32Array((columns + 1) * (rows + 1)), new Float32Array((columns + 1) * (rows + 1))]
  for (let i = 0; i < dx.length; i++) {
    /** @type {Place} */
    const start = [((i % (columns + 1)) * size[0]) / columns, (Math.floor(i / (columns + 1)) * size[1]) / rows]
    let place = start
    for (let hop = 0; hop < hops; hop++) {
      const deep = depth(place)
      if (deep <= 0) break
      let off = Infinity
      for (const anchor of stops[hop]) off = Math.min(off, distance(anchor, place))
      off = Math.max(0, off - radius)
      const fade = deep === Infinity ? 1 : (deep * deep) / Math.max(NEARLY, deep * deep + off * off)
      const [x, y] = carried(place, stops[hop], stops[hop + 1])
      place = [place[0] + fade * (x - place[0]), place[1] + fade * (y - place[1])]
    }
    dx[i] = place[0] - start[0]
    dy[i] = place[1] - start[1]
  }
  return { columns, rows, dx, dy }
}

/** Enough of them that none is long beside the room that an anchor has. @param {Way[]} ways @param {Depth} depth @param {number} radius */
function hopsFor(ways, depth, radius) {
  const each = ways.map(({ handle, target }) => distance(handle, target) / Math.max(1, HOP * (Math.min(depth(handle), depth(target)) + radius)))
  return clamp(Math.ceil(Math.max(...each)), 1, MOST_HOPS)
}

/** A place under the similarity that fits the anchors' ways best, the nearer ones more. @param {Place} place @param {Place[]} from @param {Place[]} to @returns {Place} */
function carried([px, py], from, to) {
  const weights = from.map(([x, y]) => 1 / ((x - px) ** 2 + (y - py) ** 2 + NEARLY))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  /** @param {Place[]} places @returns {Place} */
  const middle = (places) => {
    const sum = [0, 0]
    places.forEach(([x, y], i) => {
      sum[0] += weights[i] * x
      sum[1] += weights[i] * y
    })
    return [sum[0] / total, sum[1] / total]
  }
  const [start, end] = [middle(from), middle(to)]
  let [spread, cos, sin] = [0, 0, 0]
  from.forEach(([x, y], i) => {
    const [ax, ay, bx, by] = [x - start[0], y - start[1], to[i][0] - end[0], to[i][1] - end[1]]
    const weight = weights[i] / total
    spread += weight * (ax * ax + ay * ay)
    cos += weight * (ax * bx + ay * by)
    sin += weight * (ax * by - ay * bx)
  })
  if (spread < NEARLY) return [px + end[0] - start[0], py + end[1] - start[1]]
  const scale = Math.max(NEARLY, Math.hypot(cos, sin) / spread)
  const share = clamp(scale, 1 / MOST_SCALE, MOST_SCALE) / scale / spread
  const [x, y] = [px - start[0], py - start[1]]
  return [end[0] + share * (cos * x - sin * y), end[1] + share * (sin * x + cos * y)]
}

/**
 * The picture's pixels where the field has them come from; nothing where it leaves them.
 * @param {Uint32Array} pixels @param {Place} size whole numbers @param {Field} field @param {Uint32Array} out as many
 * @param {Box} [box] of the pixels that are not empty
 */
export function pull(pixels, [width, height], { columns, rows, dx, dy }, out, box = { left: 0, top: 0, right: Infinity, bottom: Infinity }) {
  const stride = columns + 1
  // What lies beside the picture goes on as its border, so a box that reaches the border reaches beyond it.
  const edges = {
    left: box.left > 0 ? box.left : -Infinity,
    top: box.top > 0 ? box.top : -Infinity,
    right: box.right < width ? box.right : Infinity,
    bottom: box.bottom < height ? box.bottom : Infinity,
  }
  const [rowX, rowY] = [new Float32Array(stride), new Float32Array(stride)]
  for (let y = 0; y < height; y++) {
    const row = y * width
    const v = ((y + 0.5) * rows) / height
    const top = Math.floor(v) * stride
    let still = true
    for (let c = 0; c < stride; c++) {
      rowX[c] = dx[top + c] + (v % 1) * (dx[top + stride + c] - dx[top + c])
      rowY[c] = dy[top + c] + (v % 1) * (dy[top + stride + c] - dy[top + c])
      still &&= rowX[c] === 0 && rowY[c] === 0
    }
    if (still) {
      out.fill(0, row, row + width)
      continue
    }
    for (let c = 0, x = 0; c < columns; c++) {
      const end = Math.ceil(((c + 1) * width) / columns - 0.5) // the first pixel whose middle is beyond the cell
      const many = end - x
      if (many <= 0) continue
      if (rowX[c] === 0 && rowY[c] === 0 && rowX[c + 1] === 0 && rowY[c + 1] === 0) out.fill(0, row + x, row + end)
      else {
        const [stepX, stepY] = [((rowX[c + 1] - rowX[c]) * columns) / width, ((rowY[c + 1] - rowY[c]) * columns) / width]
        const before = x + 0.5 - (c * width) / columns
        /** @type {Place} */
        const from = [x + 0.5 + rowX[c] + before * stepX, y + 0.5 + rowY[c] + before * stepY]
        if (misses(from, [from[0] + many * (1 + stepX), from[1] + many * stepY], edges)) out.fill(0, row + x, row + end)
        else copySpan(pixels, [width, height], from, [1 + stepX, stepY], out, row + x, many)
      }
      x = end
    }
  }
}

/** Whether a straight line cannot meet a box. @param {Place} from @param {Place} to @param {Box} box */
const misses = ([ax, ay], [bx, by], { left, top, right, bottom }) =>
  Math.max(ax, bx) < left || Math.min(ax, bx) > right || Math.max(ay, by) < top || Math.min(ay, by) > bottom

/**
 * Pixels on a straight line through the picture, its border going on outside it. Counted in whole numbers, which is faster.
 * @param {Uint32Array} pixels @param {Place} size @param {Place} from @param {Place} step @param {Uint32Array} out @param {number} at @param {number} many
 */
function copySpan(pixels, [width, height], from, step, out, at, many) {
  const [right, bottom] = [width - 1, height - 1]
  let [fx, fy] = [Math.floor(from[0] * FIXED), Math.floor(from[1] * FIXED)]
  const [sx, sy] = [Math.round(step[0] * FIXED), Math.round(step[1] * FIXED)]
  const [lastX, lastY] = [(fx + (many - 1) * sx) >> FIXED_BITS, (fy + (many - 1) * sy) >> FIXED_BITS]
  const [firstX, firstY] = [fx >> FIXED_BITS, fy >> FIXED_BITS]
  const inside = Math.min(firstX, lastX) >= 0 && Math.max(firstX, lastX) <= right && Math.min(firstY, lastY) >= 0 && Math.max(firstY, lastY) <= bottom
  if (inside) {
    for (const stop = at + many; at < stop; at++, fx += sx, fy += sy) out[at] = pixels[(fy >> FIXED_BITS) * width + (fx >> FIXED_BITS)]
    return
  }
  for (const stop = at + many; at < stop; at++, fx += sx, fy += sy) {
    const [x, y] = [fx >> FIXED_BITS, fy >> FIXED_BITS]
    out[at] = pixels[(y < 0 ? 0 : y > bottom ? bottom : y) * width + (x < 0 ? 0 : x > right ? right : x)]
  }
}
