/** Draws one frame: the picture as the edit would have it, then what is drawn on it. Sizes on screen do not follow the zoom. */

import { isPlaced } from './drawing.js'
import { apply, clamp, distance, multiply, placement } from './geometry.js'
import { alphaTint, extentOf, outlineOf } from './layers.js'
import { ARROW, DARK, LIGHT, objectColour } from './palette.js'

/** @typedef {import('./drawing.js').Drawing} Drawing */
/** @typedef {import('./drawing.js').Thing} Thing */
/** @typedef {import('./geometry.js').Matrix} Matrix */
/** @typedef {import('./layers.js').Layers} Layers */
/** @typedef {{ kind: 'arrow', index: number } | { kind: 'object' } | null} Selection */
/**
 * @typedef {object} Scene
 * @property {Layers | null} layers of the picture; null while there is none
 * @property {[number, number]} stage its size in pixels on screen
 * @property {[number, number]} size of the picture, or of the drawing while there is none
 * @property {import('./editor.js').Ground | null} ground another picture that all objects lie on; null where they lie in their own
 * @property {Drawing} drawing
 * @property {number} active index of the object that tools act on
 * @property {Selection} selection
 * @property {boolean} showsResult whether objects are shown where they go
 * @property {boolean} showsPull whether what arrows drag is shown where it goes
 * @property {boolean} showsBox whether the active object has its box
 * @property {import('./mask.js').Mask | null} painting the active object's mask while it is painted
 * @property {[number, number][]} lasso in pixels of the picture
 * @property {{ at: [number, number], radius: number, erases: boolean } | null} brush in pixels of the picture
 * @property {[number, number] | null} pointed the pixel that the wand points at
 */

/** Pixels on screen from the box to its handle for turning. */
export const TURN_REACH = 26
const TINT = 0.35
/** Pixels on screen: an arrow's number is in a disc of this radius, with its middle so far from the arrow's start. */
const [DISC, AWAY] = [10, 17]

/**
 * @param {CanvasRenderingContext2D} context in pixels on screen
 * @param {Scene} scene @param {Matrix} view pixels of the picture → pixels on screen
 */
export function drawFrame(context, scene, view) {
  const dragged = drawPicture(context, scene, view)
  for (const [index, thing] of scene.drawing.objects.entries()) {
    drawObject(context, scene, view, thing, index, thing.mask !== null && thing.mask === dragged)
  }
  drawLasso(context, scene, view)
  // Arrows lead from place to place in the objects' own picture.
  const arrows = scene.ground ? [] : scene.drawing.arrows
  for (const [index, arrow] of arrows.entries()) {
    const selected = scene.selection?.kind === 'arrow' && scene.selection.index === index
    drawArrow(context, toScreen(view, scene.size, arrow[0], arrow[1]), toScreen(view, scene.size, arrow[2], arrow[3]), ARROW, selected)
  }
  for (const [index, arrow] of arrows.entries()) {
    drawNumber(context, scene, toScreen(view, scene.size, arrow[0], arrow[1]), toScreen(view, scene.size, arrow[2], arrow[3]), index + 1)
  }
  if (scene.showsBox) drawBox(context, scene, view)
  drawBrush(context, scene, view)
  drawPointed(context, scene, view)
}

/** @param {Matrix} view @param {[number, number]} size @param {number} x @param {number} y @returns {[number, number]} */
export const toScreen = (view, [width, height], x, y) => apply(view, [x * width, y * height])

/** Where an object's middle goes, in pixels of the picture; null without a mask. @param {Thing} thing @param {[number, number]} size */
export function goalOf(thing, size) {
  const found = thing.mask && extentOf(thing.mask)
  return found && apply(placement(thing, found.centre, size), [found.centre[0] * size[0], found.centre[1] * size[1]])
}

/** Corners of an object's box where it goes, clockwise from top left, and its centroid; null without a mask.
 * @param {Thing} thing @param {[number, number]} size @param {Matrix} view
 */
