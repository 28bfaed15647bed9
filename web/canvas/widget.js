/** The editor as a widget of a node: its value, pictures, size, and the graph's undo. */

import { Editor } from './editor.js'
import { decodeRuns } from './mask.js'
import { maskerOf, pointingOf } from './pointing.js'
import { linkedPicture, loaded, ranPicture, viewPath } from './picture.js'
import { say } from './words.js'

/** @typedef {import('../comfyui').LGraphNode} LGraphNode */
/** @typedef {import('../comfyui').NodeOutput} NodeOutput */
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

/** @param {LGraphNode} node @param {string} name @param {Host} host */
export function addCanvasWidget(node, name, host) {
  const editor = new Editor({
    onChange() {
      widget.callback?.(editor.text)
      node.graph?.setDirtyCanvas?.(true, false)
      host.changed()
    },
    onPoint([x, y]) {
      const masker = maskerOf(node)
      if (masker) host.enter(masker, { x, y })
      editor.setPointing(pointingOf(node))
    },
    onWheel: host.wheel,
    heldView: host.heldView
  })
  const widget = node.addDOMWidget(name, 'DRAGON_CANVAS', editor.root, {
    getValue: () => editor.text,
    setValue: (/** @type {unknown} */ value) => {
      editor.text = value
    },
    getMinHeight: () => MIN_HEIGHT,
    hideOnZoom: false
  })
  widget.editor = editor // for click-to-mask nodes and tests
  accompany(node, editor, host)
  return { widget, minWidth: MIN_WIDTH, minHeight: MIN_HEIGHT }
}

/** Shows what is linked and what runs say, as long as the node is in the graph. @param {LGraphNode} node @param {Editor} editor @param {Host} host */
function accompany(node, editor, host) {
  const picture = follow(node, host, 'image', (image, notice) => {
    editor.setPicture(image, image ? [image.naturalWidth, image.naturalHeight] : [0, 0])
    if (notice) editor.setNotice(notice)
  })
  const onto = follow(node, host, 'onto', (image, notice) => {
    editor.setOnto(image || notice ? { picture: image, size: image && [image.naturalWidth, image.naturalHeight], notice } : null)
  })
  let heard = false
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer

  /** @param {NodeOutput} output */
  const hear = (output) => {
    heard = true
    picture.hear(ranPicture(output.dragon_picture?.[0]))
    onto.hear(ranPicture(output.dragon_onto?.[0]))
    editor.lendMask(decodeRuns(output.dragon_mask?.[0]))
  }

  const look = () => {
    editor.checkSharpness()
    takePlace(node, editor.root)
    // The node may be a new one for the same thing: after the graph's undo, or back on its tab.
    const known = heard ? undefined : host.output(node)
    if (known) hear(known)
    editor.setPointing(pointingOf(node))
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

  const { onAdded, onExecuted, onRemoved, onConnectionsChange } = node
  node.onAdded = function (...graph) {
    onAdded?.apply(this, graph)
    watch()
  }
  node.onExecuted = function (output) {
    onExecuted?.call(this, output)
    if (output) hear(output)
    editor.hasPointed = false
    editor.warnings = (output?.dragon_warnings ?? []).filter((warning) => typeof warning === 'string')
    editor.refresh()
    picture.renew()
    onto.renew()
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
}

/** Which node's output a run's picture was made from, by its path: it is not shown for another's. @type {Map<string, string>} */
const origins = new Map()

/**
 * The picture that an input is linked to: a loader's file at once, any other as the last run had it.
 * @param {LGraphNode} node @param {Host} host @param {string} input
 * @param {(image: HTMLImageElement | null, notice: string) => void} show
 */
function follow(node, host, input, show) {
  /** @type {StoredPicture | null} */
  let ran = null
  let shown = ''
  let again = Infinity

  const look = () => {
    const { linked, file, origin } = linkedPicture(node, input)
    const wanted = file ?? (linked && ran && madeFrom(origin, ran) ? ran : null)
    const key = wanted ? viewPath(wanted) : linked ? 'linked' : 'none'
    if (key === shown && performance.now() < again) return
    shown = key
    again = Infinity
    if (wanted) void fetchPicture(key)
    else show(null, linked ? say('runOnce') : '')
  }

  /** @param {string} key */
  const fetchPicture = async (key) => {
    try {
      const image = await loaded(host.url(`${key}&rand=${Date.now()}`)) // or a file that was replaced stays what it was
      if (key === shown) show(image, '')
    } catch {
      if (key !== shown) return
      again = performance.now() + RETRY_AFTER
      show(null, say('pictureLost'))
    }
  }

  return {
    look,
    /** @param {StoredPicture | null} picture what a run had */
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
