/**
 * The editor as a widget: of a Dragon Canvas, whose value it is, and of a subgraph node that has one inside, on whose face that
 * one's drawing is edited.
 */

import { Editor } from './editor.js'
import { hostsOf } from './links.js'
import { decodeRuns } from './mask.js'
import { maskerOf, pointingOf } from './pointing.js'
import { MissingPicture, linkedPicture, loaded, ranPicture, viewPath } from './picture.js'
import { say } from './words.js'

/** @typedef {import('../comfyui').LGraphNode} LGraphNode */
/** @typedef {import('../comfyui').NodeOutput} NodeOutput */
/** @typedef {import('./picture.js').RanPicture} RanPicture */
/** @typedef {import('./picture.js').StoredPicture} StoredPicture */
/**
 * @typedef {object} Host what ComfyUI's frontend does for a widget
 * @property {(path: string) => string} url
 * @property {() => void} changed
 * @property {(event: WheelEvent) => void} wheel
 * @property {() => () => void} heldView puts the graph's zoom and place back to what they were
 * @property {(node: LGraphNode, values: Record<string, number>) => void} enter puts numbers into a node's widgets, as if they were typed
 * @property {(node: LGraphNode) => NodeOutput | undefined} output what the last run said of a node
 * @property {(node: LGraphNode) => boolean} holds whether a node is in the graph still
 */

const [MIN_WIDTH, MIN_HEIGHT] = [440, 420]
/** Milliseconds between looks at what is upstream: a loader says nothing when another file is chosen in it. */
const LOOK_EVERY = 400
/** Milliseconds until a picture that could not be loaded is asked for again. */
const RETRY_AFTER = 5000

/**
 * @typedef {object} Seat where an editor sits
 * @property {LGraphNode} node that shows it
 * @property {() => LGraphNode | null | undefined} canvas the Dragon Canvas whose drawing it is
 * @property {() => readonly LGraphNode[]} hosts the subgraph nodes which that one is in
 */

/** @param {LGraphNode} node @param {string} name @param {Host} host */
export function addCanvasWidget(node, name, host) {
  const seat = { node, canvas: () => node, hosts: () => hostsOf(node) }
  const editor = editorIn(seat, host, () => widget.callback?.(editor.text))
  const widget = node.addDOMWidget(name, 'DRAGON_CANVAS', editor.root, {
    getValue: () => editor.text,
    setValue: (/** @type {unknown} */ value) => {
      editor.text = value
    },
    getMinHeight: () => MIN_HEIGHT,
    hideOnZoom: false
  })
  widget.editor = editor // for click-to-mask nodes and tests
  const hear = accompany(seat, editor, host)
  const { onExecuted } = node
  node.onExecuted = function (output) {
    onExecuted?.call(this, output)
    hear(output)
  }
  return { widget, minWidth: MIN_WIDTH, minHeight: MIN_HEIGHT }
}

/**
 * Puts the canvas inside of a subgraph on the face of the node that stands for it. The drawing is that canvas' own: nothing is
 * kept here.
 * @param {LGraphNode} node a subgraph node @param {number | string} inner the canvas' id in there @param {Host} host
 */
export function addFace(node, inner, host) {
  const canvas = () => node.subgraph?.getNodeById?.(inner)
  const drawing = () => canvas()?.widgets?.find(({ name }) => name === 'drawing')
  const seat = { node, canvas, hosts: () => [...hostsOf(node), node] }
  const editor = editorIn(seat, host, () => {
    const widget = drawing()
    if (!widget) return
    widget.value = editor.text
    widget.callback?.(editor.text)
  })
  const widget = node.addDOMWidget(faceName(inner), 'DRAGON_CANVAS', editor.root, {
    getValue: () => editor.text,
    setValue() {},
    getMinHeight: () => MIN_HEIGHT,
    hideOnZoom: false,
    serialize: false
  })
  widget.serialize = false
  widget.editor = editor
  accompany(seat, editor, host, () => {
    const value = drawing()?.value
    if (value !== undefined && value !== editor.text && !editor.isBusy) editor.text = value
  })
  return widget
}

