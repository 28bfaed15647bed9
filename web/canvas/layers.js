/**
 * What a frame is put together from, made once per mask and kept while it is in use: the object cut out of the picture, its
 * outline, and the picture with the places filled that moved objects leave. Moving an object then costs two drawImage calls.
 */

import { fillHoles } from './fill.js'
import { distanceToSegment } from './geometry.js'
import { blank, copied, extent, withoutNoise } from './mask.js'
import { depthIn, depthRound, origins, pull, pulls } from './warp.js'

/** @typedef {import('./mask.js').Mask} Mask */
/** @typedef {{ canvas: HTMLCanvasElement, left: number, top: number }} Cutout canvas pixels from the picture's corner */
/** @typedef {NonNullable<ReturnType<typeof extent>>} Extent */

/** Pixels of the longer side that the preview is made of; the picture itself is shown in full. */
const WORKING = 1024
/** Holes are filled on a small copy: what fills them is smooth anyway. */
const FILLING = 160
/** Cells by which a hole is larger than its mask, so that no rim of the object stays. */
const MARGIN = 2
/** As many masks as a drawing may have objects: a frame never makes the same canvas twice. */
const MOST_KEPT = 16
/** Cells by which a drawn outline may be off. */
const ROUGHNESS = 0.6

/** @param {number} width @param {number} height @returns {[HTMLCanvasElement, CanvasRenderingContext2D]} */
function makeCanvas(width, height) {
  const canvas = document.createElement('canvas')
  canvas.width = Math.max(1, Math.round(width))
  canvas.height = Math.max(1, Math.round(height))
  const context = canvas.getContext('2d', { willReadFrequently: Math.max(width, height) <= FILLING })
  if (!context) throw new Error('no 2D canvas')
  return [canvas, context]
}

/**
 * Canvases are kept for the masks that were shown last: all those of the undo history would take hundreds of megabytes.
 * @template Made @param {Map<Mask, Made>} made @param {Mask} mask @param {Made} one @returns {Made} that one
 */
function keep(made, mask, one) {
  made.delete(mask)
  made.set(mask, one)
  for (const oldest of made.keys()) {
    if (made.size <= MOST_KEPT) break
    made.delete(oldest)
  }
  return one
}

export class Layers {
  /** @param {CanvasImageSource} picture @param {[number, number]} size its width and height */
  constructor(picture, size) {
    this.size = size
    /** Pixels of the working copy for one of the picture. */
    this.share = Math.min(1, WORKING / Math.max(...size))
    const [canvas, context] = makeCanvas(size[0] * this.share, size[1] * this.share)
    context.imageSmoothingQuality = 'high'
    context.drawImage(picture, 0, 0, canvas.width, canvas.height)
    this.picture = picture
    this.working = canvas
    /** @type {Map<Mask, Cutout | null>} */
    this.cutouts = new Map()
    /** @type {{ masks: Mask[], canvas: HTMLCanvasElement } | null} */
    this.filled = null
    /** @type {WeakMap<Mask, import('./warp.js').Depth>} */
    this.depths = new WeakMap()
    /** Pixels of what arrows drag, and the canvas for where they take it. @type {{ of: Mask | null, pixels: Uint32Array, box: import('./warp.js').Box, image: ImageData, canvas: HTMLCanvasElement, context: CanvasRenderingContext2D } | null} */
    this.pulled = null
  }

