/**
 * What a press of the pointer begins, by tool. A gesture shows its outcome while it lasts; the editor makes it part of the
 * history when it ends, or drops it. Places are pixels of the picture.
 */

import { MAX_ARROWS, MAX_MOVE, MAX_SCALE, MIN_SCALE, newThing } from './drawing.js'
import { apply, clamp, distance, distanceToSegment, inverse, placement } from './geometry.js'
import { extentOf } from './layers.js'
import { blank, copied, fillOutline, gridFor, isEmpty, stroke } from './mask.js'
import { remember } from './pasting.js'
import { boxOnScreen, goalOf, toScreen } from './renderer.js'

/** @typedef {import('./editor.js').Editor} Editor */
/** @typedef {import('./drawing.js').Arrow} Arrow */
/** @typedef {import('./drawing.js').Thing} Thing */
/** @typedef {[number, number]} Place */
/** @typedef {{ shift: boolean, alt: boolean, coarse: boolean }} Keys coarse: a finger rather than a mouse */
/** @typedef {{ move: (place: Place, keys: Keys) => void, end: () => void }} Gesture */
/** @typedef {'handle' | 'target' | 'both'} ArrowPart */

/** Pixels on screen. */
const [NEAR, NEAR_FINGER, SHORTEST_ARROW] = [11, 20, 4]

/** @param {Editor} editor @param {Place} place @param {Keys} keys @returns {Gesture | null} */
export function begin(editor, place, keys) {
  switch (editor.tool) {
    case 'arrow':
      return beginArrow(editor, place, keys)
    case 'brush':
      return beginStroke(editor, place, keys.alt ? 0 : 1)
    case 'eraser':
      return beginStroke(editor, place, 0)
    case 'lasso':
      return beginLasso(editor, place, keys.alt ? 0 : 1)
    case 'wand':
      return beginPointing(editor, place)
    default:
      return beginPlacing(editor, place, keys)
  }
}

/** What the pointer would take hold of, for its shape. @param {Editor} editor @param {Place} place @param {Keys} keys @returns {string} */
export function cursorAt(editor, place, keys) {
  if (editor.tool === 'arrow') return arrowAt(editor, place, keys) ? 'grab' : 'crosshair'
  if (editor.tool === 'brush' || editor.tool === 'eraser') return 'none'
  if (editor.tool === 'lasso' || editor.tool === 'wand') return 'crosshair'
  const hold = holdAt(editor, place, keys)
  if (hold?.kind === 'turn') return 'grab'
  if (hold?.kind === 'scale') return 'nwse-resize'
  return hold || objectAt(editor, place) >= 0 ? 'move' : editor.outside ? 'crosshair' : 'default'
}

/** With Alt there is none: a new one begins. @param {Editor} editor @param {Place} place @param {Keys} keys @returns {{ index: number, part: ArrowPart } | null} */
function arrowAt(editor, place, { coarse, alt }) {
  if (alt) return null
  const view = editor.viewMatrix()
  const at = apply(view, place)
  const near = coarse ? NEAR_FINGER : NEAR
  for (let index = editor.drawing.arrows.length - 1; index >= 0; index--) {
    const [hx, hy, tx, ty] = editor.drawing.arrows[index]
    const [handle, target] = [toScreen(view, editor.size, hx, hy), toScreen(view, editor.size, tx, ty)]
    const [toHandle, toTarget] = [distance(at, handle), distance(at, target)]
    if (Math.min(toHandle, toTarget) <= near) return { index, part: toTarget <= toHandle ? 'target' : 'handle' }
    if (distanceToSegment(at, handle, target) <= near * 0.7) return { index, part: 'both' }
  }
  return null
}

