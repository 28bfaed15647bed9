/** What a node's inputs are linked to. */

/** @typedef {import('../comfyui').LGraphNode} LGraphNode */

const MOST_REROUTES = 50

/**
 * The node that an input is linked to, through reroutes, and which of its outputs it is; linked, too, where reroutes lead nowhere.
 * @param {LGraphNode} node @param {string} input
 * @returns {{ linked: boolean, source: LGraphNode | null, origin: string }}
 */
export function sourceOf(node, input) {
  let slot = node.inputs?.findIndex(({ name }) => name === input) ?? -1
  /** @type {LGraphNode | null} */
  let source = node
  let origin = ''
  for (let hops = 0; hops < MOST_REROUTES; hops++) {
    if (!source || slot < 0 || source.inputs?.[slot]?.link == null) return { linked: hops > 0, source: null, origin }
    const link = source.getInputLink(slot)
    origin = link ? `${link.origin_id}:${link.origin_slot}` : ''
    source = source.getInputNode(slot)
    if (source?.type !== 'Reroute') break
    slot = 0
  }
  return { linked: true, source, origin }
}
