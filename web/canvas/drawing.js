/**
 * The document: what is drawn on a picture. dragon_core/document/drawing.py says what each part means; this is the same in the browser.
 * Drawings are never changed, only replaced, so a list of them is an undo history.
 */

import { decodeRuns, encodeRuns, isEmpty, withoutNoise } from './mask.js'
import { say } from './words.js'

/** @typedef {import('./mask.js').Mask} Mask */
/** @typedef {import('./words.js').Word} Word */
/** @typedef {import('./words.js').Values} Values */
/** @typedef {{ mask: Mask | null, move: [number, number], scale: [number, number], rotation: number }} Thing */
/** @typedef {[number, number, number, number]} Arrow handle x, y, target x, y, as fractions of the picture */
/** @typedef {{ size: [number, number] | null, arrows: Arrow[], objects: Thing[] }} Drawing */

const VERSION = 1
export const MAX_ARROWS = 1000
export const MAX_OBJECTS = 16
export const [MIN_SCALE, MAX_SCALE] = [0.02, 50]
const REACH = 2
/** Pixels of the picture: a shorter arrow moves nothing. */
export const NO_LENGTH = 0.5
export const MAX_MOVE = 50
const MAX_TEXT = 2_000_000

/** @type {Drawing} */
export const NOTHING = { size: null, arrows: [], objects: [] }

/** @param {Mask | null} [mask] @returns {Thing} */
export const newThing = (mask = null) => ({ mask, move: [0, 0], scale: [1, 1], rotation: 0 })

/** Masks that come from another node: they are shown and moved like painted ones, but come anew with each run. */
const linked = /** @type {WeakSet<Mask>} */ (new WeakSet())

/**
 * The drawing with another node's mask (or none any more) as object 1's, unless that one is painted.
 * @param {Drawing} drawing @param {Mask | null} mask @returns {Drawing}
 */
export function withLentMask(drawing, mask) {
  const first = drawing.objects[0] ?? newThing()
  if (hasOwnMask(first)) return drawing
  if (!mask && !first.mask) return drawing
  if (mask) linked.add(mask)
  return { ...drawing, objects: [{ ...first, mask }, ...drawing.objects.slice(1)] }
}

/** Whether an object's mask is painted: it goes before one that is linked. @param {Thing | undefined} thing */
export const hasOwnMask = (thing) => Boolean(thing?.mask && !linked.has(thing.mask))

/** @param {Thing} thing */
export const isPlaced = ({ move, scale, rotation }) =>
  move[0] !== 0 || move[1] !== 0 || scale[0] !== 1 || scale[1] !== 1 || rotation % 360 !== 0

/** Something that is no drawing; the message is for the user. */
export class UnreadableDrawing extends Error {
  /** @param {Word} why @param {Values} [values] */
  constructor(why, values) {
    super(say(why, values))
  }
}

/** @param {number} value */
const rounded = (value) => Math.round(value * 1e6) / 1e6

/** @param {Mask | null} mask */
const isPainted = (mask) => mask !== null && !linked.has(mask) && !isEmpty(mask)

/** The drawing with less detail in masks that have more than can be kept; itself where none has. @param {Drawing} drawing @returns {Drawing} */
export function withoutNoiseIn(drawing) {
  const objects = drawing.objects.map((thing) => {
    const simple = thing.mask && isPainted(thing.mask) ? withoutNoise(thing.mask) : thing.mask
    if (simple === thing.mask) return thing
    return simple && !isEmpty(simple) ? { ...thing, mask: simple } : newThing()
  })
  return objects.every((thing, index) => thing === drawing.objects[index]) ? drawing : { ...drawing, objects }
}

/** Made once a mask: the widget's value is asked for often. @type {WeakMap<Mask, string>} */
const runs = new WeakMap()

/** @param {Mask} mask @returns {string} */
function runsOf(mask) {
  const text = runs.get(mask) ?? encodeRuns(mask)
  runs.set(mask, text)
  return text
}

/** JSON, or an empty text where nothing is drawn. @param {Drawing} drawing @returns {string} */
export function serialise({ size, arrows, objects: all }) {
  const last = all.findLastIndex((thing) => isPainted(thing.mask) || isPlaced(thing))
  const objects = all.slice(0, last + 1)
  if (!arrows.length && !objects.length) return ''
  return JSON.stringify({
    version: VERSION,
    size,
    arrows: arrows.map((arrow) => arrow.map(rounded)),
    objects: objects.map(({ mask, move, scale, rotation }) => ({
      mask: mask && isPainted(mask) ? { size: [mask.width, mask.height], runs: runsOf(mask) } : null,
      move: move.map(rounded),
      scale: scale.map(rounded),
      rotation: rounded(rotation)
    }))
  })
}

/**
 * Reads the widget's value. A list of points in pixels (pairs, DragBench's flat list, KJNodes' splines) gives arrows, once the
 * picture's size is known; until then null.
 * @param {unknown} value @param {readonly [number, number] | null} picture its width and height
 * @returns {Drawing | null} @throws {UnreadableDrawing}
 */