/** @param {Editor} editor @param {Place} place @param {Keys} keys @returns {Gesture | null} */
function beginArrow(editor, place, keys) {
  const [width, height] = editor.size
  const found = arrowAt(editor, place, keys)
  const before = editor.drawing
  if (found) {
    const arrow = before.arrows[found.index]
    editor.select({ kind: 'arrow', index: found.index, part: found.part })
    return {
      move(to) {
        const by = /** @type {Place} */ ([(to[0] - place[0]) / width, (to[1] - place[1]) / height])
        editor.show({ ...before, arrows: before.arrows.with(found.index, shiftedArrow(arrow, found.part, by)) })
      },
      end: () => editor.commit()
    }
  }
  if (before.arrows.length >= MAX_ARROWS) return null
  const start = /** @type {Place} */ ([clamp(place[0] / width, 0, 1), clamp(place[1] / height, 0, 1)])
  return {
    move(to) {
      const end = /** @type {Place} */ ([clamp(to[0] / width, 0, 1), clamp(to[1] / height, 0, 1)])
      const length = distance(place, to) * editor.viewMatrix()[0]
      editor.show(length < SHORTEST_ARROW ? before : { ...before, arrows: [...before.arrows, [...start, ...end]] })
      editor.select(length < SHORTEST_ARROW ? null : { kind: 'arrow', index: before.arrows.length, part: 'target' })
    },
    end: () => editor.commit()
  }
}

/** @param {Arrow} arrow @param {ArrowPart} part @param {Place} by fractions of the picture @returns {Arrow} */
export function shiftedArrow([hx, hy, tx, ty], part, [dx, dy]) {
  /** @param {number} value @param {number} change */
  const moved = (value, change) => clamp(value + change, 0, 1)
  if (part === 'handle') return [moved(hx, dx), moved(hy, dy), tx, ty]
  if (part === 'target') return [hx, hy, moved(tx, dx), moved(ty, dy)]
  const sideways = clamp(dx, -Math.min(hx, tx), 1 - Math.max(hx, tx))
  const down = clamp(dy, -Math.min(hy, ty), 1 - Math.max(hy, ty))
  return [hx + sideways, hy + down, tx + sideways, ty + down]
}

/** The active object's mask as it will be painted on, and the drawing that has that object.
 * @param {Editor} editor
 */
function openMask(editor) {
  const objects = editor.drawing.objects.length ? editor.drawing.objects : [newThing()]
  const index = Math.min(editor.active, objects.length - 1)
  const [width, height] = gridFor(editor.size)
  const mask = objects[index].mask
  return { index, objects, mask: mask ? copied(mask, width, height) : blank(width, height) }
}

/** @param {Editor} editor @param {ReturnType<typeof openMask>} open */
function closeMask(editor, { index, objects, mask }) {
  editor.painting = null
  const before = editor.drawing
  const done = isEmpty(mask) ? { ...newThing() } : { ...objects[index], mask }
  if (isEmpty(mask) && !before.objects[index]?.mask) return editor.show(before)
  remember(mask)
  editor.show({ ...before, objects: objects.with(index, done) })
  editor.commit()
}

/** @param {Editor} editor @param {Place} place @param {0 | 1} value @returns {Gesture} */
function beginStroke(editor, place, value) {
  const open = openMask(editor)
  const [across, down] = [open.mask.width / editor.size[0], open.mask.height / editor.size[1]]
  const radius = Math.max(0.71, editor.brushRadius() * across)
  let last = /** @type {Place} */ ([place[0] * across, place[1] * down])
  stroke(open.mask, last, last, radius, value)
  editor.painting = open.mask
  editor.activate(open.index)
  return {
    move(to) {
      const next = /** @type {Place} */ ([to[0] * across, to[1] * down])
      stroke(open.mask, last, next, radius, value)
      last = next
      editor.invalidate()
    },
    end: () => closeMask(editor, open)
  }
}

