/**
 * What a node's inputs are linked to, found as the frontend finds it when it queues a graph: through nodes of its own that only
 * hand a link on (reroutes, get and set nodes), past bypassed nodes, and in and out of subgraphs.
 */

/** @typedef {import('../comfyui').LGraphNode} LGraphNode */
/** @typedef {import('../comfyui').LGraphLink} LGraphLink */
/**
 * @typedef {object} Source
 * @property {boolean} linked also where the links lead nowhere
 * @property {LGraphNode | null} idle a node in between that is muted, or bypassed with nothing to hand on: nothing comes
 * @property {LGraphNode | null} node
 * @property {readonly LGraphNode[]} hosts the subgraph nodes that one is in there, outermost first
 * @property {string} origin which output of which node it is
 */
/** @typedef {{ node: LGraphNode, slot: number, hosts: readonly LGraphNode[] }} Slot */
/** @typedef {{ idle: LGraphNode, hosts: readonly LGraphNode[] }} Idle */

const MOST_HOPS = 100
/** As LiteGraph has them. */
const [MUTED, BYPASSED] = [2, 4]
/** The frontend's id of that side of a subgraph from inside. */
const OUTSIDE = '-10'

/**
 * @param {LGraphNode} node @param {string} input
 * @param {readonly LGraphNode[]} [hosts] the subgraph nodes that the node is looked at in; the first that have it, if not given
 * @returns {Source}
 */
export function sourceOf(node, input, hosts = hostsOf(node)) {
  const slot = node.inputs?.findIndex(({ name }) => name === input) ?? -1
  const first = outputBefore({ node, slot, hosts })
  if (!first) return { linked: false, idle: null, node: null, hosts, origin: '' }
  const found = fromOutput(first, node.inputs?.[slot]?.type, 0)
  if (!found || 'idle' in found) return { linked: true, idle: found?.idle ?? null, node: null, hosts: found?.hosts ?? hosts, origin: '' }
  return { linked: true, idle: null, node: found.node, hosts: found.hosts, origin: named(found) }
}

/**
 * A widget's value, which may come from the widget of a subgraph node that the node is in; undefined if another node gives it.
 * @param {LGraphNode} node @param {string} name @param {readonly LGraphNode[]} [hosts]
 * @returns {unknown}
 */
export function widgetValue(node, name, hosts = hostsOf(node)) {
  const slot = node.inputs?.findIndex(({ widget }) => widget?.name === name) ?? -1
  const link = linkInto(node, slot)
  if (!link) return node.widgets?.find((widget) => widget.name === name)?.value
  const host = hosts.at(-1)
  const promoted = host && String(link.origin_id) === OUTSIDE && host.inputs?.[Number(link.origin_slot)]
  return promoted ? widgetValue(host, promoted.widget?.name ?? promoted.name, hosts.slice(0, -1)) : undefined
}

/**
 * The subgraph nodes that a node is in; of several uses of one subgraph, the first.
 * @param {LGraphNode} node @returns {readonly LGraphNode[]}
 */
export function hostsOf({ graph }) {
  const root = graph?.rootGraph
  if (!graph || !root || graph === root) return []
  /** @type {{ graph: import('../comfyui').LGraph, hosts: readonly LGraphNode[] }[]} */
  const waiting = [{ graph: root, hosts: [] }]
  for (let looked = 0; looked < waiting.length && looked < MOST_HOPS; looked++) {
    for (const node of waiting[looked].graph.nodes ?? []) {
      if (!node.subgraph) continue
      const hosts = [...waiting[looked].hosts, node]
      if (node.subgraph === graph) return hosts
      waiting.push({ graph: node.subgraph, hosts })
    }
  }
  return []
}

/** The output that an input is linked to, in the same graph or, from inside of a subgraph, around it. @param {Slot} at @returns {Slot | null} */
function outputBefore({ node, slot, hosts }) {
  const link = linkInto(node, slot)
  if (!link) return null
  if (String(link.origin_id) !== OUTSIDE) return originOf(link, node.graph, hosts)
  const host = hosts.at(-1)
  return host ? outputBefore({ node: host, slot: Number(link.origin_slot), hosts: hosts.slice(0, -1) }) : null
}

/**
 * The output of a node that makes something, from which an output has its value; the idle node by which it has none.
 * @param {Slot} from @param {unknown} type what is asked for @param {number} hops
 * @returns {Slot | Idle | null}
 */
function fromOutput(from, type, hops) {
  const { node, slot, hosts } = from
  if (hops > MOST_HOPS) return null
  if (node.mode === MUTED) return { idle: node, hosts }
  if (node.mode === BYPASSED) {
    const passed = passedBy(node, slot, type)
    return passed < 0 ? { idle: node, hosts } : fromInput({ node, slot: passed, hosts }, type, hops)
  }
  if (node.subgraph) {
    const link = node.subgraph.outputNode?.slots?.[slot]?.getLinks?.()[0]
    if (!link) return null
    if (String(link.origin_id) === OUTSIDE) return fromInput({ node, slot: Number(link.origin_slot), hosts }, type, hops)
    const inside = originOf(link, node.subgraph, [...hosts, node])
    return inside && fromOutput(inside, type, hops + 1)
  }
  if (!node.isVirtualNode) return from
  const elsewhere = node.resolveVirtualOutput?.(slot)
  if (elsewhere) return fromOutput({ ...elsewhere, hosts: hostsOf(elsewhere.node) }, type, hops + 1)
  // A get node answers with the link into its set node, which is another node's.
  const link = node.getInputLink(slot)
  const target = link && node.graph?.getNodeById?.(link.target_id)
  return target ? fromInput({ node: target, slot: Number(link.target_slot), hosts }, type, hops) : null
}

/** @param {Slot} at @param {unknown} type @param {number} hops */
function fromInput(at, type, hops) {
  const before = outputBefore(at)
  return before && fromOutput(before, type, hops + 1)
}

/** Which input a bypassed node hands on: the one beside the output if it fits, else the first that does. @param {LGraphNode} node @param {number} slot @param {unknown} type */
function passedBy({ inputs = [] }, slot, type) {
  if (inputs[slot]?.type === type) return slot
  return inputs.findIndex((input) => input.type === type)
}

/** @param {LGraphLink} link @param {import('../comfyui').LGraph | null | undefined} graph @param {readonly LGraphNode[]} hosts @returns {Slot | null} */
function originOf(link, graph, hosts) {
  const node = graph?.getNodeById?.(link.origin_id)
  return node ? { node, slot: Number(link.origin_slot), hosts } : null
}

/** A subgraph node's own method gives what is inside of it. @param {LGraphNode} node @param {number} slot @returns {LGraphLink | null} */
function linkInto(node, slot) {
  if (slot < 0) return null
  if (!node.subgraph) return node.getInputLink(slot)
  for (const link of node.graph?.links?.values?.() ?? []) {
    if (String(link.target_id) === String(node.id) && Number(link.target_slot) === slot) return link
  }
  return null
}

/** @param {Slot} slot */
const named = ({ node, slot, hosts }) => `${[...hosts, node].map(({ id }) => id).join(':')}/${slot}`