  /** The object alone, on nothing. @param {Mask} mask @returns {Cutout | null} */
  cutout(mask) {
    const known = this.cutouts.get(mask)
    const found = extentOf(mask)
    return keep(this.cutouts, mask, known ?? (found && this.#cut(mask, found)))
  }

  /** The picture with the places of these masks filled from around them. @param {Mask[]} masks @returns {HTMLCanvasElement} */
  without(masks) {
    if (!masks.length) return this.working
    const same = this.filled && this.filled.masks.length === masks.length && masks.every((mask, i) => mask === this.filled?.masks[i])
    if (!same) this.filled = { masks, canvas: this.#fill(masks) }
    return /** @type {{ canvas: HTMLCanvasElement }} */ (this.filled).canvas
  }

  /**
   * What arrows drag, where they take it: the object, if they lead off its mask; or all that moves in the mask, or round the arrows
   * without one. As *Dragon Drag Loss* means it. Null where nothing moves.
   * @param {import('./drawing.js').Arrow[]} arrows @param {Mask | null} mask @returns {{ canvas: HTMLCanvasElement, leaves: boolean } | null}
   */
  dragged(arrows, mask) {
    /** @type {[number, number]} */
    const size = [this.working.width, this.working.height]
    /** @type {import('./warp.js').Way[]} */
    const ways = arrows.map(([hx, hy, tx, ty]) => ({ handle: [hx * size[0], hy * size[1]], target: [tx * size[0], ty * size[1]] }))
    if (!pulls(ways)) return null
    const leaves = mask !== null && arrows.some(([, , x, y]) => !covers(mask, x, y))
    const depth = leaves ? () => Infinity : mask ? this.#depthIn(mask, size) : depthRound(ways, size)
    const { pixels, box, image, canvas, context } = this.#pulled(leaves ? mask : null)
    pull(pixels, size, origins(ways, depth, size), new Uint32Array(image.data.buffer), box)
    context.putImageData(image, 0, 0)
    return { canvas, leaves }
  }

  /** @param {Mask} mask @param {[number, number]} size */
  #depthIn(mask, size) {
    const depth = this.depths.get(mask) ?? depthIn(mask, size)
    this.depths.set(mask, depth)
    return depth
  }

  /** @param {Mask | null} mask of the object; the whole picture without */
  #pulled(mask) {
    if (this.pulled?.of === mask) return this.pulled
    const { width, height } = this.working
    const [canvas, context] = makeCanvas(width, height)
    const { canvas: whole, left, top } = (mask && this.cutout(mask)) || { canvas: this.working, left: 0, top: 0 }
    context.drawImage(whole, left, top)
    const box = { left, top, right: left + whole.width, bottom: top + whole.height }
    const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer)
    this.pulled = { of: mask, pixels, box, image: context.createImageData(width, height), canvas, context }
    return this.pulled
  }

  /** @param {Mask} mask @param {Extent} found @returns {Cutout} */
  #cut(mask, { box }) {
    const { width, height } = this.working
    const [left, top] = [Math.max(0, Math.floor(box.left * width) - 1), Math.max(0, Math.floor(box.top * height) - 1)]
    const [right, bottom] = [Math.min(width, Math.ceil(box.right * width) + 1), Math.min(height, Math.ceil(box.bottom * height) + 1)]
    const [canvas, context] = makeCanvas(right - left, bottom - top)
    context.drawImage(alphaOf(mask), -left, -top, width, height)
    context.globalCompositeOperation = 'source-in'
    context.drawImage(this.working, -left, -top)
    return { canvas, left, top }
  }

  /** @param {Mask[]} masks */
  #fill(masks) {
    const { width, height } = this.working
    const share = Math.min(1, FILLING / Math.max(width, height))
    const [small, brush] = makeCanvas(width * share, height * share)
    brush.drawImage(this.working, 0, 0, small.width, small.height)
    const pixels = brush.getImageData(0, 0, small.width, small.height)
    const holes = masks.map((mask) => grown(copied(mask, small.width, small.height), MARGIN))
    const hole = new Uint8Array(small.width * small.height)
    for (const { cells } of holes) for (let i = 0; i < hole.length; i++) hole[i] |= cells[i]
    fillHoles(pixels.data, hole, small.width, small.height)
    // Only the holes are laid over the picture, with a soft edge from scaling them up.
    for (let i = 0; i < hole.length; i++) if (!hole[i]) pixels.data[4 * i + 3] = 0
    brush.putImageData(pixels, 0, 0)
    const [canvas, context] = makeCanvas(width, height)
    context.drawImage(this.working, 0, 0)
    context.imageSmoothingQuality = 'high'
    context.drawImage(small, 0, 0, width, height)
    return canvas
  }
}

/** @param {Mask} mask @param {number} cells */
function grown(mask, cells) {
  const out = blank(mask.width, mask.height)
  for (let y = 0, i = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++, i++) {
      if (!mask.cells[i]) continue
      const [left, right] = [Math.max(0, x - cells), Math.min(mask.width, x + cells + 1)]
      for (let row = Math.max(0, y - cells); row <= Math.min(mask.height - 1, y + cells); row++) {
        out.cells.fill(1, row * mask.width + left, row * mask.width + right)
      }
    }
  }
  return out
}

/** @param {Mask} mask @param {number} x fractions of the picture @param {number} y */
function covers({ width, height, cells }, x, y) {
  return cells[Math.min(height - 1, Math.floor(y * height)) * width + Math.min(width - 1, Math.floor(x * width))] === 1
}

/** White where the mask is. @param {Mask} mask */
function alphaOf(mask) {
  const [canvas, context] = makeCanvas(mask.width, mask.height)
  const pixels = context.createImageData(mask.width, mask.height)
  const words = new Uint32Array(pixels.data.buffer)
  for (let i = 0; i < words.length; i++) if (mask.cells[i]) words[i] = 0xffffffff
  context.putImageData(pixels, 0, 0)
  return canvas
}

