/** Where an object lies at first in another picture, which may be much smaller than its own. */

import { hasOwnMask, isPlaced, newThing } from './drawing.js'
import { clamp } from './geometry.js'
import { extentOf } from './layers.js'

/** @typedef {import('./drawing.js').Thing} Thing */
/** @typedef {import('./mask.js').Mask} Mask */
/** @typedef {[number, number]} Place */

/** Of the other picture's width and height, that an object takes at most. */
const LARGEST = 0.5
/** Dragon Paste Loss takes no smaller scale. */
const SMALLEST = 0.05

/** Masks made on this page: an object of a saved drawing lies where it was left. @type {WeakSet<Mask>} */
const painted = new WeakSet()

/** Says that a mask was made here. @param {Mask} mask */
export const remember = (mask) => void painted.add(mask)

/**
 * On the same pixels as in its own picture if they are in sight there and it leaves half of the other one free; else in the
 * middle, made smaller if it must be. Pictures of one size show one place: nothing is changed.
 * @param {Thing} thing @param {Place} size of its own picture @param {Place} ground of the other one
 * @returns {Thing}
 */
export function firstPlace({ mask }, size, ground) {
  const thing = newThing(mask)
  const found = mask && extentOf(mask)
  if (!found || String(size) === String(ground)) return thing
  const { box, centre } = found
  const lies = [centre[0] * size[0], centre[1] * size[1]]
  const share = Math.min((LARGEST * ground[0]) / ((box.right - box.left) * size[0]), (LARGEST * ground[1]) / ((box.bottom - box.top) * size[1]))
  if (share >= 1 && lies.every((value, i) => value >= 0 && value <= ground[i])) return thing
  const scale = clamp(Math.floor(share * 1000) / 1000, SMALLEST, 1)
  const [x, y] = lies.map((value, i) => Math.round(ground[i] / 2 - value) / size[i])
  return { ...thing, move: [x, y], scale: [scale, scale] }
}

/**
 * The objects, with a first place for those that were masked on this page and lie where they were.
 * @param {Thing[]} objects @param {Place} size @param {Place} ground @param {boolean} lent also for another node's mask
 * @returns {Thing[]}
 */
export function firstPlaces(objects, size, ground, lent) {
  return objects.map((thing) => {
    const isNew = thing.mask && (painted.has(thing.mask) || (lent && !hasOwnMask(thing)))
    return isNew && !isPlaced(thing) ? firstPlace(thing, size, ground) : thing
  })
}