export function parse(value, picture) {
  const content = typeof value === 'string' ? parseJson(value) : value
  if (content === null || content === undefined) return NOTHING
  if (Array.isArray(content)) {
    if (!content.length) return NOTHING
    const pairs = pointPairs(content)
    if (!picture) return null
    const [width, height] = picture
    const arrows = pairs.map(([[hx, hy], [tx, ty]], index) =>
      readArrow([hx / width, hy / height, tx / width, ty / height], index, 'farArrow')
    )
    return { size: [width, height], arrows, objects: [] }
  }
  if (typeof content !== 'object') throw new UnreadableDrawing('notDrawing')
  const { version, size, arrows = [], objects = [] } = /** @type {Record<string, unknown>} */ (content)
  if (typeof version === 'number' && version > VERSION) throw new UnreadableDrawing('newerVersion')
  if (version !== VERSION) throw new UnreadableDrawing('unknownVersion')
  return {
    size: size === null || size === undefined ? null : pictureSize(size),
    arrows: list(arrows, MAX_ARROWS, 'brokenArrows', 'tooManyArrows').map((item, index) => readArrow(item, index)),
    objects: list(objects, MAX_OBJECTS, 'brokenObjects', 'tooManyObjects').map(readThing)
  }
}

/** @param {string} text */
function parseJson(text) {
  if (!text.trim()) return null
  if (text.length > MAX_TEXT) throw new UnreadableDrawing('tooLong')
  try {
    return JSON.parse(text)
  } catch {
    throw new UnreadableDrawing('notJson')
  }
}

/** @param {unknown} item @param {number} index @param {Word} broken @returns {Arrow} */
function readArrow(item, index, broken = 'brokenArrow') {
  return /** @type {Arrow} */ (numbers(item, 4, -REACH, 1 + REACH, broken, { number: index + 1 }))
}

/** @param {unknown} item @param {number} index @returns {Thing} */
function readThing(item, index) {
  const which = { number: index + 1 }
  if (typeof item !== 'object' || item === null || Array.isArray(item)) throw new UnreadableDrawing('brokenObject', which)
  const { mask, move = [0, 0], scale = [1, 1], rotation = 0 } = /** @type {Record<string, unknown>} */ (item)
  const none = mask === null || mask === undefined
  const cells = none ? null : decodeRuns(mask)
  if (!none && !cells) throw new UnreadableDrawing('brokenMask', which)
  return {
    mask: cells,
    move: /** @type {[number, number]} */ (numbers(move, 2, -MAX_MOVE, MAX_MOVE, 'brokenNumbers', which)),
    scale: /** @type {[number, number]} */ (numbers(scale, 2, MIN_SCALE, MAX_SCALE, 'brokenNumbers', which)),
    rotation: numbers([rotation], 1, -36000, 36000, 'brokenNumbers', which)[0]
  }
}

/** @param {unknown} item @returns {[number, number]} */
function pictureSize(item) {
  const [width, height] = numbers(item, 2, 1, 1e6, 'brokenSize')
  if (!Number.isInteger(width) || !Number.isInteger(height)) throw new UnreadableDrawing('brokenSize')
  return [width, height]
}

/** @param {unknown} items @param {number} most @param {Word} broken @param {Word} tooMany @returns {unknown[]} */
function list(items, most, broken, tooMany) {
  if (!Array.isArray(items)) throw new UnreadableDrawing(broken)
  if (items.length > most) throw new UnreadableDrawing(tooMany, { count: items.length, most })
  return items
}

/** @param {unknown} item @param {number} count @param {number} low @param {number} high @param {Word} broken @param {Values} [which] @returns {number[]} */
function numbers(item, count, low, high, broken, which) {
  const good = Array.isArray(item) && item.length === count && item.every((v) => typeof v === 'number' && v >= low && v <= high)
  if (!good) throw new UnreadableDrawing(broken, which)
  return /** @type {number[]} */ (item)
}

/** @typedef {[number, number]} Point */

/** The three forms that dragon_core/document/point_formats.py reads. @param {unknown[]} items @returns {[Point, Point][]} */
function pointPairs(items) {
  const pairs = items.every(isPoint) ? flatPairs(items) : items.map(ends)
  if (pairs.length > MAX_ARROWS) throw new UnreadableDrawing('tooManyArrows', { count: pairs.length, most: MAX_ARROWS })
  return pairs
}

/** @param {unknown[]} items @returns {[Point, Point][]} */
function flatPairs(items) {
  const points = items.map(point)
  const isSpline = !Array.isArray(items[0])
  if (isSpline ? points.length < 2 : points.length % 2) throw new UnreadableDrawing('lacksTarget')
  if (isSpline) return [[points[0], points[points.length - 1]]]
  return Array.from({ length: points.length / 2 }, (_, i) => [points[2 * i], points[2 * i + 1]])
}

/** @param {unknown} item @returns {[Point, Point]} */
function ends(item) {
  if (!Array.isArray(item) || item.length < 2 || (item.length > 2 && Array.isArray(item[0]))) {
    throw new UnreadableDrawing('notPairs')
  }
  return [point(item[0]), point(item[item.length - 1])]
}

/** @param {unknown} item */
function isPoint(item) {
  return (Array.isArray(item) && item.length === 2 && item.every((v) => typeof v === 'number')) || (typeof item === 'object' && item !== null && 'x' in item)
}

/** @param {unknown} item @returns {Point} */
function point(item) {
  const { x, y } = /** @type {{ x?: unknown, y?: unknown }} */ (Array.isArray(item) ? { x: item[0], y: item[1] } : (item ?? {}))
  if (Array.isArray(item) && item.length !== 2) throw new UnreadableDrawing('notPairs')
  if (typeof x !== 'number' || typeof y !== 'number' || !(Math.abs(x) <= 1e6) || !(Math.abs(y) <= 1e6)) {
    throw new UnreadableDrawing('notNumbers')
  }
  return [x, y]
}
