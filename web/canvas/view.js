/** How the picture lies in the stage: fitted, then zoomed and shifted. Pure values; pixels on screen are the stage's own (CSS) ones. */

import { clamp } from './geometry.js'

/** @typedef {{ zoom: number, x: number, y: number }} View x, y: what of the picture (as fractions) is in the stage's middle */

export const MAX_ZOOM = 40
const PADDING = 10

/** @type {View} */
export const FITTED = { zoom: 1, x: 0.5, y: 0.5 }

/** Pixels on screen for one of the picture when it just fits.
 * @param {readonly [number, number]} stage @param {readonly [number, number]} picture
 */
export const fitScale = (stage, picture) =>
  Math.max(1e-3, Math.min((stage[0] - 2 * PADDING) / picture[0], (stage[1] - 2 * PADDING) / picture[1]))

/**
 * Pixels of the picture → pixels on screen.
 * @param {View} view @param {readonly [number, number]} stage @param {readonly [number, number]} picture
 * @returns {import('./geometry.js').Matrix}
 */
export function viewMatrix(view, stage, picture) {
  const scale = fitScale(stage, picture) * view.zoom
  return [scale, 0, 0, scale, stage[0] / 2 - view.x * picture[0] * scale, stage[1] / 2 - view.y * picture[1] * scale]
}

/**
 * Zooms by a factor so that what is at a place on screen stays there.
 * @param {View} view @param {readonly [number, number]} stage @param {readonly [number, number]} picture
 * @param {readonly [number, number]} at @param {number} factor @returns {View}
 */
export function zoomedAt(view, stage, picture, at, factor) {
  const zoom = clamp(view.zoom * factor, 1, MAX_ZOOM)
  const scale = fitScale(stage, picture)
  const [dx, dy] = [(at[0] - stage[0] / 2) / (picture[0] * scale), (at[1] - stage[1] / 2) / (picture[1] * scale)]
  return kept({ zoom, x: view.x + dx / view.zoom - dx / zoom, y: view.y + dy / view.zoom - dy / zoom })
}

/**
 * @param {View} view @param {readonly [number, number]} stage @param {readonly [number, number]} picture
 * @param {readonly [number, number]} by pixels on screen @returns {View}
 */
export function panned(view, stage, picture, by) {
  const scale = fitScale(stage, picture) * view.zoom
  return kept({ ...view, x: view.x - by[0] / (picture[0] * scale), y: view.y - by[1] / (picture[1] * scale) })
}

/** Never further away than that the picture still fills its place. @param {View} view @returns {View} */
function kept({ zoom, x, y }) {
  const half = 0.5 / zoom
  return { zoom, x: clamp(x, half, 1 - half), y: clamp(y, half, 1 - half) }
}