/** @param {number | string} inner the canvas' id in its subgraph */
export const faceName = (inner) => `dragon_canvas_${inner}`

/** @param {Seat} seat @param {Host} host @param {() => void} changed */
function editorIn(seat, host, changed) {
  /** @type {Editor} */
  const editor = new Editor({
    onChange() {
      changed()
      seat.node.graph?.setDirtyCanvas?.(true, false)
      host.changed()
    },
    onPoint([x, y]) {
      const canvas = seat.canvas()
      const masker = canvas && maskerOf(canvas, seat.hosts())
      if (masker) host.enter(masker, { x, y })
      if (canvas) editor.setPointing(pointingOf(canvas, seat.hosts()))
    },
    onWheel: host.wheel,
    heldView: host.heldView
  })
  return editor
}

/**
 * Shows what is linked and what runs say, as long as the node is in the graph.
 * @param {Seat} seat @param {Editor} editor @param {Host} host @param {() => void} [also] what else is looked after
 * @returns {(output: NodeOutput | undefined) => void} to be told of a run
 */
function accompany(seat, editor, host, also) {
  const { node } = seat
  const picture = follow(seat, host, 'image', (image, notice) => {
    editor.setPicture(image, image ? [image.naturalWidth, image.naturalHeight] : [0, 0])
    if (notice) editor.setNotice(notice)
  })
  const onto = follow(seat, host, 'onto', (image, notice) => {
    editor.setOnto(image || notice ? { picture: image, size: image && [image.naturalWidth, image.naturalHeight], notice } : null)
  })
  /** The frontend keeps what the last run said while nodes come and go. @type {NodeOutput | undefined} */
  let known
  let looked = false
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer

  /** @param {NodeOutput} output */
  const learn = (output) => {
    picture.hear(ranPicture(output.dragon_picture?.[0]))
    onto.hear(ranPicture(output.dragon_onto?.[0]))
    editor.lendMask(decodeRuns(output.dragon_mask?.[0]))
  }

  /** @param {NodeOutput | undefined} output */
  const hear = (output) => {
    if (output) learn(output)
    editor.hasPointed = false
    editor.warnings = (output?.dragon_warnings ?? []).filter((warning) => typeof warning === 'string')
    editor.refresh()
    picture.renew()
    onto.renew()
  }

  const look = () => {
    editor.checkSharpness()
    takePlace(node, editor.root)
    also?.()
    const canvas = seat.canvas()
    if (!canvas) return
    // The node may be a new one for the same thing: after the graph's undo, or back on its tab.
    const said = host.output(canvas)
    if (said && said !== known) {
      known = said
      if (looked && canvas !== node) hear(said)
      else learn(said)
    }
    if (!looked) editor.setTool(firstTool(canvas, editor))
    const movesOnly = isUsed(canvas, 'dx') && !['scale_x', 'scale_y', 'rotation'].some((name) => isUsed(canvas, name))
    if (movesOnly !== editor.movesOnly) {
      editor.movesOnly = movesOnly
      editor.refresh()
    }
    looked = true
    editor.setPointing(pointingOf(canvas, seat.hosts()))
    picture.look()
    onto.look()
  }

  /** A node that is only copied from, or whose subgraph has gone, is not told so: it must not be looked after for ever. */
  const watch = () => {
    timer ??= setInterval(() => (host.holds(node) ? look() : stop()), LOOK_EVERY)
    queueMicrotask(() => node.graph && look())
  }
  const stop = () => {
    clearInterval(timer)
    timer = undefined
  }

  const { onAdded, onRemoved, onConnectionsChange } = node
  node.onAdded = function (...graph) {
    onAdded?.apply(this, graph)
    watch()
  }
  node.onConnectionsChange = function (...change) {
    onConnectionsChange?.apply(this, change)
    if (this.graph) watch()
  }
  node.onRemoved = function () {
    onRemoved?.call(this)
    stop()
    editor.destroy()
    editor.root.setAttribute('data-removed', '')
  }
  if (node.graph && canSit(node)) watch()
  return hear
}