/** @param {Editor} editor @param {Place} place @param {0 | 1} value @returns {Gesture} */
function beginLasso(editor, place, value) {
  editor.lasso = [place]
  return {
    move(to) {
      editor.lasso.push(to)
      editor.invalidate()
    },
    end() {
      const open = openMask(editor)
      const [across, down] = [open.mask.width / editor.size[0], open.mask.height / editor.size[1]]
      fillOutline(open.mask, editor.lasso.map(([x, y]) => /** @type {Place} */ ([x * across, y * down])), value)
      editor.lasso = []
      editor.activate(open.index)
      closeMask(editor, open)
    }
  }
}

/** The pixel under the pointer, for the node that masks what is there: it hears of it when the pointer is let go. @param {Editor} editor @param {Place} place @returns {Gesture | null} */
function beginPointing(editor, place) {
  const [width, height] = editor.size
  const inside = place[0] >= 0 && place[1] >= 0 && place[0] < width && place[1] < height
  if (!inside || !editor.layers || !editor.pointing) return null
  /** @param {Place} to @returns {Place} */
  const pixel = ([x, y]) => [clamp(Math.floor(x), 0, width - 1), clamp(Math.floor(y), 0, height - 1)]
  editor.aim(pixel(place))
  return {
    move: (to) => editor.aim(pixel(to)),
    end: () => editor.point()
  }
}

/** The topmost object at a place, where it now is; -1 for none. @param {Editor} editor @param {Place} place */
function objectAt(editor, place) {
  for (let index = editor.drawing.objects.length - 1; index >= 0; index--) {
    const thing = editor.drawing.objects[index]
    const found = thing.mask && extentOf(thing.mask)
    if (!thing.mask || !found) continue
    const [x, y] = apply(inverse(placement(thing, found.centre, editor.size)), place)
    const [column, row] = [Math.floor((x / editor.size[0]) * thing.mask.width), Math.floor((y / editor.size[1]) * thing.mask.height)]
    if (column >= 0 && row >= 0 && column < thing.mask.width && row < thing.mask.height && thing.mask.cells[row * thing.mask.width + column]) {
      return index
    }
  }
  return -1
}

/**
 * @typedef {{ kind: 'turn' } | { kind: 'inside' } | { kind: 'scale', across: boolean, down: boolean }} Hold
 * @param {Editor} editor @param {Place} place @param {Keys} keys @returns {Hold | null}
 */
function holdAt(editor, place, { coarse }) {
  const thing = editor.drawing.objects[editor.active]
  const box = thing && boxOnScreen(thing, editor.size, editor.viewMatrix())
  if (!box) return null
  const at = apply(editor.viewMatrix(), place)
  const reach = coarse ? NEAR_FINGER : NEAR
  if (distance(at, box.turn) <= reach) return { kind: 'turn' }
  const inside = isInside(at, box.corners)
  // However small it is on the screen, the middle half of an object is where it is dragged.
  const shorter = Math.min(distance(box.corners[0], box.corners[1]), distance(box.corners[1], box.corners[2]))
  const near = inside ? Math.min(reach, shorter / 4) : reach
  if (box.corners.some((corner) => distance(at, corner) <= near)) return { kind: 'scale', across: true, down: true }
  const side = editor.ground ? -1 : box.sides.findIndex((middle) => distance(at, middle) <= near)
  if (side >= 0) return { kind: 'scale', across: side % 2 === 1, down: side % 2 === 0 }
  return inside ? { kind: 'inside' } : null
}

/** @param {Place} at @param {Place[]} corners of a convex shape */
function isInside([x, y], corners) {
  const turns = corners.map(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % corners.length]
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
  })
  return turns.every((turn) => turn === turns[0])
}