export function boxOnScreen(thing, size, view) {
  const found = thing.mask && extentOf(thing.mask)
  if (!found) return null
  const map = multiply(view, placement(thing, found.centre, size))
  const { left, top, right, bottom } = found.box
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map(([x, y]) => apply(map, [x * size[0], y * size[1]]))
  const sides = corners.map((corner, i) => middle(corner, corners[(i + 1) % 4]))
  const up = away(sides[2], sides[0], TURN_REACH)
  return { corners, sides, turn: up, centre: apply(map, [found.centre[0] * size[0], found.centre[1] * size[1]]) }
}

/** @param {[number, number]} a @param {[number, number]} b @returns {[number, number]} */
const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]

/** Beyond `to`, seen from `from`. @param {[number, number]} from @param {[number, number]} to @param {number} reach @returns {[number, number]} */
function away(from, to, reach) {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1
  return [to[0] + ((to[0] - from[0]) / length) * reach, to[1] + ((to[1] - from[1]) / length) * reach]
}

/**
 * @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Matrix} view
 * @returns {import('./mask.js').Mask | null} of the object that arrows have dragged off its place
 */
function drawPicture(context, scene, view) {
  const { layers, size, ground, drawing, showsResult, painting, active } = scene
  context.save()
  context.transform(...view)
  context.imageSmoothingEnabled = view[0] < 4 // pixels are wanted as they are when one looks closely
  const shown = drawing.objects.filter((thing, i) => thing.mask && (ground || isPlaced(thing)) && !(painting && i === active))
  const moved = showsResult ? shown : []
  let dragged = null
  if (ground?.picture) {
    context.drawImage(ground.picture, 0, 0, ...(ground.size ?? size))
  } else if (ground || !layers) {
    context.fillStyle = 'rgba(128, 128, 140, 0.12)'
    context.fillRect(0, 0, ...(ground?.size ?? size))
  } else {
    dragged = drawVacated(context, scene, layers, moved)
  }
  for (const thing of moved) if (layers) drawMoved(context, layers, thing, size)
  context.restore()
  return dragged
}

/** The picture without what has moved in it, and with what arrows drag. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Layers} layers @param {Thing[]} moved */
function drawVacated(context, { size, drawing, showsPull }, layers, moved) {
  const masks = /** @type {import('./mask.js').Mask[]} */ (moved.map(({ mask }) => mask))
  const first = drawing.objects[0]
  const pulled = showsPull ? layers.dragged(drawing.arrows, first && !isPlaced(first) ? first.mask : null) : null
  const dragged = pulled?.leaves ? first.mask : null
  if (dragged) masks.push(dragged)
  context.drawImage(masks.length ? layers.without(masks) : layers.picture, 0, 0, ...size)
  if (pulled) context.drawImage(pulled.canvas, 0, 0, ...size)
  return dragged
}

/** @param {CanvasRenderingContext2D} context @param {Layers} layers @param {Thing} thing @param {[number, number]} size */
function drawMoved(context, layers, thing, size) {
  const cutout = thing.mask && layers.cutout(thing.mask)
  const found = thing.mask && extentOf(thing.mask)
  if (!cutout || !found) return
  context.save()
  context.transform(...placement(thing, found.centre, size))
  context.scale(1 / layers.share, 1 / layers.share)
  context.drawImage(cutout.canvas, cutout.left, cutout.top)
  context.restore()
}

/** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Matrix} view @param {Thing} thing @param {number} index @param {boolean} dragged by arrows */
function drawObject(context, scene, view, thing, index, dragged) {
  const painted = index === scene.active ? scene.painting : null
  const mask = painted ?? thing.mask
  if (!mask) return
  const colour = objectColour(index)
  const unit = /** @type {Matrix} */ ([scene.size[0], 0, 0, scene.size[1], 0, 0])
  const found = painted ? null : extentOf(mask)
  const goes = found && (scene.ground || isPlaced(thing)) ? placement(thing, found.centre, scene.size) : null
  if (scene.ground) {
    if (goes) strokeOutline(context, outlineOf(mask), multiply(multiply(view, goes), unit), colour, !scene.showsResult)
    return
  }
  const leaves = dragged || (Boolean(goes) && scene.showsResult)
  if (!leaves) {
    context.save()
    context.transform(...multiply(view, unit))
    context.globalAlpha = TINT
    context.drawImage(alphaTint(mask, colour, Boolean(painted)), 0, 0, 1, 1)
    context.restore()
  }
  if (painted) return // it changes with every frame: the tint must do
  const path = outlineOf(mask)
  strokeOutline(context, path, multiply(view, unit), colour, leaves)
  if (!goes || !found) return
  strokeOutline(context, path, multiply(multiply(view, goes), unit), colour, !leaves)
  const centre = /** @type {[number, number]} */ ([found.centre[0] * scene.size[0], found.centre[1] * scene.size[1]])
  const [start, end] = [apply(view, centre), apply(multiply(view, goes), centre)]
  if (Math.hypot(end[0] - start[0], end[1] - start[1]) > 12) drawArrow(context, start, end, colour, false)
}

/** @param {CanvasRenderingContext2D} context @param {Path2D} path @param {Matrix} map @param {string} colour @param {boolean} dashed */
function strokeOutline(context, path, map, colour, dashed) {
  const placed = new Path2D()
  placed.addPath(path, new DOMMatrix([...map]))
  context.save()
  context.lineJoin = 'round'
  if (dashed) context.setLineDash([7, 5])
  context.strokeStyle = DARK
  context.lineWidth = 4
  context.stroke(placed)
  context.strokeStyle = colour
  context.lineWidth = 2
  context.stroke(placed)
  context.restore()
}

/**
 * @param {CanvasRenderingContext2D} context @param {[number, number]} start @param {[number, number]} end
 * @param {string} colour @param {boolean} selected
 */
function drawArrow(context, start, end, colour, selected) {
  const length = Math.hypot(end[0] - start[0], end[1] - start[1])
  const angle = Math.atan2(end[1] - start[1], end[0] - start[0])
  const head = Math.min(15, Math.max(8, length / 2))
  context.save()
  context.lineCap = 'round'
  context.lineJoin = 'round'
  for (const [paint, rim] of /** @type {[string, number][]} */ ([[DARK, selected ? 4 : 2.5], [LIGHT, selected ? 2.5 : 1.25], [colour, 0]])) {
    context.strokeStyle = context.fillStyle = paint
    if (length > 1) {
      context.lineWidth = 3 + 2 * rim
      context.beginPath()
      context.moveTo(...start)
      context.lineTo(end[0] - head * 0.7 * Math.cos(angle), end[1] - head * 0.7 * Math.sin(angle))
      context.stroke()
      context.beginPath()
      context.moveTo(...end)
      for (const side of [-0.5, 0.5]) context.lineTo(end[0] - head * Math.cos(angle + side), end[1] - head * Math.sin(angle + side))
      context.closePath()
      context.lineWidth = 2 * rim
      if (rim) context.stroke()
      context.fill()
    }
    context.beginPath()
    context.arc(...start, 4.5 + rim, 0, 2 * Math.PI)
    context.fill()
  }
  context.restore()
}

/**
 * In a disc behind the arrow's start, where nothing else of it is; beside it where the stage ends behind it.
 * @param {CanvasRenderingContext2D} context @param {Scene} scene
 * @param {[number, number]} start @param {[number, number]} end @param {number} number
 */
function drawNumber(context, { stage }, start, end, number) {
  if (start.some((value, i) => value < 0 || value > stage[i])) return // out of sight
  const angle = Math.atan2(end[1] - start[1], end[0] - start[0])
  const places = [0, Math.PI / 2, -Math.PI / 2].map((turn) => {
    const [x, y] = [start[0] - AWAY * Math.cos(angle + turn), start[1] - AWAY * Math.sin(angle + turn)]
    return /** @type {[number, number]} */ ([clamp(x, DISC, stage[0] - DISC), clamp(y, DISC, stage[1] - DISC)])
  })
  const away = places.map((place) => Math.round(Math.min(distance(place, start), AWAY)))
  const [x, y] = places[away.indexOf(Math.max(...away))]
  context.save()
  context.beginPath()
  context.arc(x, y, DISC, 0, 2 * Math.PI)
  context.fillStyle = DARK
  context.fill()
  context.strokeStyle = LIGHT
  context.lineWidth = 1.25
  context.stroke()
  context.fillStyle = LIGHT
  context.font = `600 ${number > 99 ? 9 : 12}px system-ui, sans-serif`
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.fillText(String(number), x, y + 0.5)
  context.restore()
}

/** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Matrix} view */
function drawLasso(context, { lasso, active }, view) {
  if (lasso.length < 2) return
  context.save()
  context.beginPath()
  for (const place of lasso) context.lineTo(...apply(view, place))
  context.closePath()
  context.globalAlpha = 0.25
  context.fillStyle = objectColour(active)
  context.fill()
  context.globalAlpha = 1
  for (const [paint, width] of /** @type {[string, number][]} */ ([[DARK, 3.5], [LIGHT, 1.5]])) {
    context.strokeStyle = paint
    context.lineWidth = width
    context.stroke()
  }
  context.restore()
}

/** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Matrix} view */
function drawBox(context, { drawing, active, size, ground }, view) {
  const thing = drawing.objects[active]
  const box = thing && boxOnScreen(thing, size, view)
  if (!box) return
  context.save()
  context.beginPath()
  for (const corner of box.corners) context.lineTo(...corner)
  context.closePath()
  context.moveTo(...box.sides[0])
  context.lineTo(...box.turn)
  for (const [paint, width] of /** @type {[string, number][]} */ ([[DARK, 3.5], [LIGHT, 1.5]])) {
    context.strokeStyle = paint
    context.lineWidth = width
    context.stroke()
  }
  context.fillStyle = objectColour(active)
  context.strokeStyle = LIGHT
  context.lineWidth = 1.5
  context.shadowColor = 'rgba(0, 0, 0, 0.8)'
  context.shadowBlur = 3
  for (const [x, y] of box.corners) {
    context.beginPath()
    context.rect(x - 5, y - 5, 10, 10)
    context.fill()
    context.stroke()
  }
  for (const [x, y] of ground ? [] : box.sides) { // pasting takes one scale
    context.beginPath()
    context.arc(x, y, 4, 0, 2 * Math.PI)
    context.fill()
    context.stroke()
  }
  context.beginPath()
  context.arc(...box.turn, 6, 0, 2 * Math.PI)
  context.fill()
  context.stroke()
  context.restore()
}

/** @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Matrix} view */
function drawBrush(context, { brush }, view) {
  if (!brush) return
  const [x, y] = apply(view, brush.at)
  context.save()
  context.beginPath()
  context.arc(x, y, brush.radius * view[0], 0, 2 * Math.PI)
  if (brush.erases) context.setLineDash([4, 4])
  for (const [paint, width] of /** @type {[string, number][]} */ ([[DARK, 3], [LIGHT, 1.25]])) {
    context.strokeStyle = paint
    context.lineWidth = width
    context.stroke()
  }
  context.restore()
}

/** A ring round the pixel, which stays in sight, and four lines that lead to it. @param {CanvasRenderingContext2D} context @param {Scene} scene @param {Matrix} view */
function drawPointed(context, { pointed }, view) {
  if (!pointed) return
  const [x, y] = apply(view, [pointed[0] + 0.5, pointed[1] + 0.5])
  context.save()
  context.lineCap = 'round'
  context.beginPath()
  context.arc(x, y, 7, 0, 2 * Math.PI)
  for (const [across, down] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) {
    context.moveTo(x + 4 * across, y + 4 * down)
    context.lineTo(x + 13 * across, y + 13 * down)
  }
  for (const [paint, width] of /** @type {[string, number][]} */ ([[DARK, 5], [LIGHT, 2]])) {
    context.strokeStyle = paint
    context.lineWidth = width
    context.stroke()
  }
  context.restore()
}