/** @param {LGraphNode} canvas @param {string} name of an output */
function isUsed(canvas, name) {
  const slot = canvas.outputs?.findIndex((output) => output.name === name) ?? -1
  return slot >= 0 && Boolean(canvas.isOutputConnected?.(slot))
}

/** Where a mask is wanted and no arrows, one begins with that. @param {LGraphNode} canvas @param {Editor} editor */
function firstTool(canvas, { tool, drawing }) {
  if (tool !== 'arrow' || isUsed(canvas, 'points') || !isUsed(canvas, 'mask')) return tool
  return drawing.objects.some((thing) => thing.mask) ? 'move' : 'brush'
}

/** Whether it has its place already: one that is being made hears of that. @param {LGraphNode} node */
const canSit = ({ graph, id }) => Boolean(graph?.getNodeById?.(id))

/** Which node's output a run's picture was made from, by its path: it is not shown for another's. @type {Map<string, string>} */
const origins = new Map()

/**
 * The picture that an input is linked to: a loader's file at once, any other as the last run had it.
 * @param {Seat} seat @param {Host} host @param {string} input
 * @param {(image: HTMLImageElement | null, notice: string) => void} show
 */
function follow(seat, host, input, show) {
  /** @type {RanPicture | null} */
  let ran = null
  let shown = ''
  let again = Infinity

  const look = () => {
    const canvas = seat.canvas()
    if (!canvas) return
    const { linked, idle, file, chosen, origin } = linkedPicture(canvas, seat.hosts(), input)
    // What the model saw goes before what the browser makes of the same file.
    const isRuns = linked && ran && (file ? ran.chosen === chosen : !idle && madeFrom(origin, ran.picture))
    const wanted = isRuns && ran ? ran.picture : file
    const key = wanted ? viewPath(wanted) : idle ? 'idle' : linked ? 'linked' : 'none'
    if (key === shown && performance.now() < again) return
    shown = key
    again = Infinity
    if (wanted) void fetchPicture(key)
    else show(null, idle ? say('pictureIdle') : linked ? say('runOnce') : '')
  }

  /** @param {string} key */
  const fetchPicture = async (key) => {
    try {
      const { image, unsure } = await loaded(host.url(`${key}&rand=${Date.now()}`)) // or a file that was replaced stays what it was
      if (key === shown) show(image, unsure ? say('pictureUnsure') : '')
    } catch (error) {
      if (key !== shown) return
      if (error instanceof MissingPicture && ran && key === viewPath(ran.picture)) {
        ran = null // a restarted server has left none of its runs' pictures: the file is there still
        return look()
      }
      again = performance.now() + RETRY_AFTER
      show(null, key.includes('..') ? say('pictureHidden') : say('pictureLost'))
    }
  }

  return {
    look,
    /** @param {RanPicture | null} picture what a run had */
    hear(picture) {
      ran = picture ?? ran
    },
    /** Its file may be another one under the same name. */
    renew() {
      shown = ''
      look()
    }
  }
}

/** One that has not been seen yet is from where the link comes from now. @param {string} origin @param {StoredPicture} picture */
function madeFrom(origin, picture) {
  const path = viewPath(picture)
  const known = origins.get(path) ?? origin
  origins.set(path, known)
  return known === origin
}

/**
 * Nodes 2.0 mounts a widget's element once per node id. When a node takes the place of a removed one with its id, as after the
 * graph's undo, the removed one's element would stay and the new one never show.
 * @param {LGraphNode} node @param {HTMLElement} root
 */
function takePlace(node, root) {
  if (root.isConnected) return
  document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"] .dragon-canvas[data-removed]`)?.replaceWith(root)
}
