/** The node that masks what one points at: Dragon Auto Mask, where the canvas' mask comes from it. */

import { sourceOf, widgetValue } from './links.js'
import { say } from './words.js'

/** @typedef {import('../comfyui').LGraphNode} LGraphNode */
/** @typedef {[number, number]} Place */
/** @typedef {{ at: Place, obstacle: string }} Pointing the pixel that it looks at; why it would not look at another, if so */

const MASKER = 'DragonAutoMask'
/** ComfyUI's own nodes that change a mask's rim only: a shadow is taken along by growing it. */
const RIMS = new Set(['GrowMask', 'FeatherMask'])
const MOST_RIMS = 10

/** @param {LGraphNode} canvas @param {readonly LGraphNode[]} hosts the subgraph nodes that it is in @returns {LGraphNode | null} */
export function maskerOf(canvas, hosts) {
  return maskSource(canvas, hosts)?.node ?? null
}

/** Null where there is nothing to point for. @param {LGraphNode} canvas @param {readonly LGraphNode[]} hosts @returns {Pointing | null} */
export function pointingOf(canvas, hosts) {
  const source = maskSource(canvas, hosts)
  const masker = source?.node ?? source?.idle
  if (!source || !masker) return null
  const [x, y] = ['x', 'y'].map((name) => Number(widgetValue(masker, name, source.hosts)))
  return { at: [x, y], obstacle: source.idle ? say('wandIdle') : obstacle(canvas, hosts, masker, source.hosts) }
}

/** @param {LGraphNode} canvas @param {readonly LGraphNode[]} hosts */
function maskSource(canvas, hosts) {
  let source = sourceOf(canvas, 'mask', hosts)
  for (let hops = 0; source.node && RIMS.has(source.node.type) && hops < MOST_RIMS; hops++) source = sourceOf(source.node, 'mask', source.hosts)
  return (source.node ?? source.idle)?.type === MASKER ? source : null
}

/** @param {LGraphNode} canvas @param {readonly LGraphNode[]} hosts @param {LGraphNode} masker @param {readonly LGraphNode[]} around the masker */
function obstacle(canvas, hosts, masker, around) {
  if (sourceOf(masker, 'points', around).linked) return say('wandPoints')
  if (['x', 'y'].some((name) => sourceOf(masker, name, around).linked)) return say('wandNumbers')
  const [own, its] = [sourceOf(canvas, 'image', hosts), sourceOf(masker, 'image', around)]
  return own.linked && its.linked && own.origin !== its.origin ? say('wandPicture') : ''
}
