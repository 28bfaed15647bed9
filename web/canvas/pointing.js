/** The node that masks what one points at: Dragon Auto Mask, where the canvas' mask comes from it. */

import { sourceOf } from './links.js'
import { say } from './words.js'

/** @typedef {import('../comfyui').LGraphNode} LGraphNode */
/** @typedef {[number, number]} Place */
/** @typedef {{ at: Place, obstacle: string }} Pointing the pixel that it looks at; why it would not look at another, if so */

const MASKER = 'DragonAutoMask'
/** ComfyUI's own nodes that change a mask's rim only: a shadow is taken along by growing it. */
const RIMS = new Set(['GrowMask', 'FeatherMask'])
const MOST_RIMS = 10

/** @param {LGraphNode} canvas @returns {LGraphNode | null} */
export function maskerOf(canvas) {
  let { source } = sourceOf(canvas, 'mask')
  for (let hops = 0; source && RIMS.has(source.type) && hops < MOST_RIMS; hops++) source = sourceOf(source, 'mask').source
  return source?.type === MASKER ? source : null
}

/** Null where there is nothing to point for. @param {LGraphNode} canvas @returns {Pointing | null} */
export function pointingOf(canvas) {
  const masker = maskerOf(canvas)
  if (!masker) return null
  const [x, y] = ['x', 'y'].map((name) => Number(masker.widgets?.find((widget) => widget.name === name)?.value))
  return { at: [x, y], obstacle: obstacle(canvas, masker) }
}

/** @param {LGraphNode} canvas @param {LGraphNode} masker */
function obstacle(canvas, masker) {
  if (masker.mode) return say('wandIdle') // muted or bypassed: no mask comes from it
  if (sourceOf(masker, 'points').linked) return say('wandPoints')
  if (sourceOf(masker, 'x').linked || sourceOf(masker, 'y').linked) return say('wandNumbers')
  const [own, its] = [sourceOf(canvas, 'image'), sourceOf(masker, 'image')]
  return own.linked && its.linked && own.origin !== its.origin ? say('wandPicture') : ''
}