/** @param {Editor} editor @param {Place} place @param {Keys} keys @returns {Gesture | null} */
function beginPlacing(editor, place, keys) {
  let hold = holdAt(editor, place, keys)
  const other = objectAt(editor, place)
  if (other >= 0 && other !== editor.active && (!hold || hold.kind === 'inside')) {
    editor.activate(other)
    hold = { kind: 'inside' }
  }
  const index = editor.active
  const before = editor.drawing
  let thing = before.objects[index]
  const centre = thing && goalOf(thing, editor.size)
  if (!centre) return null
  if (!hold && editor.outside) {
    // It could not be taken hold of: it comes to the pointer.
    thing = shiftedThing(thing, [place[0] - centre[0], place[1] - centre[1]], editor.size)
    editor.show({ ...before, objects: before.objects.with(index, thing) })
    hold = { kind: 'inside' }
  }
  if (!hold) return null
  editor.select({ kind: 'object' })
  const change = hold.kind === 'inside' ? shifting : hold.kind === 'turn' ? turning : scaling(hold, editor.ground !== null)
  return {
    move(to, now) {
      const next = change(thing, centre, place, to, now, editor.size)
      editor.show({ ...before, objects: before.objects.with(index, next) })
    },
    end: () => editor.commit()
  }
}

/** @typedef {(thing: Thing, centre: Place, from: Place, to: Place, keys: Keys, size: Place) => Thing} Change */

/** Shift keeps to the longer direction. @type {Change} */
function shifting(thing, _centre, from, to, { shift }, [width, height]) {
  let [dx, dy] = [to[0] - from[0], to[1] - from[1]]
  if (shift) [dx, dy] = Math.abs(dx) >= Math.abs(dy) ? [dx, 0] : [0, dy]
  return shiftedThing(thing, [dx, dy], [width, height])
}

/** By whole pixels of the picture. @param {Thing} thing @param {Place} by @param {Place} size @returns {Thing} */
export function shiftedThing(thing, [dx, dy], [width, height]) {
  const x = Math.round(thing.move[0] * width + dx) / width
  const y = Math.round(thing.move[1] * height + dy) / height
  return { ...thing, move: [clamp(x, -MAX_MOVE, MAX_MOVE), clamp(y, -MAX_MOVE, MAX_MOVE)] }
}

/** Shift turns in steps. @type {Change} */
function turning(thing, centre, from, to, { shift }) {
  const by = Math.atan2(to[1] - centre[1], to[0] - centre[0]) - Math.atan2(from[1] - centre[1], from[0] - centre[0])
  const degrees = thing.rotation + (by * 180) / Math.PI
  const step = shift ? 15 : 0.5
  const turned = Math.round(degrees / step) * step
  return { ...thing, rotation: ((((turned + 180) % 360) + 360) % 360) - 180 }
}

/**
 * Corners keep the proportions unless Shift is held; sides scale one way. What is pasted always keeps them.
 * @param {{ across: boolean, down: boolean }} hold @param {boolean} pasted @returns {Change}
 */
function scaling({ across, down }, pasted) {
  return (thing, centre, from, to, { shift }) => {
    const angle = (thing.rotation * Math.PI) / 180
    /** Along the object's own axes. @param {Place} p @returns {Place} */
    const own = ([x, y]) => {
      const [dx, dy] = [x - centre[0], y - centre[1]]
      return [dx * Math.cos(angle) + dy * Math.sin(angle), dy * Math.cos(angle) - dx * Math.sin(angle)]
    }
    const [a, b] = [own(from), own(to)]
    /** @param {number} i */
    const factor = (i) => (Math.abs(a[i]) < 1e-6 ? 1 : Math.max(0.01, b[i] / a[i]))
    let [fx, fy] = [across ? factor(0) : 1, down ? factor(1) : 1]
    if (across && down && (pasted || !shift)) fx = fy = Math.max(0.01, (a[0] * b[0] + a[1] * b[1]) / (a[0] * a[0] + a[1] * a[1]))
    /** @param {number} value */
    const kept = (value) => clamp(Math.round(value * 1000) / 1000, Math.max(MIN_SCALE, 0.05), Math.min(MAX_SCALE, 10))
    return { ...thing, scale: [kept(thing.scale[0] * fx), kept(thing.scale[1] * fy)] }
  }
}