/** @type {WeakMap<Mask, Extent | null>} */
const extents = new WeakMap()

/** @param {Mask} mask @returns {Extent | null} */
export function extentOf(mask) {
  const known = extents.get(mask)
  if (known !== undefined) return known
  const found = extent(mask)
  extents.set(mask, found)
  return found
}

/** @type {WeakMap<Mask, Path2D>} */
const outlines = new WeakMap()

/** The rim of a mask, in fractions of the picture. @param {Mask} mask @returns {Path2D} */
export function outlineOf(mask) {
  const known = outlines.get(mask)
  if (known) return known
  const path = outline(withoutNoise(mask))
  outlines.set(mask, path)
  return path
}

/**
 * The rims of cells are followed round each region, and the middles of their sides joined, which cuts off the corners; then what lies on a straight line is left out, as long lines are
 * drawn a good deal faster than steps.
 * @param {Mask} mask @returns {Path2D}
 */
function outline({ width, height, cells }) {
  /** Sides with the inside on their right: where each leads, by where it begins. @type {Map<number, number[]>} */
  const sides = new Map()
  const stride = width + 1
  /** @param {number} from @param {number} to */
  const add = (from, to) => {
    const others = sides.get(from)
    if (others) others.push(to)
    else sides.set(from, [to])
  }
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!cells[i]) continue
      const corner = y * stride + x
      if (y === 0 || !cells[i - width]) add(corner, corner + 1)
      if (x === width - 1 || !cells[i + 1]) add(corner + 1, corner + 1 + stride)
      if (y === height - 1 || !cells[i + width]) add(corner + 1 + stride, corner + stride)
      if (x === 0 || !cells[i - 1]) add(corner + stride, corner)
    }
  }
  const path = new Path2D()
  for (const start of sides.keys()) {
    while (sides.get(start)?.length) follow(path, sides, start, stride, width, height)
  }
  return path
}

/**
 * One closed line, which leaves `sides` without its own.
 * @param {Path2D} path @param {Map<number, number[]>} sides @param {number} start
 * @param {number} stride @param {number} width @param {number} height
 */
function follow(path, sides, start, stride, width, height) {
  /** @type {[number, number][]} */
  const line = []
  let at = start
  for (let next = sides.get(at)?.pop(); next !== undefined; next = sides.get(at)?.pop()) {
    line.push([((at % stride) + (next % stride)) / 2, (Math.floor(at / stride) + Math.floor(next / stride)) / 2])
    at = next
    if (at === start) break
  }
  for (const [i, [x, y]] of simplified(line, ROUGHNESS).entries()) {
    if (i) path.lineTo(x / width, y / height)
    else path.moveTo(x / width, y / height)
  }
  path.closePath()
}

/**
 * Leaves out points that lie within a tolerance of the line between those that are kept (Ramer, Douglas and Peucker).
 * @param {[number, number][]} line @param {number} tolerance @returns {[number, number][]}
 */
function simplified(line, tolerance) {
  if (line.length < 4) return line
  const keep = new Uint8Array(line.length)
  // A closed line has no ends: it is taken as two halves.
  const half = line.length >> 1
  keep[0] = keep[half] = keep[line.length - 1] = 1
  const spans = [[0, half], [half, line.length - 1]]
  for (let span = spans.pop(); span; span = spans.pop()) {
    const [from, to] = span
    let [furthest, worst] = [-1, tolerance]
    for (let i = from + 1; i < to; i++) {
      const off = distanceToSegment(line[i], line[from], line[to])
      if (off > worst) [furthest, worst] = [i, off]
    }
    if (furthest < 0) continue
    keep[furthest] = 1
    spans.push([from, furthest], [furthest, to])
  }
  return line.filter((_, i) => keep[i])
}

/** @type {Map<Mask, { colour: string, canvas: HTMLCanvasElement }>} */
const tints = new Map()

/**
 * The mask as a flat colour; kept unless it is being painted.
 * @param {Mask} mask @param {string} colour like #ff40a0 @param {boolean} changes
 */
export function alphaTint(mask, colour, changes) {
  const known = changes ? undefined : tints.get(mask)
  if (known?.colour === colour) return keep(tints, mask, known).canvas
  const canvas = alphaOf(mask)
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'))
  context.globalCompositeOperation = 'source-in'
  context.fillStyle = colour
  context.fillRect(0, 0, canvas.width, canvas.height)
  if (!changes) keep(tints, mask, { colour, canvas })
  return canvas
}
